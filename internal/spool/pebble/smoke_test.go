package pebble

import (
	"context"
	"testing"

	"github.com/trail-operator/trail-operator/internal/spool"
)

func TestSmoke(t *testing.T) {
	s, err := Open(t.TempDir(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	got, err := s.Append(context.Background(), []spool.Chunk{{ID: spool.ID{1}, Items: 1, Data: spool.AppendItem(nil, []byte("x"))}}, spool.Set("a", []byte("b")))
	if err != nil || got[0].Position != 1 {
		t.Fatal(got, err)
	}
	n := 0
	err = s.Read(context.Background(), 0, func(p spool.Position, c *spool.Chunk) error { n++; return nil }, func(d spool.Damaged) { t.Error(d) })
	if err != nil || n != 1 {
		t.Fatal(err, n)
	}
	if v, err := s.Get("a"); err != nil || string(v) != "b" {
		t.Fatal(v, err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}
