package pipeline

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"

	"github.com/trail-operator/trail-operator/api/v1alpha1"
	"github.com/trail-operator/trail-operator/internal/objectstore"
	"github.com/trail-operator/trail-operator/internal/objectstore/memory"
	"github.com/trail-operator/trail-operator/internal/record"
	"github.com/trail-operator/trail-operator/internal/spool"
	"github.com/trail-operator/trail-operator/internal/spool/pebble"
)

var update = flag.Bool("update", false, "write the volume of the present format anew")

// TestVolumesOfAllFormats starts on a volume of each format that there has been,
// as a receiver left it in the middle of its work: a log file that is delivered
// and in no digest, one that is not delivered, a digest that is not, events that
// nobody has read, and a change of the selection that lies before some of them.
//
// A new format adds a volume; those that are there are never written again.
func TestVolumesOfAllFormats(t *testing.T) {
	if name := volumeOf(spool.Format); *update {
		if _, err := os.Stat(name); !errors.Is(err, fs.ErrNotExist) {
			t.Fatalf("%s is there, and others have such volumes; a changed format is a new one", name)
		}
		makeVolume(t, name)
	}
	for format := range spool.Format {
		t.Run(fmt.Sprint(format+1), func(t *testing.T) {
			b := newBench(t)
			b.stop()
			b.dir = t.TempDir()
			unpack(t, volumeOf(format+1), b.dir)
			// The next day.
			b.clock.SetTime(time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC))
			b.delivers(filepath.Join(b.dir, "bucket"))
			b.start()
			if err := spool.CheckFormat(b.spool); err != nil {
				t.Fatal(err)
			}
			red := b.trail("red")
			red.Generation, red.Selection = 2, writesOnly
			b.apply()
			b.events = 12
			again := b.unread(8)
			for _, c := range again {
				stored, err := b.spool.Append(context.Background(), []spool.Chunk{c})
				if err != nil || !stored[0].Duplicate {
					t.Errorf("a chunk that is on the volume is stored again: %v, %v", stored, err)
				}
			}
			red.Suspended, red.Generation = true, 3
			b.apply()
			b.until("delivery", func() bool { return b.status("red").Flushed })
			var want []string
			for n := range 12 {
				want = append(want, fmt.Sprintf("e-%d", n+1))
			}
			b.checkExactlyOnce("red", want)
			b.checkDigests("red")
			if c := b.status("red").Counts; c.Accepted != 12 || c.Delivered != 12 {
				t.Errorf("the account is %+v", c)
			}
		})
	}
}

var writesOnly = v1alpha1.EventSelection{Basic: []v1alpha1.BasicEventSelector{{ReadWriteType: v1alpha1.WriteOnly}}}

func volumeOf(format int) string { return fmt.Sprintf("testdata/volume-%d.tar.gz", format) }

// makeVolume leaves a volume in the middle of everything.
func makeVolume(t *testing.T, name string) {
	b := newBench(t)
	if err := spool.CheckFormat(b.spool); err != nil {
		t.Fatal(err)
	}
	red := b.trail("red")
	b.apply()
	b.post("red", 3)
	b.until("delivery", func() bool { return b.status("red").Counts.Delivered == 3 })
	b.bucket("red").SetHook(func(_ context.Context, _ objectstore.Op, key string) memory.Fault {
		if _, digest := record.ParseDigestKey(key); digest {
			return memory.Fault{Refuse: objectstore.ErrThrottled}
		}
		return memory.Fault{}
	})
	b.clock.Step(time.Hour)
	b.until("a digest", func() bool { return b.status("red").DigestError != nil })
	b.post("red", 2)
	b.until("delivery", func() bool { return b.status("red").Counts.Delivered == 5 })
	b.reachable("red", false)
	b.post("red", 3)
	b.until("a file", func() bool { return b.status("red").PendingFiles == 1 })
	red.Generation, red.Selection = 2, writesOnly
	b.apply()
	b.stop() // so that nothing is read of what follows
	b.stop = func() {}
	s, err := pebble.Open(b.dir+"/spool", pebble.Options{Clock: b.clock})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range b.unread(8) {
		if _, err := s.Append(context.Background(), []spool.Chunk{c}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	bucket := filepath.Join(b.dir, "bucket")
	for key, o := range b.bucket("red").Objects() {
		path := filepath.Join(bucket, filepath.FromSlash(key))
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, o.Body, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	pack(t, b.dir, name)
}

// unread are the chunks behind the n-th event that nobody has read.
func (b *bench) unread(n int) []spool.Chunk {
	b.events = n
	return []spool.Chunk{b.chunk("red", 1), b.chunk("red", 3)}
}

// delivers puts what was in the bucket into it.
func (b *bench) delivers(dir string) {
	b.t.Helper()
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		body, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		key, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		return b.bucket("red").Create(context.Background(), filepath.ToSlash(key), bytes.NewReader(body), int64(len(body)),
			objectstore.PutOptions{SHA256: sha256.Sum256(body)})
	})
	if err != nil {
		b.t.Fatal(err)
	}
}

func pack(t *testing.T, dir, name string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	zip := gzip.NewWriter(f)
	w := tar.NewWriter(zip)
	if err := errors.Join(w.AddFS(os.DirFS(dir)), w.Close(), zip.Close(), f.Close()); err != nil {
		t.Fatal(err)
	}
}

func unpack(t *testing.T, name, dir string) {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	zip, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	for r := tar.NewReader(zip); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, filepath.Clean("/"+h.Name))
		if h.Typeflag == tar.TypeDir {
			err = os.MkdirAll(path, 0o700)
		} else {
			var body []byte
			if body, err = io.ReadAll(r); err == nil {
				err = errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, body, 0o600))
			}
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}
