package spooltest

import (
	"encoding/binary"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/trail-operator/trail-operator/internal/spool"
)

// eventN is the key of an event in a slot.
func eventN(slot uint32, n int) spool.EventKey {
	var sum [32]byte
	binary.BigEndian.PutUint64(sum[:], uint64(n))
	return spool.NewEventKey(spool.SlotStart(slot).Add(time.Minute), sum)
}

// wantNoted checks which keys the index holds.
func wantNoted(t *testing.T, s spool.Spool, keys []spool.EventKey, want ...bool) {
	t.Helper()
	found := make([]bool, len(keys))
	if err := s.Noted(keys, found); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, found); diff != "" {
		t.Fatal(diff)
	}
}

// Keys of events are as durable as the chunk that they came with, and are there
// neither before it nor without it.
func testEvents(t *testing.T, v *Volume) {
	s := open(t, v)
	keys := []spool.EventKey{eventN(2969000, 1), eventN(2969000, 2), eventN(2969001, 1)}
	wantNoted(t, s, keys, false, false, false)
	first := chunkN(1)
	first.Events = keys[:1]
	mustAppend(t, s, first)
	wantNoted(t, s, keys, true, false, false)

	second := chunkN(2)
	second.Events, second.Duplicates = keys[1:], 3
	v.SetFree(-1)
	if _, err := s.Append(t.Context(), []spool.Chunk{second}); err == nil {
		t.Fatal("a full volume takes a chunk")
	}
	wantNoted(t, s, keys, true, false, false)
	v.SetFree(1 << 30)
	at := mustAppend(t, s, second)
	s = reopen(t, v, s)
	wantNoted(t, s, keys, true, true, true)
	if got := read(t, s, at-1)[at]; got.Duplicates != 3 || got.Items != second.Items || len(got.Events) != 0 {
		t.Fatalf("got %+v", got)
	}
	// A chunk that is sent again may bring other keys.
	again := chunkN(1)
	again.Events = []spool.EventKey{eventN(2969002, 1)}
	if got, err := s.Append(t.Context(), []spool.Chunk{again}); err != nil || !got[0].Duplicate {
		t.Fatalf("got %+v, %v", got, err)
	}
	wantNoted(t, s, again.Events, true)
	if v.Crash == nil {
		return
	}
	s = crash(t, v, s)
	wantNoted(t, s, append(keys, again.Events...), true, true, true, true)
}

func testEventSlots(t *testing.T, v *Volume) {
	s := open(t, v)
	slots := func() (list []uint32) {
		t.Helper()
		got, err := s.EventSlots(100)
		if err != nil {
			t.Fatal(err)
		}
		for _, slot := range got {
			list = append(list, slot.Slot)
		}
		return list
	}
	if got := slots(); len(got) != 0 {
		t.Fatalf("an empty index has the slots %v", got)
	}
	all := []uint32{0, 1, 2969000, 2969001, 1<<32 - 1}
	var keys []spool.EventKey
	for _, slot := range all {
		c := chunk(time.Duration(slot).String())
		for n := range 50 {
			c.Events = append(c.Events, eventN(slot, n))
		}
		keys = append(keys, c.Events[7])
		if got := c.Events[7].Slot(); got != slot {
			t.Fatalf("slot %d became %d", slot, got)
		}
		mustAppend(t, s, c)
	}
	if got := slots(); !slices.Equal(got, all) {
		t.Fatalf("got the slots %v", got)
	}
	if got, err := s.EventSlots(2); err != nil || len(got) != 2 || got[1].Slot != 1 {
		t.Fatalf("got %v, %v", got, err)
	}
	if err := s.ForgetEvents(2969001); err != nil {
		t.Fatal(err)
	}
	wantNoted(t, s, keys, false, false, false, true, true)
	if got := slots(); !slices.Equal(got, all[3:]) {
		t.Fatalf("got the slots %v", got)
	}
	s = reopen(t, v, s)
	wantNoted(t, s, keys, false, false, false, true, true)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.Noted(keys, make([]bool, len(keys))); err == nil {
		t.Error("a closed spool has an index")
	}
	if _, err := s.EventSlots(1); err == nil {
		t.Error("a closed spool has slots")
	}
	if err := s.ForgetEvents(1); err == nil {
		t.Error("a closed spool forgets")
	}
}
