package verify

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/trail-operator/trail-operator/internal/objectstore"
)

// SidecarSuffix ends the name of the file that holds what a plain download
// loses. Its content is what `aws s3api head-object` prints.
const SidecarSuffix = ".metadata.json"

// Folder reads a downloaded copy of a bucket: a file for each object, at the
// path that is its key. A file's time of change should be the object's, as
// `aws s3 sync` leaves it.
type Folder struct {
	root *os.Root
	fsys fs.FS

	mu         sync.Mutex
	subfolders map[string]*subfolder
}

// OpenFolder opens a folder, which should stay as it is while it is open: sidecars
// that come later may not be seen. Nothing outside of it is ever read, whatever keys
// and links say.
func OpenFolder(dir string) (*Folder, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("opening the folder: %w", err)
	}
	return &Folder{root: root, fsys: root.FS(), subfolders: map[string]*subfolder{}}, nil
}

// Close releases the folder. Nothing was written, so nothing can go wrong.
func (f *Folder) Close() {
	for _, s := range f.subfolders {
		_ = s.root.Close()
	}
	_ = f.root.Close()
}

// sidecar is the part of head-object's answer that we use.
type sidecar struct {
	LastModified time.Time         `json:"LastModified"`
	Metadata     map[string]string `json:"Metadata"`
}

// Get opens the file of an object. A key that is no path within the folder is
// fs.ErrInvalid.
func (f *Folder) Get(_ context.Context, key string) (io.ReadCloser, objectstore.Info, error) {
	opened, err := f.open(key)
	if err != nil {
		return nil, objectstore.Info{}, err
	}
	info := objectstore.Info{Key: key, Size: opened.FileInfo.Size(), Modified: opened.ModTime()}
	if opened.sidecar {
		if err := f.addSidecar(&info); err != nil {
			opened.Close()
			return nil, objectstore.Info{}, err
		}
	}
	return &sized{io.LimitedReader{R: opened.File, N: info.Size}, opened.File}, info, nil
}

// sized reads a file up to the size that it had when it was opened, without
// asking whether there is more.
type sized struct {
	io.LimitedReader
	io.Closer
}

func (f *Folder) addSidecar(info *objectstore.Info) error {
	opened, err := f.open(info.Key + SidecarSuffix)
	if errors.Is(err, objectstore.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer opened.Close()
	b, err := io.ReadAll(io.LimitReader(opened.File, maxPlain+1))
	if err != nil {
		return err
	}
	var s sidecar
	if len(b) > maxPlain || json.Unmarshal(b, &s) != nil {
		return fmt.Errorf("%q is not what `aws s3api head-object` prints; write it anew or remove it", info.Key+SidecarSuffix)
	}
	info.Metadata = make(map[string]string, len(s.Metadata))
	for k, value := range s.Metadata {
		info.Metadata[strings.ToLower(k)] = value
	}
	if !s.LastModified.IsZero() {
		info.Modified = s.LastModified
	}
	return nil
}

// maxDepth bounds the folders within folders that List walks through: a key
// has at most 1024 bytes.
const maxDepth = 512

// List yields the regular files under prefix, without sidecars and without
// following links, in the order in which a bucket lists its keys.
func (f *Folder) List(ctx context.Context, prefix, startAfter string) iter.Seq2[objectstore.Info, error] {
	return func(yield func(objectstore.Info, error) bool) {
		dir := path.Dir(prefix + "x") // the deepest folder that holds all of prefix
		if dir != "." && !fs.ValidPath(dir) {
			yield(objectstore.Info{}, fmt.Errorf("%q: %w", prefix, fs.ErrInvalid))
			return
		}
		w := walk{f, prefix, startAfter, yield}
		err := w.folder(ctx, dir, 0)
		if err != nil && !errors.Is(err, errStop) {
			yield(objectstore.Info{}, err)
		}
	}
}

var errStop = errors.New("stop")

type walk struct {
	f                  *Folder
	prefix, startAfter string
	yield              func(objectstore.Info, error) bool
}

func (w *walk) folder(ctx context.Context, dir string, depth int) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if depth > maxDepth {
		return fmt.Errorf("there are more than %d folders within each other", maxDepth)
	}
	entries, err := fs.ReadDir(w.f.fsys, dir)
	if errors.Is(err, fs.ErrNotExist) && depth == 0 {
		return nil
	}
	if err != nil {
		return err
	}
	// Keys sort with the slash that ends a folder's name.
	sortName := func(e fs.DirEntry) string {
		if e.IsDir() {
			return e.Name() + "/"
		}
		return e.Name()
	}
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return cmp.Compare(sortName(a), sortName(b)) })
	for _, e := range entries {
		key := path.Join(dir, e.Name())
		if e.IsDir() {
			if sub := key + "/"; w.wanted(sub) {
				if err := w.folder(ctx, key, depth+1); err != nil {
					return err
				}
			}
			continue
		}
		if err := w.file(key, e); err != nil {
			return err
		}
	}
	return nil
}

// wanted tells whether a folder may hold keys under the prefix behind startAfter.
func (w *walk) wanted(sub string) bool {
	if !strings.HasPrefix(sub, w.prefix) && !strings.HasPrefix(w.prefix, sub) {
		return false
	}
	return sub > w.startAfter || strings.HasPrefix(w.startAfter, sub)
}

func (w *walk) file(key string, e fs.DirEntry) error {
	if !e.Type().IsRegular() || strings.HasSuffix(key, SidecarSuffix) ||
		!strings.HasPrefix(key, w.prefix) || key <= w.startAfter {
		return nil
	}
	// Size and time would cost more than all else of the listing. Get tells them.
	if !w.yield(objectstore.Info{Key: key}, nil) {
		return errStop
	}
	return nil
}
