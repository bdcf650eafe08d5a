package spooltest

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/trail-operator/trail-operator/internal/spool"
)

func testPowerLoss(t *testing.T, v *Volume) {
	s := open(t, v)
	id := s.UUID()
	for i := range 20 {
		p := mustAppend(t, s, chunkN(i))
		mustCommit(t, s, spool.Set("cursor", fmt.Append(nil, i)))
		s = crash(t, v, s)
		if got := read(t, s, p-1); len(got) != 1 || got[p].ID != chunkN(i).ID {
			t.Fatalf("round %d: the chunk at position %d is lost", i, p)
		}
		if got := mustGet(t, s, "cursor"); string(got) != fmt.Sprint(i) {
			t.Fatalf("round %d: the cursor is %q", i, got)
		}
		wantAppended(t, s, []spool.Chunk{chunkN(i)}, duplicate(p))
	}
	if s.UUID() != id {
		t.Errorf("the UUID changed from %s to %s", id, s.UUID())
	}
}

// answers is what callers have been told.
type answers struct {
	mu    sync.Mutex
	at    map[spool.ID]spool.Position
	count map[string]uint64
}

func (a *answers) snapshot() *answers {
	a.mu.Lock()
	defer a.mu.Unlock()
	copied := &answers{at: map[spool.ID]spool.Position{}, count: map[string]uint64{}}
	for id, p := range a.at {
		copied.at[id] = p
	}
	for key, n := range a.count {
		copied.count[key] = n
	}
	return copied
}

// load appends and commits until the context ends.
func load(ctx context.Context, t *testing.T, s spool.Spool, round int, a *answers) (wait func()) {
	var wg sync.WaitGroup
	number := func(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }
	for w := range 6 {
		wg.Go(func() {
			key := fmt.Sprintf("writer/%d/%d", round, w)
			for n := uint64(1); ctx.Err() == nil; n++ {
				c := chunk(fmt.Sprintf("%s %d", key, n))
				c.Source = key
				got, err := s.Append(context.Background(), []spool.Chunk{c}, spool.Set(key, number(n)))
				if err != nil {
					t.Error(err)
					return
				}
				a.mu.Lock()
				a.at[c.ID], a.count[key] = got[0].Position, n
				a.mu.Unlock()
			}
		})
	}
	for w := range 2 {
		wg.Go(func() {
			key := fmt.Sprintf("state/%d/%d", round, w)
			var old []byte
			for n := uint64(1); ctx.Err() == nil; n++ {
				if err := s.Commit(spool.Expect(key, old), spool.Set(key, number(n))); err != nil {
					t.Error(err)
					return
				}
				old = number(n)
				a.mu.Lock()
				a.count[key] = n
				a.mu.Unlock()
			}
		})
	}
	return wg.Wait
}

// testPowerLossInTheMiddle takes the power away under load. What had been
// answered before is there, nothing is torn, and nothing is stored twice.
func testPowerLossInTheMiddle(t *testing.T, v *Volume) {
	if v.Crash == nil {
		t.Skip("this volume cannot lose its power")
	}
	s := open(t, v)
	all := &answers{at: map[spool.ID]spool.Position{}, count: map[string]uint64{}}
	for round := range 8 {
		ctx, cancel := context.WithCancel(t.Context())
		before := s.Tail()
		wait := load(ctx, t, s, round, all)
		deadline, stop := context.WithTimeout(t.Context(), time.Minute)
		if err := s.Wait(deadline, before+spool.Position(20+round*10)); err != nil {
			t.Error(err)
		}
		stop()
		told := all.snapshot()
		v.Crash()
		cancel()
		wait()
		s = reopen(t, v, s)
		checkAnswered(t, s, told)
		// What was answered by the dead spool after the crash counts no more.
		all = told
	}
}

func checkAnswered(t *testing.T, s spool.Spool, told *answers) {
	t.Helper()
	stored := read(t, s, 0)
	if len(stored) != int(s.Tail()) {
		t.Fatalf("%d chunks, the tail is at %d", len(stored), s.Tail())
	}
	written := map[string]uint64{}
	at := map[spool.ID]spool.Position{}
	for p, c := range stored {
		if other, twice := at[c.ID]; twice {
			t.Fatalf("a chunk is stored at %d and at %d", other, p)
		}
		at[c.ID] = p
		written[c.Source]++
	}
	for id, p := range told.at {
		if at[id] != p {
			t.Fatalf("the chunk answered with position %d is at %d", p, at[id])
		}
	}
	err := s.Scan("", func(key string, value []byte) error {
		n := binary.BigEndian.Uint64(value)
		if n < told.count[key] {
			t.Errorf("%s is %d, answered was %d", key, n, told.count[key])
		}
		if chunks, isWriter := written[key]; isWriter && chunks != n {
			t.Errorf("%s is %d beside %d chunks: one call was torn", key, n, chunks)
		}
		delete(told.count, key)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(told.count) > 0 {
		t.Errorf("these documents are lost: %v", told.count)
	}
}

// testPowerLossWhileReading: what a reader has seen, a chunk or a document, is
// there after a power loss, whether its writer has got an answer or not.
func testPowerLossWhileReading(t *testing.T, v *Volume) {
	if v.Crash == nil {
		t.Skip("this volume cannot lose its power")
	}
	s := open(t, v)
	for round := range 16 {
		ctx, cancel := context.WithCancel(t.Context())
		wait := load(ctx, t, s, round, &answers{at: map[spool.ID]spool.Position{}, count: map[string]uint64{}})
		var seenAt []spool.Position
		seenState := map[string]uint64{}
		for range 20 {
			deadline, stop := context.WithTimeout(t.Context(), time.Minute)
			if err := s.Wait(deadline, s.Tail()); err != nil {
				t.Error(err)
			}
			stop()
			seenAt = append(seenAt, s.Tail())
			err := s.Scan("", func(key string, value []byte) error {
				seenState[key] = max(seenState[key], binary.BigEndian.Uint64(value))
				return nil
			})
			if err != nil {
				t.Error(err)
			}
			key := fmt.Sprintf("state/%d/0", round)
			if value, err := s.Get(key); err == nil && value != nil {
				seenState[key] = max(seenState[key], binary.BigEndian.Uint64(value))
			}
		}
		// The last look comes right before the crash.
		if err := s.Wait(t.Context(), s.Tail()); err != nil {
			t.Error(err)
		}
		seenAt = append(seenAt, s.Tail())
		v.Crash()
		cancel()
		wait()
		s = reopen(t, v, s)
		if seen := slices.Max(seenAt); s.Tail() < seen {
			t.Errorf("the tail went back from %d to %d", seen, s.Tail())
		}
		for key, n := range seenState {
			if value := mustGet(t, s, key); value == nil || binary.BigEndian.Uint64(value) < n {
				t.Errorf("%s had been seen as %d and is %x", key, n, value)
			}
		}
	}
}
