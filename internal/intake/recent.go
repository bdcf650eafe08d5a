package intake

import (
	"encoding/binary"
	"maps"

	"github.com/trail-operator/trail-operator/internal/spool"
)

const (
	// recentKeys are remembered as they are, in 5 MiB: mostly both ways bring an
	// event within seconds.
	recentKeys = 1 << 18
	// filterSlots have a filter of filterBits, 2 MiB each. With 5,000 events a
	// second one key in 15 is looked up for nothing.
	filterSlots  = 6
	filterBits   = 1 << 24
	filterProbes = 4
)

// recent knows of most keys whether the index of events has them, without
// reading it: it has seen what was noted since the start.
type recent struct {
	keys    []spool.EventKey // by a part of the hash; the last one stays
	filters map[uint32][]uint64
	// others are slots with keys that are in no filter.
	others map[uint32]bool
	// many: there may be more of them.
	many bool
}

// newRecent knows nothing of the slots that there are already.
func newRecent(slots []spool.EventSlot) *recent {
	r := &recent{
		keys: make([]spool.EventKey, recentKeys), filters: map[uint32][]uint64{}, others: map[uint32]bool{}, many: len(slots) >= maxSlots,
	}
	for _, s := range slots {
		r.others[s.Slot] = true
	}
	return r
}

// randomPart is a part of the hash in a key.
func randomPart(k *spool.EventKey) uint64 { return binary.LittleEndian.Uint64(k[12:]) }

// holds reports whether the key was noted; sure is false when only the index
// knows.
func (r *recent) holds(k *spool.EventKey) (noted, sure bool) {
	if r == nil {
		return false, false // the index was switched off a moment ago
	}
	h := randomPart(k)
	if r.keys[h%recentKeys] == *k {
		return true, true
	}
	slot := k.Slot()
	if filter, ok := r.filters[slot]; ok {
		for range filterProbes {
			h = h*0x9e3779b97f4a7c15 + 1
			if bit := h >> 40; filter[bit/64]&(1<<(bit%64)) == 0 {
				return false, true
			}
		}
		return false, false
	}
	return false, !r.many && !r.others[slot]
}

// add notes a key.
func (r *recent) add(k *spool.EventKey) {
	if r == nil {
		return
	}
	h := randomPart(k)
	r.keys[h%recentKeys] = *k
	slot := k.Slot()
	filter, ok := r.filters[slot]
	if !ok {
		if r.others[slot] || r.many {
			return
		}
		filter = r.begin(slot)
	}
	for range filterProbes {
		h = h*0x9e3779b97f4a7c15 + 1
		bit := h >> 40
		filter[bit/64] |= 1 << (bit % 64)
	}
}

// begin makes a filter for a slot, and gives that of the oldest up.
func (r *recent) begin(slot uint32) []uint64 {
	filter := make([]uint64, filterBits/64)
	r.filters[slot] = filter
	if len(r.filters) <= filterSlots {
		return filter
	}
	oldest := slot
	for s := range r.filters {
		oldest = min(oldest, s)
	}
	delete(r.filters, oldest)
	if len(r.others) >= maxSlots {
		r.many = true
	} else {
		r.others[oldest] = true
	}
	return filter
}

// forget forgets which slots before one had keys: the index does, too.
func (r *recent) forget(before uint32) {
	if r == nil {
		return
	}
	maps.DeleteFunc(r.filters, func(slot uint32, _ []uint64) bool { return slot < before })
	maps.DeleteFunc(r.others, func(slot uint32, _ bool) bool { return slot < before })
}
