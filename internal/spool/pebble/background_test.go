package pebble

import (
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/go-logr/logr/funcr"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/trail-operator/trail-operator/internal/spool"
)

// noSpaceFS has no space for tables while it is full.
type noSpaceFS struct {
	vfs.FS
	full atomic.Bool
}

func (fs *noSpaceFS) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	if fs.full.Load() && strings.HasSuffix(name, ".sst") {
		return nil, syscall.ENOSPC
	}
	return fs.FS.Create(name, category)
}

// TestFlushWithoutSpace: a flush that finds no space is tried again without
// haste and without flooding the log, and nothing is lost.
func TestFlushWithoutSpace(t *testing.T) {
	fs := &noSpaceFS{FS: vfs.NewMem()}
	var lines atomic.Int64
	s := openStore(t, "spool", Options{FS: fs, Logger: funcr.New(func(string, string) { lines.Add(1) }, funcr.Options{})})
	if _, err := s.Append(t.Context(), []spool.Chunk{testChunk(1)}); err != nil {
		t.Fatal(err)
	}
	fs.full.Store(true)
	started := time.Now()
	flushed, err := s.db.AsyncFlush()
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the flush has failed three times", func() bool { return testutil.ToFloat64(s.metrics.backgroundErrors) >= 3 })
	if took := time.Since(started); took < 2*noSpacePause {
		t.Errorf("three attempts took %v", took)
	}
	if n := lines.Load(); n != 1 {
		t.Errorf("%d lines were logged", n)
	}
	fs.full.Store(false)
	<-flushed
	if good, damaged := readAll(t, s, 0); len(good) != 1 || len(damaged) != 0 {
		t.Errorf("read %v, damaged %v", good, damaged)
	}
}

func TestLogLimit(t *testing.T) {
	var l logLimit
	now := time.Unix(1790000000, 0)
	for i, want := range []bool{true, false, true, false} {
		if got := l.allow(now); got != want {
			t.Errorf("line %d: %v", i, got)
		}
		now = now.Add(backgroundLogInterval * 2 / 3)
	}
}
