package spool

import (
	"encoding/binary"
	"math"
	"time"
)

// EventKey stands for an audit event in the index of events: its time in
// microseconds, big-endian, and the beginning of its hash. Keys that are written
// or looked up together lie together.
type EventKey [8 + 12]byte

// SlotLength is what the keys of one slot span.
const SlotLength = 10 * time.Minute

const slotMicros = uint64(SlotLength / time.Microsecond)

// NewEventKey makes the key of an event from its time and its hash. Times that
// no clock shows are as the first and the last that one may show.
func NewEventKey(at time.Time, sum [32]byte) (k EventKey) {
	micros := uint64(max(at.UnixMicro(), 0))
	binary.BigEndian.PutUint64(k[:8], min(micros, math.MaxUint32*slotMicros))
	copy(k[8:], sum[:])
	return k
}

// Slot is that of the event's time.
func (k *EventKey) Slot() uint32 {
	return uint32(min(binary.BigEndian.Uint64(k[:8])/slotMicros, math.MaxUint32))
}

// SlotKey is before all keys of a slot, and behind all of the slot before.
func SlotKey(slot uint64) (k EventKey) {
	binary.BigEndian.PutUint64(k[:8], slot*slotMicros)
	return k
}

// SlotStart is the first time of a slot.
func SlotStart(slot uint32) time.Time { return time.UnixMicro(int64(slot) * int64(slotMicros)).UTC() }

// EventSlot is a part of the index of events.
type EventSlot struct {
	Slot uint32
	// Bytes that it takes on the volume, about. What was just written may be missing.
	Bytes int64
}
