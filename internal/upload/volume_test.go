package upload_test

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"k8s.io/utils/clock"

	"github.com/trail-operator/trail-operator/internal/objectstore"
	"github.com/trail-operator/trail-operator/internal/objectstore/memory"
	"github.com/trail-operator/trail-operator/internal/outbox"
	"github.com/trail-operator/trail-operator/internal/record"
	"github.com/trail-operator/trail-operator/internal/upload"
)

// noFiles is a file system whose process has too many files open.
type noFiles struct{ outbox.OS }

func (noFiles) Open(path string) (io.ReadSeekCloser, error) {
	return nil, &os.PathError{Op: "open", Path: path, Err: syscall.EMFILE}
}

// badSector is a file system that cannot read its files.
type badSector struct{ outbox.OS }

func (badSector) Open(string) (io.ReadSeekCloser, error) { return unreadable{}, nil }

type unreadable struct{ io.ReadSeekCloser }

func (unreadable) Read([]byte) (int, error) { return 0, &os.PathError{Op: "read", Err: syscall.EIO} }
func (unreadable) Close() error             { return nil }

// TestSendFromDamagedVolume: a file that the volume has lost is not lost when
// an earlier try had brought it into the bucket, and nothing is given up for a
// reason that passes.
func TestSendFromDamagedVolume(t *testing.T) {
	const body = "the bytes that were committed"
	entry := outbox.Entry{Key: key, Size: int64(len(body)), SHA256: record.HexSHA256([]byte(body))}
	for name, tc := range map[string]struct {
		file, there string // on the volume and in the bucket; empty = nothing
		fs          outbox.FS
		fault       memory.Fault
		want        error
	}{
		"missing, and stored by an earlier try":  {there: body},
		"torn, and stored by an earlier try":     {file: body[:5], there: body},
		"torn, and another object is there":      {file: body[:5], there: "x", want: upload.ErrDamaged},
		"missing, and nobody may look":           {fault: memory.Fault{Refuse: objectstore.ErrAccessDenied}, want: upload.ErrDamaged},
		"missing, and nobody answers":            {fault: memory.Fault{Refuse: objectstore.ErrUnreachable}, want: objectstore.ErrUnreachable},
		"whole, but too many files are open now": {file: body, fs: noFiles{}, want: syscall.EMFILE},
		"perhaps whole, and cannot be read now":  {file: body, fs: badSector{}, want: syscall.EIO},
	} {
		t.Run(name, func(t *testing.T) {
			store := memory.New(clock.RealClock{})
			path := filepath.Join(t.TempDir(), "f")
			if tc.file != "" {
				if err := os.WriteFile(path, []byte(tc.file), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if tc.there != "" {
				store.Overwrite(key, []byte(tc.there))
			}
			store.SetHook(func(context.Context, objectstore.Op, string) memory.Fault { return tc.fault })
			if tc.fs == nil {
				tc.fs = outbox.OS{}
			}
			_, err := upload.Send(t.Context(), store, tc.fs, path, &entry, upload.Protection{})
			if tc.want == nil && err != nil || !errors.Is(err, tc.want) {
				t.Errorf("error %v, want %v", err, tc.want)
			}
			if !errors.Is(tc.want, upload.ErrDamaged) && errors.Is(err, upload.ErrDamaged) {
				t.Error("the file is given up")
			}
			if got := string(store.Objects()[key].Body); got != tc.there {
				t.Errorf("the bucket holds %q, want %q", got, tc.there)
			}
		})
	}
}
