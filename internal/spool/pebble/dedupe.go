package pebble

import (
	"encoding/binary"
	"errors"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/trail-operator/trail-operator/internal/spool"
)

// The index of chunk IDs seen lately. Time is receiver uptime: it stands still
// while no receiver runs, because a client cannot reach us then, and repeats
// what it has when we are back.
//
// IDs are grouped by generations, each one window long: a lookup asks the
// present and the previous one, and older generations go by one range
// tombstone each.

// seen is what the index holds of one ID.
type seen struct {
	position spool.Position
	uptime   time.Duration
}

const seenLen = 8 + 8

func appendSeen(b []byte, s seen) []byte {
	b = binary.BigEndian.AppendUint64(b, uint64(s.position))
	return binary.BigEndian.AppendUint64(b, uint64(s.uptime))
}

func parseSeen(b []byte) (seen, bool) {
	if len(b) != seenLen {
		return seen{}, false
	}
	return seen{
		position: spool.Position(binary.BigEndian.Uint64(b)),
		uptime:   time.Duration(binary.BigEndian.Uint64(b[8:])),
	}, true
}

func (s *store) generation(uptime time.Duration) uint64 {
	return uint64(uptime / s.opts.DedupeWindow)
}

// lookup finds an ID seen within the window before now.
func (s *store) lookup(id *spool.ID, now time.Duration) (spool.Position, bool, error) {
	generation := s.generation(now)
	var key [seenKeyLen]byte
	for _, g := range []uint64{generation, generation - 1} {
		if !s.filter.mayHold(g, id) {
			continue
		}
		value, closer, err := s.db.Get(appendSeenKey(key[:0], g, id))
		if errors.Is(err, pebble.ErrNotFound) {
			continue
		}
		if err != nil {
			return 0, false, err
		}
		found, ok := parseSeen(value)
		_ = closer.Close()
		if ok && now-found.uptime < s.opts.DedupeWindow {
			return found.position, true, nil
		}
	}
	return 0, false, nil
}

// expire deletes the generations that no lookup asks any more.
func (s *store) expire(batch *pebble.Batch, now time.Duration) error {
	generation := s.generation(now)
	if generation <= s.expired+1 {
		return nil
	}
	s.expired = generation - 1
	return batch.DeleteRange(seenGenerationKey(0), seenGenerationKey(s.expired), nil)
}

// recoverSeen fills the filter with the IDs that the receiver before has seen.
func (s *store) recoverSeen() error {
	iter, err := s.db.NewIter(&pebble.IterOptions{
		LowerBound: []byte{seenPrefix}, UpperBound: []byte{seenPrefix + 1},
	})
	if err != nil {
		return err
	}
	present := s.generation(s.uptimeBefore)
	for ok := iter.First(); ok; ok = iter.Next() {
		if generation, id, ok := parseSeenKey(iter.Key()); ok && generation+1 >= present {
			s.filter.add(generation, &id)
		}
	}
	return iter.Close()
}
