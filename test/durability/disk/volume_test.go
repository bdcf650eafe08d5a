package disk

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/trail-operator/trail-operator/internal/outbox"
)

// step is one operation on the volume, before it is carried out.
type step struct {
	kind stepKind
	path string
}

type stepKind int

const (
	opRead stepKind = iota
	opCreate
	opWrite
	opSync
	opSyncDir
	opRename
	opRemove
)

func (k stepKind) String() string {
	return [...]string{"read", "create", "write", "sync", "syncdir", "rename", "remove"}[k]
}

// names reports whether the operation changes what is durable, or which names there are.
func (k stepKind) names() bool { return k != opRead && k != opWrite }

// volume is a file system in memory that asks before each operation whether it
// shall fail. Spool and outbox are on it.
//
// A sync that fails is the last honest one of its file: as with an operating
// system that has dropped the pages, those that follow succeed and do nothing.
type volume struct {
	vfs.FS
	mem *vfs.MemFS

	mu    sync.Mutex
	fault func(step) error // nil: none
}

var _ vfs.FS = (*volume)(nil)

func newVolume(mem *vfs.MemFS) *volume { return &volume{FS: mem, mem: mem} }

func (v *volume) setFault(f func(step) error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.fault = f
}

func (v *volume) ask(kind stepKind, name string) error {
	v.mu.Lock()
	f := v.fault
	v.mu.Unlock()
	if f == nil {
		return nil
	}
	if err := f(step{kind, name}); err != nil {
		return &os.PathError{Op: kind.String(), Path: name, Err: err}
	}
	return nil
}

func (v *volume) wrap(name string, dir bool, f vfs.File, err error) (vfs.File, error) {
	if err != nil {
		return nil, err
	}
	return &file{File: f, v: v, name: name, dir: dir}, nil
}

func (v *volume) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	if err := v.ask(opCreate, name); err != nil {
		return nil, err
	}
	f, err := v.FS.Create(name, c)
	return v.wrap(name, false, f, err)
}

func (v *volume) Open(name string, opts ...vfs.OpenOption) (vfs.File, error) {
	if err := v.ask(opRead, name); err != nil {
		return nil, err
	}
	f, err := v.FS.Open(name, opts...)
	return v.wrap(name, false, f, err)
}

func (v *volume) OpenReadWrite(name string, c vfs.DiskWriteCategory, opts ...vfs.OpenOption) (vfs.File, error) {
	if err := v.ask(opCreate, name); err != nil {
		return nil, err
	}
	f, err := v.FS.OpenReadWrite(name, c, opts...)
	return v.wrap(name, false, f, err)
}

func (v *volume) OpenDir(name string) (vfs.File, error) {
	if err := v.ask(opRead, name); err != nil {
		return nil, err
	}
	f, err := v.FS.OpenDir(name)
	return v.wrap(name, true, f, err)
}

func (v *volume) ReuseForWrite(from, to string, c vfs.DiskWriteCategory) (vfs.File, error) {
	if err := v.ask(opRename, to); err != nil {
		return nil, err
	}
	f, err := v.FS.ReuseForWrite(from, to, c)
	return v.wrap(to, false, f, err)
}

func (v *volume) Link(from, to string) error {
	if err := v.ask(opCreate, to); err != nil {
		return err
	}
	return v.FS.Link(from, to)
}

func (v *volume) MkdirAll(dir string, perm os.FileMode) error {
	if err := v.ask(opCreate, dir); err != nil {
		return err
	}
	return v.FS.MkdirAll(dir, perm)
}

func (v *volume) Remove(name string) error {
	if err := v.ask(opRemove, name); err != nil {
		return err
	}
	return v.FS.Remove(name)
}

func (v *volume) RemoveAll(name string) error {
	if err := v.ask(opRemove, name); err != nil {
		return err
	}
	return v.FS.RemoveAll(name)
}

func (v *volume) Rename(from, to string) error {
	if err := v.ask(opRename, to); err != nil {
		return err
	}
	return v.FS.Rename(from, to)
}

func (v *volume) Unwrap() vfs.FS { return v.FS }

