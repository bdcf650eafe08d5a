package spooltest

import (
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/trail-operator/trail-operator/internal/spool"
)

// wantAppended appends chunks in one call and compares the answer.
func wantAppended(t *testing.T, s spool.Spool, chunks []spool.Chunk, want ...spool.Appended) {
	t.Helper()
	got, err := s.Append(t.Context(), chunks)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatal(diff)
	}
}

func duplicate(p spool.Position) spool.Appended { return spool.Appended{Position: p, Duplicate: true} }

func testDuplicates(t *testing.T, v *Volume) {
	a, b, c := chunk("a"), chunk("b"), chunk("c")
	s := open(t, v)
	wantAppended(t, s, []spool.Chunk{a, b, a}, spool.Appended{Position: 1}, spool.Appended{Position: 2}, duplicate(1))
	wantAppended(t, s, []spool.Chunk{b, c}, duplicate(2), spool.Appended{Position: 3})
	s = reopen(t, v, s)
	wantAppended(t, s, []spool.Chunk{c, a}, duplicate(3), duplicate(1))
	if len(read(t, s, 0)) != 3 || s.Tail() != 3 {
		t.Fatalf("the tail is at %d, want 3", s.Tail())
	}
	if err := s.Trim(2); err != nil {
		t.Fatal(err)
	}
	wantAppended(t, s, []spool.Chunk{a, c}, duplicate(0), duplicate(3))
}

func testDuplicatesConcurrent(t *testing.T, v *Volume) {
	const callers, chunks = 16, 20
	s := open(t, v)
	positions := make([][callers]spool.Appended, chunks)
	var wg sync.WaitGroup
	for caller := range callers {
		wg.Go(func() {
			for i := range chunks {
				got, err := s.Append(t.Context(), []spool.Chunk{chunkN(i)})
				if err != nil {
					t.Error(err)
					return
				}
				if s.Tail() < got[0].Position {
					t.Errorf("a duplicate of position %d was answered while the tail stood at %d", got[0].Position, s.Tail())
				}
				positions[i][caller] = got[0]
			}
		})
	}
	wg.Wait()
	for i := range chunks {
		first := 0
		for _, p := range positions[i] {
			if p.Position != positions[i][0].Position {
				t.Errorf("chunk %d is at %d and at %d", i, p.Position, positions[i][0].Position)
			}
			if !p.Duplicate {
				first++
			}
		}
		if first != 1 {
			t.Errorf("chunk %d was stored %d times", i, first)
		}
	}
	if s.Tail() != chunks {
		t.Errorf("the tail is at %d, want %d", s.Tail(), chunks)
	}
}

func testDuplicatesExpire(t *testing.T, v *Volume) {
	a, b := chunk("a"), chunk("b")
	s := open(t, v)
	wantAppended(t, s, []spool.Chunk{a, b}, spool.Appended{Position: 1}, spool.Appended{Position: 2})
	v.Clock.Step(v.Window - time.Second)
	wantAppended(t, s, []spool.Chunk{a}, duplicate(1))
	v.Clock.Step(v.Window - time.Second)
	// a was seen again within the window, b was not.
	wantAppended(t, s, []spool.Chunk{a, b}, duplicate(1), spool.Appended{Position: 3})
	v.Clock.Step(3 * v.Window)
	wantAppended(t, s, []spool.Chunk{b, a}, spool.Appended{Position: 4}, spool.Appended{Position: 5})
	v.Clock.Step(-time.Hour) // a clock set back is no reason to forget
	wantAppended(t, s, []spool.Chunk{b, a}, duplicate(4), duplicate(5))
}

// testDuplicatesAreUptime: while no receiver runs, clients cannot reach it, so
// that time does not count.
func testDuplicatesAreUptime(t *testing.T, v *Volume) {
	a := chunk("a")
	s := open(t, v)
	wantAppended(t, s, []spool.Chunk{a}, spool.Appended{Position: 1})
	for i := range 3 {
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		v.Clock.Step(100 * v.Window)
		s = open(t, v)
		wantAppended(t, s, []spool.Chunk{a, chunkN(i)}, duplicate(1), spool.Appended{Position: spool.Position(i + 2)})
	}
	v.Clock.Step(v.Window)
	wantAppended(t, s, []spool.Chunk{a}, spool.Appended{Position: 5})
}
