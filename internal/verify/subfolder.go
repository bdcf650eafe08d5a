package verify

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"syscall"

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
	// sidecars: there are some, or it is not known that there are none.
	sidecars bool
}

// file is a regular file that was opened.
type file struct {
	*os.File
	fs.FileInfo
	// sidecar: it may have one.
	sidecar bool
}

// open opens a regular file. A key that is no path within the folder is
// fs.ErrInvalid.
func (f *Folder) open(key string) (file, error) {
	if !fs.ValidPath(key) {
		return file{}, &fs.PathError{Op: "open", Path: key, Err: fs.ErrInvalid}
	}
	dir, name := path.Split(key)
	s, err := f.enter(path.Clean(dir))
	if err == nil {
		defer f.leave(s)
		var opened file
		if opened, err = openRegular(s.root, name); err == nil {
			opened.sidecar = s.sidecars
			return opened, nil
		}
	}
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, objectstore.ErrNotExist) {
		return file{}, objectstore.ErrNotExist
	}
	opened, err := openRegular(f.root, key) // by a link that leads out of the subfolder, perhaps
	opened.sidecar = true
	return opened, err
}

// openRegular does not wait for the other end of a named pipe.
func openRegular(root *os.Root, name string) (file, error) {
	opened, err := root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return file{}, objectstore.ErrNotExist
	}
	if err != nil {
		return file{}, special(root, name, err)
	}
	stat, err := opened.Stat()
	if err != nil {
		opened.Close()
		return file{}, err
	}
	if !stat.Mode().IsRegular() {
		opened.Close()
		return file{}, objectstore.ErrNotExist
	}
	return file{opened, stat, false}, nil
}

// special turns the error of opening something that is no file, such as a
// socket, into that of a file that is not there.
func special(root *os.Root, name string, err error) error {
	if stat, statErr := root.Stat(name); statErr == nil && !stat.Mode().IsRegular() {
		return objectstore.ErrNotExist
	}
	return err
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
	s := &subfolder{dir, root, 1, hasSidecars(root)}
	f.subfolders[dir] = s
	return s, nil
}

// hasSidecars looks through a folder once, so that nobody has to ask for the
// sidecar of each file.
func hasSidecars(root *os.Root) bool {
	dir, err := root.Open(".")
	if err != nil {
		return true
	}
	defer dir.Close()
	for {
		names, err := dir.Readdirnames(1000)
		if slices.ContainsFunc(names, func(n string) bool { return strings.HasSuffix(n, SidecarSuffix) }) {
			return true
		}
		if err != nil {
			return !errors.Is(err, io.EOF)
		}
	}
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
