package pebble

import (
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/trail-operator/trail-operator/internal/spool"
)

// The index of events holds keys without values. Those of one slot lie together,
// so that they go with one range tombstone.

const eventKeyLen = 1 + len(spool.EventKey{})

// eventLen is about what a key takes in a batch.
const eventLen = eventKeyLen + 3

func eventSlotKey(slot uint64) []byte {
	first := spool.SlotKey(slot)
	return append([]byte{eventPrefix}, first[:]...)
}

// noteEvents puts keys into a batch.
func noteEvents(batch *pebble.Batch, keys []spool.EventKey) error {
	for i := range keys {
		op := batch.SetDeferred(eventKeyLen, 0)
		op.Key[0] = eventPrefix
		copy(op.Key[1:], keys[i][:])
		if err := op.Finish(); err != nil {
			return err
		}
	}
	return nil
}

func (s *store) Noted(keys []spool.EventKey, found []bool) error {
	if !s.enter() {
		return spool.ErrClosed
	}
	defer s.users.Done()
	key := [eventKeyLen]byte{eventPrefix}
	for i := range keys {
		copy(key[1:], keys[i][:])
		_, closer, err := s.db.Get(key[:])
		switch {
		case err == nil:
			found[i] = true
			_ = closer.Close()
		case !errors.Is(err, pebble.ErrNotFound):
			return fmt.Errorf("spool: cannot read the index of events: %w", err)
		}
	}
	return nil
}

func (s *store) EventSlots(limit int) ([]spool.EventSlot, error) {
	if !s.enter() {
		return nil, spool.ErrClosed
	}
	defer s.users.Done()
	iter, err := s.db.NewIter(&pebble.IterOptions{LowerBound: []byte{eventPrefix}, UpperBound: []byte{eventPrefix + 1}})
	if err != nil {
		return nil, fmt.Errorf("spool: cannot read the index of events: %w", err)
	}
	defer func() { _ = iter.Close() }()
	var slots []spool.EventSlot
	for ok := iter.First(); ok && len(slots) < limit; {
		key := iter.Key()
		if len(key) != eventKeyLen {
			return nil, errors.New("spool: the index of events holds a key of another format")
		}
		slot := (*spool.EventKey)(key[1:]).Slot()
		end := eventSlotKey(uint64(slot) + 1)
		bytes, err := s.db.EstimateDiskUsage(eventSlotKey(uint64(slot)), end)
		if err != nil {
			return nil, fmt.Errorf("spool: cannot measure the index of events: %w", err)
		}
		slots = append(slots, spool.EventSlot{Slot: slot, Bytes: int64(bytes)})
		ok = iter.SeekGE(end)
	}
	if err := iter.Error(); err != nil {
		return nil, fmt.Errorf("spool: cannot read the index of events: %w", err)
	}
	return slots, nil
}

// ForgetEvents is not synced: who forgets slots after a restart finds them again.
func (s *store) ForgetEvents(before uint32) error {
	if !s.enter() {
		return spool.ErrClosed
	}
	defer s.users.Done()
	if err := s.db.DeleteRange(eventSlotKey(0), eventSlotKey(uint64(before)), pebble.NoSync); err != nil {
		return fmt.Errorf("spool: cannot delete from the index of events: %w", err)
	}
	return nil
}