// file is a file or folder that is open on a volume.
type file struct {
	vfs.File
	v    *volume
	name string
	dir  bool
	lies bool // a sync has failed

	closed bool
}

// Close may be called twice, as with an operating system.
func (f *file) Close() error {
	if f.closed {
		return fs.ErrClosed
	}
	f.closed = true
	return f.File.Close()
}

func (f *file) Read(b []byte) (int, error) {
	if err := f.v.ask(opRead, f.name); err != nil {
		return 0, err
	}
	return f.File.Read(b)
}

func (f *file) ReadAt(b []byte, at int64) (int, error) {
	if err := f.v.ask(opRead, f.name); err != nil {
		return 0, err
	}
	return f.File.ReadAt(b, at)
}

// Write gives the file system a buffer of its own: under the race detector
// a vfs.File overwrites what it was given, which no operating system does.
func (f *file) Write(b []byte) (int, error) {
	if err := f.v.ask(opWrite, f.name); err != nil {
		return 0, err
	}
	return f.File.Write(bytes.Clone(b))
}

func (f *file) WriteAt(b []byte, at int64) (int, error) {
	if err := f.v.ask(opWrite, f.name); err != nil {
		return 0, err
	}
	return f.File.WriteAt(bytes.Clone(b), at)
}

func (f *file) Preallocate(from, n int64) error {
	if err := f.v.ask(opWrite, f.name); err != nil {
		return err
	}
	return f.File.Preallocate(from, n)
}

func (f *file) Sync() error     { return f.sync(f.File.Sync) }
func (f *file) SyncData() error { return f.sync(f.File.SyncData) }

// SyncTo promises nothing.
func (f *file) SyncTo(int64) (bool, error) { return false, nil }

func (f *file) sync(do func() error) error {
	kind := opSync
	if f.dir {
		kind = opSyncDir
	}
	if err := f.v.ask(kind, f.name); err != nil {
		f.lies = !f.dir
		return err
	}
	if f.lies {
		return nil
	}
	return do()
}

// files is the outbox on a volume.
type files struct{ v *volume }

var _ outbox.FS = files{}

func (f files) MkdirAll(dir string) error { return f.v.MkdirAll(dir, 0o700) }

func (f files) Create(name string) (outbox.File, error) {
	return f.v.Create(name, vfs.WriteCategoryUnspecified)
}

func (f files) Open(name string) (io.ReadSeekCloser, error) {
	o, err := f.v.Open(name)
	if err != nil {
		return nil, err
	}
	info, err := o.Stat()
	if err != nil {
		return nil, errors.Join(err, o.Close())
	}
	return opened{io.NewSectionReader(o, 0, info.Size()), o}, nil
}

type opened struct {
	io.ReadSeeker
	io.Closer
}

func (f files) Rename(from, to string) error { return f.v.Rename(from, to) }
func (f files) Remove(name string) error     { return f.v.Remove(name) }
func (f files) RemoveAll(name string) error  { return f.v.RemoveAll(name) }

func (f files) List(dir string) ([]string, error) {
	names, err := f.v.List(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return names, err
}

func (f files) SyncDir(dir string) error {
	d, err := f.v.OpenDir(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// readFile and writeFile go past all faults.
func readFile(t *testing.T, mem *vfs.MemFS, name string) []byte {
	t.Helper()
	f, err := mem.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b, err := io.ReadAll(f)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func writeFile(t *testing.T, mem *vfs.MemFS, name string, b []byte) {
	t.Helper()
	f, err := mem.Create(name, vfs.WriteCategoryUnspecified)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write(bytes.Clone(b)); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		t.Fatal(err)
	}
}

// walk lists the files below dir.
func walk(t *testing.T, mem *vfs.MemFS, dir string) (found []string) {
	t.Helper()
	names, err := mem.List(dir)
	if err != nil {
		return nil
	}
	for _, name := range names {
		full := path.Join(dir, name)
		info, err := mem.Stat(full)
		if err != nil {
			t.Fatal(err)
		}
		if info.IsDir() {
			found = append(found, walk(t, mem, full)...)
			continue
		}
		found = append(found, full)
	}
	return found
}
