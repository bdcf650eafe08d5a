package pebble

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/go-logr/logr"

	"github.com/trail-operator/trail-operator/internal/spool"
)

// maxAside is the most bytes that are kept aside. When they are used up, what
// is damaged is still reported, and stays where it is until it is trimmed.
const maxAside = 256 << 20

// aside is a folder for what could not be read back. Nothing in it is ever
// overwritten, and only who reads the spool has anything removed.
type aside struct {
	fs     vfs.FS
	dir    string
	logger logr.Logger

	mu   sync.Mutex
	size int64
}

func openAside(fs vfs.FS, dir string, logger logr.Logger) (*aside, error) {
	if err := fs.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	names, err := fs.List(dir)
	if err != nil {
		return nil, err
	}
	a := &aside{fs: fs, dir: dir, logger: logger}
	for _, name := range names {
		info, err := fs.Stat(fs.PathJoin(dir, name))
		if err != nil {
			return nil, err
		}
		a.size += info.Size()
	}
	return a, nil
}

func (a *aside) usage() int64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.size
}

// keepChunk stores the bytes of a chunk under its position, once.
func (a *aside) keepChunk(p spool.Position, value []byte) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	path := a.fs.PathJoin(a.dir, fmt.Sprintf("chunk-%020d", p))
	if !a.admit(path, int64(len(value))) {
		return nil
	}
	temporary := path + ".tmp"
	f, err := a.fs.Create(temporary, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	// A vfs.File may scribble on what it was given, and value is Pebble's.
	if _, err = f.Write(bytes.Clone(value)); err == nil {
		err = f.Sync()
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = a.fs.Rename(temporary, path)
	}
	if err != nil {
		return err
	}
	a.size += int64(len(value))
	return a.syncDir()
}

// keepFile keeps one of Pebble's own files, by a link where the file system has
// links. Failing that is only logged: Pebble has the file still.
func (a *aside) keepFile(path string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	kept := a.fs.PathJoin(a.dir, a.fs.PathBase(path))
	info, err := a.fs.Stat(path)
	if err == nil && a.admit(kept, info.Size()) {
		if err = vfs.LinkOrCopy(a.fs, path, kept); err == nil {
			a.size += info.Size()
			err = a.syncDir()
		}
	}
	if err != nil {
		a.logger.Error(err, "spool: cannot keep a corrupt file aside", "file", path)
	}
}

// admit tells whether size bytes shall be kept under path.
func (a *aside) admit(path string, size int64) bool {
	if _, err := a.fs.Stat(path); err == nil {
		return false
	}
	if a.size+size > maxAside {
		a.logger.Error(nil, "spool: too much is kept aside already; empty the folder damaged after a look at it", "not kept", path)
		return false
	}
	return true
}

// list describes what is there, the oldest first.
func (a *aside) list() ([]spool.Aside, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	names, err := a.fs.List(a.dir)
	if err != nil {
		return nil, err
	}
	all := make([]spool.Aside, 0, len(names))
	for _, name := range names {
		info, err := a.fs.Stat(a.fs.PathJoin(a.dir, name))
		if err != nil {
			return nil, err
		}
		all = append(all, spool.Aside{Name: name, Bytes: info.Size(), At: info.ModTime()})
	}
	slices.SortFunc(all, func(x, y spool.Aside) int { return cmp.Or(x.At.Compare(y.At), cmp.Compare(x.Name, y.Name)) })
	return all, nil
}

// remove removes one for good.
func (a *aside) remove(name string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	path := a.fs.PathJoin(a.dir, a.fs.PathBase(name))
	info, err := a.fs.Stat(path)
	if err != nil {
		return err
	}
	if err := a.fs.Remove(path); err != nil {
		return err
	}
	a.size -= info.Size()
	return a.syncDir()
}

// Aside implements spool.Keeper.
func (s *store) Aside() ([]spool.Aside, error) {
	list, err := s.aside.list()
	if err != nil {
		return nil, fmt.Errorf("spool: cannot list what is kept aside: %w", err)
	}
	return list, nil
}

// RemoveAside implements spool.Keeper.
func (s *store) RemoveAside(name string) error {
	if err := s.aside.remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("spool: cannot remove what is kept aside: %w", err)
	}
	return nil
}

func (a *aside) syncDir() error { return syncFolder(a.fs, a.dir) }

// syncFolder makes the names in a folder durable.
func syncFolder(fs vfs.FS, name string) error {
	dir, err := fs.OpenDir(name)
	if err != nil {
		return err
	}
	err = dir.Sync()
	if closeErr := dir.Close(); err == nil {
		err = closeErr
	}
	return err
}
