package pebble

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/go-logr/logr/funcr"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/trail-operator/trail-operator/internal/spool"
)

// readAll returns the positions that could be read, and what was damaged.
func readAll(t *testing.T, s spool.Spool, after spool.Position) (good []spool.Position, damaged map[spool.Position]string) {
	t.Helper()
	damaged = map[spool.Position]string{}
	err := s.Read(t.Context(), after, func(p spool.Position, c *spool.Chunk) error {
		good = append(good, p)
		return nil
	}, func(d spool.Damaged) { damaged[d.Position] = d.Reason })
	if err != nil {
		t.Fatal(err)
	}
	return good, damaged
}

func readFile(t *testing.T, fs vfs.FS, name string) []byte {
	t.Helper()
	f, err := fs.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	b, err := io.ReadAll(f)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestDamagedChunk: a damaged and a missing chunk are reported, kept aside as
// far as there is anything to keep, and the others are read.
func TestDamagedChunk(t *testing.T) {
	fs := vfs.NewMem()
	s := openStore(t, "spool", Options{FS: fs})
	for n := range byte(5) {
		if _, err := s.Append(t.Context(), []spool.Chunk{testChunk(n)}); err != nil {
			t.Fatal(err)
		}
	}
	broken, err := s.get(chunkKey(2))
	if err != nil {
		t.Fatal(err)
	}
	broken[len(broken)-1] ^= 1
	if err := s.db.Set(chunkKey(2), broken, pebble.Sync); err != nil {
		t.Fatal(err)
	}
	if err := s.db.Delete(chunkKey(4), pebble.Sync); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		good, damaged := readAll(t, s, 0)
		if !slices.Equal(good, []spool.Position{1, 3, 5}) || len(damaged) != 2 {
			t.Fatalf("read %v, damaged %v", good, damaged)
		}
		if !strings.Contains(damaged[2], "checksum") || !strings.Contains(damaged[4], "missing") {
			t.Error(damaged)
		}
	}
	// It stays when the chunk goes, and counts as usage.
	if err := s.Trim(5); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openStore(t, "spool", Options{FS: fs})
	if kept := readFile(t, fs, "spool/damaged/chunk-00000000000000000002"); !bytes.Equal(kept, broken) {
		t.Error("what was kept aside is not what was damaged")
	}
	if s.aside.usage() != int64(len(broken)) {
		t.Errorf("usage of what is kept aside: %d, want %d", s.aside.usage(), len(broken))
	}
}

// TestAsideIsBounded: more than the bound is reported and not kept.
func TestAsideIsBounded(t *testing.T) {
	fs := vfs.NewMem()
	a, err := openAside(fs, "damaged", funcr.New(func(string, string) {}, funcr.Options{}))
	if err != nil {
		t.Fatal(err)
	}
	a.size = maxAside - 3
	if err := a.keepChunk(1, []byte("1234")); err != nil {
		t.Fatal(err)
	}
	if err := a.keepChunk(2, []byte("123")); err != nil {
		t.Fatal(err)
	}
	names, err := fs.List("damaged")
	if err != nil || len(names) != 1 || a.usage() != maxAside {
		t.Errorf("kept %v, %d bytes, %v", names, a.usage(), err)
	}
}

