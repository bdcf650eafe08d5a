package verify

import (
	"errors"
	"io/fs"
	"os"
	"path"

	"github.com/trail-operator/trail-operator/internal/objectstore"
)

// maxOpen is the number of subfolders that are kept open when nobody uses them.
const maxOpen = 32

// subfolder is an open folder within a Folder. Opening a file by its whole path
// opens each part of the path, which costs more than to validate a small file.
type subfolder struct {
	dir   string
	root  *os.Root
	users int
}

// open opens a regular file. The kind of file is looked at before it is opened:
// opening a named pipe would wait for ever. A key that is no path within the
// folder is fs.ErrInvalid.
func (f *Folder) open(key string) (*os.File, error) {
	if !fs.ValidPath(key) {
		return nil, &fs.PathError{Op: "open", Path: key, Err: fs.ErrInvalid}
	}
	dir, name := path.Split(key)
	s, err := f.enter(path.Clean(dir))
	if err == nil {
		defer f.leave(s)
		var file *os.File
		if file, err = openRegular(s.root, name); err == nil {
			return file, nil
		}
	}
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, objectstore.ErrNotExist) {
		return nil, objectstore.ErrNotExist
	}
	return openRegular(f.root, key) // by a link that leads out of the subfolder, perhaps
}

func openRegular(root *os.Root, name string) (*os.File, error) {
	stat, err := root.Stat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, objectstore.ErrNotExist
	}
	if err != nil {
		return nil, err
	}
	if !stat.Mode().IsRegular() {
		return nil, objectstore.ErrNotExist
	}
	return root.Open(name)
}

func (f *Folder) enter(dir string) (*subfolder, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if s := f.subfolders[dir]; s != nil {
		s.users++
		return s, nil
	}
	root, err := f.root.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	for _, s := range f.subfolders {
		if len(f.subfolders) >= maxOpen && s.users == 0 {
			f.forget(s)
		}
	}
	s := &subfolder{dir, root, 1}
	f.subfolders[dir] = s
	return s, nil
}

func (f *Folder) leave(s *subfolder) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if s.users--; s.users == 0 && len(f.subfolders) > maxOpen {
		f.forget(s)
	}
}

func (f *Folder) forget(s *subfolder) {
	_ = s.root.Close() // nothing was written
	delete(f.subfolders, s.dir)
}
