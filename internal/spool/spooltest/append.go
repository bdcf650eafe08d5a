package spooltest

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/trail-operator/trail-operator/internal/spool"
)

func testEmpty(t *testing.T, v *Volume) {
	s := open(t, v)
	if tail := s.Tail(); tail != 0 {
		t.Errorf("tail of an empty spool: %d", tail)
	}
	if got := read(t, s, 0); len(got) != 0 {
		t.Errorf("an empty spool holds %d chunks", len(got))
	}
	if got, err := s.Append(t.Context(), nil); err != nil || len(got) != 0 {
		t.Errorf("append of nothing: %v, %v", got, err)
	}
	mustCommit(t, s)
	if tail := s.Tail(); tail != 0 {
		t.Errorf("tail after writing nothing: %d", tail)
	}
	id := s.UUID()
	if s = reopen(t, v, s); s.UUID() != id || id == "" {
		t.Errorf("UUID changed from %q to %q", id, s.UUID())
	}
	if s.Usage() <= 0 {
		t.Errorf("usage %d", s.Usage())
	}
}

func testRoundTrip(t *testing.T, v *Volume) {
	noise := make([]byte, 3<<20)
	r := rand.NewChaCha8([32]byte{})
	_, _ = r.Read(noise)
	full := chunk("full")
	full.Skipped, full.Quarantined = 7, 1<<20
	hollow := spool.Chunk{ID: spool.ID{1}, Kind: spool.KindAudit, Skipped: 400, Received: time.Unix(0, 0).UTC()}
	own := chunk("own")
	own.Kind, own.Source = spool.KindOwn, ""
	long := spool.Chunk{ID: spool.ID{2}, Kind: spool.KindAudit, Items: 1, Data: spool.AppendItem(nil, noise)}
	zeros := spool.Chunk{ID: spool.ID{3}, Kind: spool.KindAudit, Items: 1, Data: spool.AppendItem(nil, make([]byte, 4<<20))}

	s := open(t, v)
	want := map[spool.Position]spool.Chunk{}
	for i, c := range []spool.Chunk{full, hollow, own, long, zeros} {
		want[spool.Position(i+1)] = c
	}
	got, err := s.Append(t.Context(), []spool.Chunk{full, hollow})
	if diff := cmp.Diff([]spool.Appended{{Position: 1}, {Position: 2}}, got); err != nil || diff != "" {
		t.Fatalf("append: %v\n%s", err, diff)
	}
	if last := mustAppend(t, s, own, long, zeros); last != 5 || s.Tail() != 5 {
		t.Fatalf("last position %d, tail %d, want 5", last, s.Tail())
	}
	for range 2 {
		if diff := cmp.Diff(want, read(t, s, 0), cmp.Comparer(bytes.Equal)); diff != "" {
			t.Fatal(diff)
		}
		s = reopen(t, v, s)
		if s.Tail() != 5 {
			t.Fatalf("tail %d after reopening, want 5", s.Tail())
		}
	}
	if got := read(t, s, 3); len(got) != 2 || len(got[4].Data) == 0 {
		t.Fatalf("%d chunks after position 3, want 2", len(got))
	}
	if got := read(t, s, 99); len(got) != 0 {
		t.Fatalf("%d chunks behind the tail", len(got))
	}
}

