package tail

import (
	"cmp"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

const (
	// timeFormat is that of the time in the names of rotated files, which are
	// lumberjack's: audit-2026-11-21T10-00-00.000.log.
	timeFormat = "2006-01-02T15-04-05.000"
	compressed = ".gz"
)

// folder finds the files of a log.
type folder struct {
	dir, active string // active is the name of the file that is written to
}

func newFolder(log string) folder {
	return folder{filepath.Dir(log), filepath.Base(log)}
}

func (f folder) path(name string) string { return filepath.Join(f.dir, name) }

// rotated is a file that is not written to any more.
type rotated struct {
	base          string // its name, without the ending of compressed files
	at            time.Time
	plain, zipped bool
	size          int64 // as it is on the disk
}

// name is that of the file to read: while both are there, the compressed one may
// not be complete.
func (r *rotated) name() string {
	if r.plain {
		return r.base
	}
	return r.base + compressed
}

// list returns the rotated files in the order in which they were written. A
// folder that is not there has none.
func (f folder) list() ([]rotated, error) {
	entries, err := os.ReadDir(f.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var list []rotated
	for _, e := range entries { // sorted: the compressed file follows the other
		base, zipped := strings.CutSuffix(e.Name(), compressed)
		at, ok := f.rotatedAt(base)
		if !ok || e.IsDir() {
			continue
		}
		info, err := e.Info()
		if err != nil {
			continue // gone since
		}
		r := rotated{base: base, at: at, plain: !zipped, zipped: zipped, size: info.Size()}
		if n := len(list); n > 0 && list[n-1].base == base {
			list[n-1].zipped = true
			continue
		}
		list = append(list, r)
	}
	slices.SortStableFunc(list, func(a, b rotated) int {
		return cmp.Or(a.at.Compare(b.at), strings.Compare(a.base, b.base))
	})
	return list, nil
}

// rotatedAt reads the time in the name of a rotated file.
func (f folder) rotatedAt(name string) (time.Time, bool) {
	ext := filepath.Ext(f.active)
	rest, ok := strings.CutPrefix(name, strings.TrimSuffix(f.active, ext)+"-")
	if !ok {
		return time.Time{}, false
	}
	if rest, ok = strings.CutSuffix(rest, ext); !ok {
		return time.Time{}, false
	}
	at, err := time.Parse(timeFormat, rest)
	return at, err == nil
}
