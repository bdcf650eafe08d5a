package pebble

import (
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/trail-operator/trail-operator/internal/spool"
)

// note counts how often it was released.
type note struct{ released int }

func (n *note) Release() { n.released++ }

// What is attached comes once, with its chunk and in the place of its Data, and
// is released in all other cases.
func TestAttached(t *testing.T) {
	s := openStore(t, "spool", Options{FS: vfs.NewMem()})
	with := func(n byte) (spool.Chunk, *note) {
		c, a := testChunk(n), &note{}
		c.Attached = a
		return c, a
	}
	read := func(after spool.Position) (got []spool.Chunk) {
		t.Helper()
		err := s.Read(t.Context(), after, func(_ spool.Position, c *spool.Chunk) error {
			got = append(got, *c)
			return nil
		}, func(d spool.Damaged) { t.Error(d) })
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	one, first := with(1)
	two := testChunk(2)
	again, second := with(1)
	if _, err := s.Append(t.Context(), []spool.Chunk{one, two, again}); err != nil {
		t.Fatal(err)
	}
	if first.released != 0 || second.released != 1 {
		t.Errorf("released %d and, of the duplicate, %d times", first.released, second.released)
	}
	got := read(0)
	if len(got) != 2 || got[0].Attached != spool.Attached(first) || got[0].Data != nil || got[0].ID != one.ID || got[0].Items != 1 || got[1].Attached != nil || len(got[1].Data) == 0 {
		t.Errorf("%+v", got)
	}
	if got := read(0); len(got) != 2 || got[0].Attached != nil || len(got[0].Data) == 0 {
		t.Errorf("read again: %+v", got)
	}
	three, third := with(3)
	if _, err := s.Append(t.Context(), []spool.Chunk{three}); err != nil {
		t.Fatal(err)
	}
	if err := s.Trim(3); err != nil || third.released != 1 {
		t.Errorf("%v; trimmed, and released %d times", err, third.released)
	}
	four, fourth := with(4)
	if _, err := s.Append(t.Context(), []spool.Chunk{four}, spool.Expect("a", nil)); err == nil || fourth.released != 1 {
		t.Errorf("%v; refused, and released %d times", err, fourth.released)
	}
	if first.released != 0 {
		t.Error("who has it releases it")
	}
}
