package pebble

import "github.com/cockroachdb/pebble/v2/vfs"

// syncFS calls a function before each sync of a file that was opened for writing.
type syncFS struct {
	vfs.FS
	sync func()
}

func (fs *syncFS) wrap(f vfs.File, err error) (vfs.File, error) {
	if err != nil {
		return nil, err
	}
	return &syncFile{f, fs.sync}, nil
}

func (fs *syncFS) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	return fs.wrap(fs.FS.Create(name, category))
}

func (fs *syncFS) ReuseForWrite(oldname, newname string, category vfs.DiskWriteCategory) (vfs.File, error) {
	return fs.wrap(fs.FS.ReuseForWrite(oldname, newname, category))
}

type syncFile struct {
	vfs.File
	sync func()
}

func (f *syncFile) Sync() error     { f.sync(); return f.File.Sync() }
func (f *syncFile) SyncData() error { f.sync(); return f.File.SyncData() }
func (f *syncFile) SyncTo(n int64) (bool, error) {
	f.sync()
	return f.File.SyncTo(n)
}
