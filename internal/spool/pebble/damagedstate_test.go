package pebble

import (
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/trail-operator/trail-operator/internal/spool"
)

// One bit in the documents of others takes nothing of a trail's: salvaging goes
// on behind the block that cannot be read.
func TestStateBehindADamagedBlock(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "spool")
	s := openStore(t, dir, Options{})
	for n := range 50 {
		value := make([]byte, 10_000)
		_, _ = rand.Read(value)
		if err := s.Commit(spool.Set(fmt.Sprintf("own/%03d", n), value)); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Commit(spool.Set("trail/uid/cursor", []byte("x"))); err != nil {
		t.Fatal(err)
	}
	if err := s.db.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	tables, err := filepath.Glob(filepath.Join(dir, "*.sst"))
	if err != nil {
		t.Fatal(err)
	}
	flipped := 0
	for _, path := range tables {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if len(b) < 100_000 {
			continue
		}
		b[len(b)/3] ^= 1
		flipped++
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if flipped != 1 {
		t.Fatalf("%d tables hold the documents", flipped)
	}
	s = openStore(t, dir, Options{})
	if value, err := s.Get("trail/uid/cursor"); err != nil || string(value) != "x" {
		t.Errorf("the cursor is %q, %v", value, err)
	}
}
