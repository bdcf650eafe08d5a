package spool

import (
	"encoding/binary"
	"math"
	"time"
)

// EventKey stands for an audit event in the index of events: the slot of its
// time, big-endian, and the beginning of its hash.
type EventKey [4 + 16]byte

// SlotLength is what the keys of one slot span.
const SlotLength = 10 * time.Minute

// NewEventKey makes the key of an event from its time and its hash.
func NewEventKey(at time.Time, sum [32]byte) (k EventKey) {
	binary.BigEndian.PutUint32(k[:4], SlotOf(at))
	copy(k[4:], sum[:])
	return k
}

// Slot is that of the event's time.
func (k *EventKey) Slot() uint32 { return binary.BigEndian.Uint32(k[:4]) }

// SlotOf is the slot of a time. Times that no clock shows share the first and
// the last.
func SlotOf(at time.Time) uint32 {
	n := at.Unix() / int64(SlotLength/time.Second)
	return uint32(min(max(n, 0), math.MaxUint32)) //nolint:gosec // it is within its bounds
}

// SlotStart is the first time of a slot.
func SlotStart(slot uint32) time.Time {
	return time.Unix(int64(slot)*int64(SlotLength/time.Second), 0).UTC()
}

// EventSlot is a part of the index of events.
type EventSlot struct {
	Slot uint32
	// Bytes that it takes on the volume, about. What was just written may be missing.
	Bytes int64
}
