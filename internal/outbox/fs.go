package outbox

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
)

// FS is the part of a file system that the outbox needs. Tests put one in its
// place that loses what was not synced.
type FS interface {
	MkdirAll(dir string) error
	// Create makes a file that must not exist; only its owner may read it.
	Create(path string) (File, error)
	Open(path string) (io.ReadSeekCloser, error)
	Rename(from, to string) error
	Remove(path string) error
	RemoveAll(dir string) error
	// List returns the names in dir, none when there is no such folder.
	List(dir string) ([]string, error)
	// SyncDir makes the names in dir durable.
	SyncDir(dir string) error
}

// File is a file being written.
type File interface {
	io.WriteCloser
	// Sync makes the content durable.
	Sync() error
}

// OS is the operating system's file system.
type OS struct{}

// MkdirAll implements FS.
func (OS) MkdirAll(dir string) error { return os.MkdirAll(dir, 0o700) }

// Create implements FS.
func (OS) Create(path string) (File, error) {
	return os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
}

// Open implements FS.
func (OS) Open(path string) (io.ReadSeekCloser, error) { return os.Open(path) }

// Rename implements FS.
func (OS) Rename(from, to string) error { return os.Rename(from, to) }

// Remove implements FS.
func (OS) Remove(path string) error { return os.Remove(path) }

// RemoveAll implements FS.
func (OS) RemoveAll(dir string) error { return os.RemoveAll(dir) }

// List implements FS.
func (OS) List(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if os.IsNotExist(err) {
		return nil, nil
	}
	names := make([]string, 0, len(entries))
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names, err
}

// SyncDir implements FS.
func (OS) SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// Prepare makes the folder of a trail durable and removes the files in it that
// keep says are nobody's: what a crash left without an entry.
func Prepare(fs FS, dir string, keep func(name string) bool) error {
	if err := fs.MkdirAll(dir); err != nil {
		return fmt.Errorf("make the outbox folder: %w", err)
	}
	// A folder is durable when its name is, in the folder above: of the trail,
	// of the spool, and of the outbox itself.
	for parent, i := filepath.Dir(dir), 0; i < 3; parent, i = filepath.Dir(parent), i+1 {
		if err := fs.SyncDir(parent); err != nil {
			return fmt.Errorf("sync the outbox folder: %w", err)
		}
	}
	names, err := fs.List(dir)
	if err != nil {
		return fmt.Errorf("read the outbox folder: %w", err)
	}
	for _, name := range names {
		if !keep(name) {
			if err := fs.Remove(filepath.Join(dir, name)); err != nil {
				return fmt.Errorf("remove an orphan: %w", err)
			}
		}
	}
	return nil
}

// KeepOrphans marks the files of a trail that keep says are nobody's as damaged:
// the state that named them is lost, and they may be whole.
func KeepOrphans(fs FS, dir string, keep func(name string) bool) error {
	names, err := fs.List(dir)
	if err != nil {
		return fmt.Errorf("read the outbox folder: %w", err)
	}
	for _, name := range names {
		if keep(name) {
			continue
		}
		path := filepath.Join(dir, name)
		if err := fs.Rename(path, path+DamagedSuffix); err != nil {
			return fmt.Errorf("keep a file of a lost entry: %w", err)
		}
	}
	return nil
}

// Others are the names in dir beside the folder keep: files of a spool that is gone.
func Others(fs FS, dir, keep string) ([]string, error) {
	names, err := fs.List(dir)
	if err != nil {
		return nil, fmt.Errorf("read the outbox: %w", err)
	}
	return slices.DeleteFunc(names, func(name string) bool { return name == keep }), nil
}

// RemoveOthers removes them, and returns the names.
func RemoveOthers(fs FS, dir, keep string) ([]string, error) {
	names, err := Others(fs, dir, keep)
	if err != nil {
		return nil, err
	}
	var removed []string
	for _, name := range names {
		if err := fs.RemoveAll(filepath.Join(dir, name)); err != nil {
			return removed, fmt.Errorf("remove the outbox of an older spool: %w", err)
		}
		removed = append(removed, name)
	}
	return removed, nil
}