// TestCorruptTable flips bytes in Pebble's tables: what can be read is read,
// what cannot is reported with its position, the file is kept aside, writing
// goes on, and the process lives.
func TestCorruptTable(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir, Options{})
	noise := rand.NewChaCha8([32]byte{1})
	const chunks = 40
	for n := range chunks {
		data := make([]byte, 64<<10)
		_, _ = noise.Read(data)
		c := spool.Chunk{ID: spool.ID{byte(n), 1}, Items: 1, Data: spool.AppendItem(nil, data)}
		if _, err := s.Append(t.Context(), []spool.Chunk{c}, spool.Set(fmt.Sprint(n), data[:32])); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.db.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	corruptTables(t, dir, true)

	var logged atomic.Int64
	s = openStore(t, dir, Options{Logger: funcr.New(func(string, string) { logged.Add(1) }, funcr.Options{})})
	good, damaged := readAll(t, s, 0)
	if len(good)+len(damaged) != chunks || len(damaged) == 0 || len(damaged) > 6 {
		t.Fatalf("%d chunks read, damaged %v", len(good), damaged)
	}
	for p, reason := range damaged {
		if !strings.Contains(reason, "corrupt") {
			t.Errorf("position %d: %s", p, reason)
		}
	}
	if logged.Load() == 0 {
		t.Error("nothing was logged")
	}
	if got, err := s.Append(t.Context(), []spool.Chunk{testChunk(200)}); err != nil || got[0].Position != chunks+1 {
		t.Errorf("append after damage: %v, %v", got, err)
	}
	if good, _ := readAll(t, s, chunks); len(good) != 1 {
		t.Errorf("what was appended after the damage cannot be read")
	}

	// Compaction fails over the table, without haste. When its chunks are
	// trimmed it goes, and stays aside.
	for range 4 {
		if err := s.Commit(spool.Set("a", []byte("b"))); err != nil {
			t.Fatal(err)
		}
		if err := s.db.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Trim(s.Tail()); err != nil {
		t.Fatal(err)
	}
	kept, err := filepath.Glob(filepath.Join(dir, "damaged", "*.sst"))
	if err != nil || len(kept) == 0 {
		t.Fatalf("no table was kept aside: %v, %v", kept, err)
	}
	eventually(t, "the corrupt table is dropped", func() bool {
		_, err := vfs.Default.Stat(filepath.Join(dir, filepath.Base(kept[0])))
		return errors.Is(err, os.ErrNotExist)
	})
	if n := testutil.ToFloat64(s.metrics.backgroundErrors); n > 2 {
		t.Errorf("a compaction that cannot succeed was tried %v times", n)
	}
	if _, err := vfs.Default.Stat(kept[0]); err != nil {
		t.Errorf("what was kept aside is gone: %v", err)
	}
}

// TestCorruptState: a spool whose state cannot be read is put aside, and goes on
// with what can be. That something is lost is told as a damaged chunk.
func TestCorruptState(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "spool")
	s := openStore(t, dir, Options{})
	id := s.UUID()
	if _, err := s.Append(t.Context(), []spool.Chunk{testChunk(1)}); err != nil {
		t.Fatal(err)
	}
	if err := s.db.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	corruptTables(t, dir, false)
	for range 2 {
		s = openStore(t, dir, Options{})
		if _, damaged := readAll(t, s, 0); len(damaged) == 0 || s.UUID() != id {
			t.Errorf("damaged are %v, the UUID is %s, was %s", damaged, s.UUID(), id)
		}
		if got, err := s.Append(t.Context(), []spool.Chunk{testChunk(2)}); err != nil || got[0].Position < 2 {
			t.Errorf("%v, %v", got, err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if kept, err := filepath.Glob(dir + ".damaged-*/*.sst"); err != nil || len(kept) == 0 {
		t.Errorf("the damaged files are not kept: %v, %v", kept, err)
	}
}

// TestCorruptLog: a log that breaks before its end is no torn tail. It is not
// cut there, which would lose what follows.
func TestCorruptLog(t *testing.T) {
	fs := vfs.NewCrashableMem()
	s := openStore(t, "spool", Options{FS: fs})
	for n := range uint64(100) {
		if _, err := s.Append(t.Context(), []spool.Chunk{noiseChunk(n, 10000)}, spool.Set(fmt.Sprint(n), []byte("x"))); err != nil {
			t.Fatal(err)
		}
	}
	for _, part := range []int{10, 3, 2} {
		clone := fs.CrashClone(vfs.CrashCloneCfg{})
		name := newestLog(t, clone)
		b := readFile(t, clone, name)
		b[len(b)/part] ^= 8
		writeFile(t, clone, name, b)
		s := openStore(t, "spool", Options{FS: clone})
		good, damaged := readAll(t, s, 0)
		if len(good) < 93 || len(good) >= 100 || len(good)+len(damaged) != int(s.Tail()) {
			t.Errorf("a log broken after one part in %d: %d are read, %d are missed, the tail is at %d", part, len(good), len(damaged), s.Tail())
		}
		state := 0
		if err := s.Scan("", func(string, []byte) error { state++; return nil }); err != nil || state != len(good) {
			t.Errorf("%d documents are left beside %d chunks, %v", state, len(good), err)
		}
		if _, err := clone.Stat("spool.damaged-1/" + clone.PathBase(name)); err != nil {
			t.Error("the damaged log is not kept:", err)
		}
	}
}

func writeFile(t *testing.T, fs vfs.FS, name string, b []byte) {
	t.Helper()
	f, err := fs.Create(name, vfs.WriteCategoryUnspecified)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

// corruptTables flips bits all over the tables that hold chunks, or over the others.
func corruptTables(t *testing.T, dir string, chunks bool) {
	t.Helper()
	tables, err := filepath.Glob(filepath.Join(dir, "*.sst"))
	if err != nil || len(tables) == 0 {
		t.Fatal("no tables", err)
	}
	for _, name := range tables {
		b := readFile(t, vfs.Default, name)
		if isChunks := len(b) > 64<<10; isChunks != chunks {
			continue
		}
		b[len(b)/5] ^= 4
		if chunks {
			b[len(b)*2/5] ^= 4
			b[len(b)*3/5] ^= 4
		}
		writeFile(t, vfs.Default, name, b)
	}
}