func testReadStops(t *testing.T, v *Volume) {
	s := open(t, v)
	mustAppend(t, s, chunkN(1), chunkN(2), chunkN(3))
	stop := errors.New("stop")
	calls := 0
	err := s.Read(t.Context(), 0, func(p spool.Position, _ *spool.Chunk) error {
		if calls++; p == 2 {
			return stop
		}
		return nil
	}, nil)
	if !errors.Is(err, stop) || calls != 2 {
		t.Errorf("fn was called %d times, Read returned %v", calls, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	err = s.Read(ctx, 0, func(spool.Position, *spool.Chunk) error { cancel(); return nil }, nil)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("Read with a ended context returned %v", err)
	}
}

// testFollow: readers that follow the tail see every chunk once and in order,
// and never one that its writer has no answer for yet.
func testFollow(t *testing.T, v *Volume) {
	const writers, each, readers = 4, 50, 3
	s := open(t, v)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				got, err := s.Append(ctx, []spool.Chunk{chunkN(w*each + i)})
				if err != nil {
					t.Error(err)
					return
				}
				if tail := s.Tail(); tail < got[0].Position {
					t.Errorf("position %d was answered while the tail stood at %d", got[0].Position, tail)
				}
			}
		})
	}
	for range readers {
		wg.Go(func() {
			at := spool.Position(0)
			for at < writers*each {
				if err := s.Wait(ctx, at); err != nil {
					t.Error(err)
					return
				}
				err := s.Read(ctx, at, func(p spool.Position, _ *spool.Chunk) error {
					if p != at+1 {
						t.Errorf("position %d follows %d", p, at)
					}
					at = p
					return nil
				}, func(d spool.Damaged) { t.Errorf("position %d: %s", d.Position, d.Reason) })
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	ids := map[spool.ID]bool{}
	for _, c := range read(t, s, 0) {
		ids[c.ID] = true
	}
	if len(ids) != writers*each {
		t.Errorf("%d different chunks are stored, want %d", len(ids), writers*each)
	}
}

func testWait(t *testing.T, v *Volume) {
	s := open(t, v)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Wait(ctx, 0); !errors.Is(err, context.Canceled) {
		t.Errorf("Wait with a ended context: %v", err)
	}
	waited := make(chan error, 1)
	go func() { waited <- s.Wait(t.Context(), 1) }()
	mustAppend(t, s, chunkN(1))
	select {
	case err := <-waited:
		t.Fatalf("Wait for position 2 returned %v at position 1", err)
	default:
	}
	mustAppend(t, s, chunkN(2))
	if err := <-waited; err != nil {
		t.Fatal(err)
	}
	if err := s.Wait(t.Context(), 0); err != nil {
		t.Errorf("Wait for what is there: %v", err)
	}
	go func() { waited <- s.Wait(context.Background(), 2) }()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-waited; !errors.Is(err, spool.ErrClosed) {
		t.Errorf("Wait ended by Close: %v", err)
	}
}

// testLimits: what could not be read back is refused, and nothing of its call is stored.
func testLimits(t *testing.T, v *Volume) {
	s := open(t, v)
	for name, c := range map[string]spool.Chunk{
		"data":      {ID: spool.ID{1}, Items: 1, Data: make([]byte, 64<<20)},
		"source":    {ID: spool.ID{2}, Source: string(bytes.Repeat([]byte("x"), 1<<20))},
		"items":     {ID: spool.ID{3}, Items: 5, Data: []byte{1, 'x'}},
		"negative":  {ID: spool.ID{4}, Items: -1},
		"skipped":   {ID: spool.ID{5}, Skipped: -1},
		"counts":    {ID: spool.ID{6}, Quarantined: 1 << 40},
		"countless": {ID: spool.ID{7}, Skipped: 1 << 62},
	} {
		if _, err := s.Append(t.Context(), []spool.Chunk{chunk("good " + name), c}); err == nil {
			t.Errorf("%s: a chunk beyond all limits was taken", name)
		}
	}
	if s.Tail() != 0 {
		t.Errorf("the tail is at %d after refusals only", s.Tail())
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for range 100 { // whatever it does, it does it wholly
		got, err := s.Append(ctx, []spool.Chunk{chunk("late")})
		if (err == nil) != (len(got) == 1) {
			t.Fatalf("Append with a ended context: %v, %v", got, err)
		}
	}
	if s.Tail() > 1 {
		t.Errorf("the same chunk was stored %d times", s.Tail())
	}
}
