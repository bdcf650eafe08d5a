package spooltest

import (
	"errors"
	"sync"
	"testing"

	"github.com/trail-operator/trail-operator/internal/spool"
)

func testTrim(t *testing.T, v *Volume) {
	s := open(t, v)
	mustAppend(t, s, chunkN(1), chunkN(2), chunkN(3), chunkN(4))
	if err := s.Trim(5); err == nil {
		t.Error("trimmed behind the tail")
	}
	for _, upTo := range []spool.Position{0, 2, 1} {
		if err := s.Trim(upTo); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		if got := read(t, s, 0); len(got) != 2 || got[3].Items == 0 || got[4].Items == 0 {
			t.Fatalf("%d chunks are left, want 3 and 4", len(got))
		}
		if s.Tail() != 4 {
			t.Fatalf("the tail is at %d, want 4", s.Tail())
		}
		s = reopen(t, v, s)
	}
}

// testTrimWhileReading: what is trimmed under a reader is passed over, not damaged.
func testTrimWhileReading(t *testing.T, v *Volume) {
	s := open(t, v)
	for i := range 20 {
		mustAppend(t, s, chunkN(i))
	}
	var got []spool.Position
	err := s.Read(t.Context(), 0, func(p spool.Position, _ *spool.Chunk) error {
		got = append(got, p)
		if p == 3 {
			return s.Trim(10)
		}
		return nil
	}, func(d spool.Damaged) { t.Errorf("position %d: %s", d.Position, d.Reason) })
	if err != nil {
		t.Fatal(err)
	}
	if last := got[len(got)-1]; last != 20 || len(got) < 13 {
		t.Errorf("read %v", got)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for p := spool.Position(11); p <= 20; p++ {
			if err := s.Trim(p); err != nil {
				t.Error(err)
			}
		}
	})
	for range 50 {
		if _, err := collect(t.Context(), s, 10); err != nil {
			t.Error(err)
		}
	}
	wg.Wait()
}

// testTrimAll: positions are never used again, also when nothing is left.
func testTrimAll(t *testing.T, v *Volume) {
	s := open(t, v)
	mustAppend(t, s, chunkN(1), chunkN(2), chunkN(3))
	if err := s.Trim(3); err != nil {
		t.Fatal(err)
	}
	for want := spool.Position(4); want < 7; want++ {
		s = reopen(t, v, s)
		if s.Tail() != want-1 {
			t.Fatalf("the tail is at %d, want %d", s.Tail(), want-1)
		}
		if got := mustAppend(t, s, chunkN(int(want))); got != want {
			t.Fatalf("appended at %d, want %d", got, want)
		}
		if got := read(t, s, 0); len(got) != 1 {
			t.Fatalf("%d chunks, want 1", len(got))
		}
		if err := s.Trim(want); err != nil {
			t.Fatal(err)
		}
	}
}

func testFull(t *testing.T, v *Volume) {
	s := open(t, v)
	mustAppend(t, s, chunkN(1))
	for _, free := range []int64{-1 << 20, 0, 10} {
		v.SetFree(free)
		if _, err := s.Append(t.Context(), []spool.Chunk{chunkN(1), chunkN(2)}, spool.Set("a", []byte("x"))); !errors.Is(err, spool.ErrFull) {
			t.Errorf("%d bytes left: Append returned %v", free, err)
		}
		// What is stored already is still confirmed, state is still written,
		// and space can be given back.
		wantAppended(t, s, []spool.Chunk{chunkN(1)}, duplicate(1))
		mustCommit(t, s, spool.Set("b", []byte("x")))
		if err := s.Trim(0); err != nil {
			t.Error(err)
		}
	}
	if a, b := mustGet(t, s, "a"), mustGet(t, s, "b"); a != nil || string(b) != "x" || s.Tail() != 1 {
		t.Errorf("a = %q, b = %q, tail %d", a, b, s.Tail())
	}
	v.SetFree(1 << 20)
	if got := mustAppend(t, s, chunkN(2)); got != 2 {
		t.Errorf("after space had come back the chunk was stored at %d, want 2", got)
	}
	// Concurrent calls must not share the last bytes.
	v.SetFree(1 << 20)
	big := chunk("big")
	for len(big.Data) < 4<<20 {
		id := chunkN(len(big.Data)).ID // does not compress
		big.Data = spool.AppendItem(big.Data, id[:])
		big.Items++
	}
	if _, err := s.Append(t.Context(), []spool.Chunk{big}); !errors.Is(err, spool.ErrFull) {
		t.Errorf("4 MiB into 1 MiB: %v", err)
	}
}
