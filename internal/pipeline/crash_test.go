package pipeline

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"path/filepath"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/trail-operator/trail-operator/internal/objectstore"
	"github.com/trail-operator/trail-operator/internal/objectstore/memory"
	"github.com/trail-operator/trail-operator/internal/outbox"
	"github.com/trail-operator/trail-operator/internal/record"
	"github.com/trail-operator/trail-operator/internal/spool"
)

// volume is an outbox on a file system in memory that forgets, when it crashes,
// what was not synced.
type volume struct{ *vfs.MemFS }

var _ outbox.FS = volume{}

func (v volume) MkdirAll(dir string) error { return v.MemFS.MkdirAll(dir, 0o700) }

func (v volume) Create(path string) (outbox.File, error) {
	f, err := v.MemFS.Create(path, vfs.WriteCategoryUnspecified)
	return copying{f}, err
}

// copying gives each Write a buffer of its own: under the race detector a
// vfs.File overwrites what it was given, which no operating system does.
type copying struct{ vfs.File }

func (f copying) Write(b []byte) (int, error) { return f.File.Write(bytes.Clone(b)) }

func (v volume) Open(path string) (io.ReadSeekCloser, error) {
	f, err := v.MemFS.Open(path)
	if err != nil {
		return nil, fs.ErrNotExist
	}
	defer f.Close()
	b, err := io.ReadAll(f)
	return content{ReadSeeker: bytes.NewReader(b)}, err
}

func (v volume) List(dir string) ([]string, error) {
	names, err := v.MemFS.List(dir)
	if err != nil {
		return nil, nil //nolint:nilerr // no such folder: no files
	}
	return names, nil
}

func (v volume) SyncDir(dir string) error {
	d, err := v.OpenDir(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

type content struct{ io.ReadSeeker }

func (content) Close() error { return nil }

// TestPowerLoss cuts the power again and again, in the middle of writing,
// delivering and digesting, and counts in the end what is in the bucket.
func TestPowerLoss(t *testing.T) {
	for seed := range uint64(8) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { powerLoss(t, seed) })
	}
}

func powerLoss(t *testing.T, seed uint64) {
	r := rand.New(rand.NewPCG(seed, 0))
	files := vfs.NewCrashableMem()
	if err := errors.Join(files.MkdirAll("/data", 0o700), volume{files}.SyncDir("/")); err != nil {
		t.Fatal(err)
	}
	b := newBench(t, files)
	b.trail("red").MaxFileAgeSeconds = 30
	b.apply()
	var want []string
	for range 12 {
		// In half of the lives the bucket is away, so that files wait for it.
		b.reachable("red", r.IntN(2) == 0)
		var unanswered []spool.Chunk
		for range r.IntN(6) {
			n := 1 + r.IntN(20)
			first := b.events + 1
			c := b.post("red", n)
			for i := range n {
				want = append(want, fmt.Sprintf("e-%d", first+i))
			}
			if r.IntN(3) == 0 { // the answer was lost on its way
				b.send(c)
				unanswered = append(unanswered, c)
			}
			for range r.IntN(60) {
				b.clock.Step(time.Duration(r.IntN(4000)) * time.Millisecond)
				time.Sleep(time.Duration(r.IntN(500)) * time.Microsecond) // lets others run, or not
			}
		}
		b.crash(r)
		for _, c := range unanswered {
			b.send(c)
		}
	}
	b.reachable("red", true)
	b.trails[0].Suspended, b.trails[0].Generation = true, 2
	b.apply()
	b.until("flush", func() bool { return b.status("red").Flushed })
	b.checkExactlyOnce("red", want)
	b.checkDigests("red")
	if c := b.status("red").Counts; c.Accepted != int64(len(want)) || c.Delivered != c.Accepted {
		t.Errorf("the account is wrong: %+v, want %d accepted and delivered", c, len(want))
	}
}

// reachable lets a bucket answer, or not.
func (b *bench) reachable(name string, yes bool) {
	if yes {
		b.bucket(name).SetHook(nil)
		return
	}
	b.bucket(name).SetHook(func(context.Context, objectstore.Op, string) memory.Fault {
		return memory.Fault{Refuse: objectstore.ErrUnreachable}
	})
}

// crash takes the volume as the power loss leaves it, and starts again on it.
func (b *bench) crash(r *rand.Rand) {
	// Whatever the old process does from here on has not happened.
	b.reachable("red", false)
	after := b.fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: r.IntN(60), RNG: r})
	b.stop()
	b.reachable("red", true)
	b.fs = after
	b.start()
}

// checkExactlyOnce requires these events in a bucket, and no others. delivered
// reports what is there twice.
func (b *bench) checkExactlyOnce(namespace string, want []string) {
	b.t.Helper()
	missing := map[string]bool{}
	for _, id := range want {
		missing[id] = true
	}
	more := 0
	for _, id := range b.delivered(namespace) {
		if !missing[id] {
			more++
		}
		delete(missing, id)
	}
	if len(missing) > 0 || more > 0 {
		b.t.Errorf("of %d acknowledged events %d are lost; %d others were delivered", len(want), len(missing), more)
	}
}

// checkDigests requires that every log file in the bucket is in exactly one
// digest and that the digests form one chain without gaps.
func (b *bench) checkDigests(namespace string) {
	b.t.Helper()
	listed := map[string]int{}
	chain := b.digests(namespace)
	for i, d := range chain {
		for _, f := range d.LogFiles {
			listed[f.S3Object]++
		}
		if i > 0 && (d.DigestStartTime != chain[i-1].DigestEndTime || d.PreviousDigestS3Object == nil || *d.PreviousDigestS3Object != chain[i-1].DigestS3Object) {
			b.t.Errorf("digest %d does not follow the one before", i)
		}
	}
	for key := range b.bucket(namespace).Objects() {
		if filepath.Ext(key) == ".gz" && record.IsLogFileKey(key) && listed[key] != 1 {
			b.t.Errorf("%s is listed in %d digests", key, listed[key])
		}
		delete(listed, key)
	}
	for key := range listed {
		b.t.Errorf("%s is listed and not there", key)
	}
}
