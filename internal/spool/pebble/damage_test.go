package pebble

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/go-logr/logr/funcr"

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
	corruptTables(t, dir, 3)

	var logged []string
	s = openStore(t, dir, Options{Logger: funcr.New(func(_, args string) { logged = append(logged, args) }, funcr.Options{})})
	good, damaged := readAll(t, s, 0)
	if len(good)+len(damaged) != chunks || len(damaged) == 0 || len(damaged) > 6 {
		t.Fatalf("%d chunks read, damaged %v", len(good), damaged)
	}
	for p, reason := range damaged {
		if !strings.Contains(reason, "corrupt") {
			t.Errorf("position %d: %s", p, reason)
		}
	}
	if kept, err := filepath.Glob(filepath.Join(dir, "damaged", "*.sst")); err != nil || len(kept) == 0 {
		t.Errorf("no table was kept aside: %v, %v", kept, err)
	}
	if len(logged) == 0 {
		t.Error("nothing was logged")
	}
	if got, err := s.Append(t.Context(), []spool.Chunk{testChunk(200)}); err != nil || got[0].Position != chunks+1 {
		t.Errorf("append after damage: %v, %v", got, err)
	}
	if good, _ := readAll(t, s, chunks); len(good) != 1 {
		t.Errorf("what was appended after the damage cannot be read")
	}
}

// corruptTables flips single bits in the middle of the tables of a directory.
func corruptTables(t *testing.T, dir string, flips int) {
	t.Helper()
	tables, err := filepath.Glob(filepath.Join(dir, "*.sst"))
	if err != nil || len(tables) == 0 {
		t.Fatal("no tables", err)
	}
	for _, name := range tables {
		b := readFile(t, vfs.Default, name)
		for i := range flips {
			b[len(b)*(i+1)/(flips+2)] ^= 4
		}
		f, err := vfs.Default.Create(name, vfs.WriteCategoryUnspecified)
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
}
