package upload

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	clocktesting "k8s.io/utils/clock/testing"

	"github.com/trail-operator/trail-operator/internal/objectstore"
	"github.com/trail-operator/trail-operator/internal/objectstore/memory"
	"github.com/trail-operator/trail-operator/internal/outbox"
	"github.com/trail-operator/trail-operator/internal/record"
)

// noFiles is a file system whose process has too many files open.
type noFiles struct{ outbox.OS }

func (noFiles) Open(path string) (io.ReadSeekCloser, error) {
	return nil, &os.PathError{Op: "open", Path: path, Err: syscall.EMFILE}
}

func TestSend(t *testing.T) {
	content := []byte("content of a log file")
	for name, c := range map[string]struct {
		file   []byte // on the volume; nil = missing
		object []byte // in the bucket; nil = missing
		fs     outbox.FS
		fault  memory.Fault
		want   error
	}{
		"new":                                     {file: content},
		"stored by an earlier try":                {file: content, object: content},
		"another object has the key":              {file: content, object: []byte("something else, of any length"), want: ErrConflict},
		"another object of the same length":       {file: content, object: []byte("CONTENT OF A LOG FILE"), want: ErrConflict},
		"missing on the volume":                   {want: ErrDamaged},
		"damaged on the volume":                   {file: []byte("content of a LOG file"), want: ErrDamaged},
		"cut short on the volume":                 {file: content[:5], want: ErrDamaged},
		"missing, and stored by an earlier try":   {object: content},
		"damaged, and stored by an earlier try":   {file: content[:5], object: content},
		"damaged, and another object has the key": {file: content[:5], object: []byte("x"), want: ErrDamaged},
		"missing, and nobody may look":            {fault: memory.Fault{Refuse: objectstore.ErrAccessDenied}, want: ErrDamaged},
		"missing, and nobody answers":             {fault: memory.Fault{Refuse: objectstore.ErrUnreachable}, want: objectstore.ErrUnreachable},
		"too many open files":                     {file: content, fs: noFiles{}, want: errVolume},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "f.json.gz")
			if c.file != nil {
				if err := os.WriteFile(path, c.file, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			store := memory.New(clocktesting.NewFakeClock(time.Now()))
			if c.object != nil {
				store.Overwrite("key", c.object)
			}
			store.SetHook(func(context.Context, objectstore.Op, string) memory.Fault { return c.fault })
			if c.fs == nil {
				c.fs = outbox.OS{}
			}
			err := Send(t.Context(), store, c.fs, path, &outbox.Entry{Key: "key", Size: int64(len(content)), SHA256: record.HexSHA256(content)})
			if !errors.Is(err, c.want) {
				t.Fatalf("got %v, want %v", err, c.want)
			}
			if c.want == nil && string(store.Objects()["key"].Body) != string(content) {
				t.Errorf("the bucket holds %q", store.Objects()["key"].Body)
			}
			if c.object != nil && string(store.Objects()["key"].Body) != string(c.object) {
				t.Error("an object was overwritten")
			}
		})
	}
}
