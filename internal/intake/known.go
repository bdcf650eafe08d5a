package intake

import (
	"context"

	"github.com/trail-operator/trail-operator/internal/auditevent"
	"github.com/trail-operator/trail-operator/internal/spool"
)

// known are the events of a chunk as the index of events knows them.
type known struct {
	cluster string
	keys    []spool.EventKey
	ends    []int // of their items in the data of the chunk
	found   []bool
	holds   *claim
	left    []spool.EventKey // those that are not found
}

// add takes the event of the item that ends the data.
func (k *known) add(e *auditevent.Event, end int) {
	k.keys = append(k.keys, spool.NewEventKey(e.Time, e.Key(k.cluster)))
	k.ends = append(k.ends, end)
}

// fresh are the keys of the events that the chunk stores.
func (k *known) fresh() []spool.EventKey {
	if k == nil {
		return nil
	}
	return k.left
}

func (k *known) reset() { k.keys, k.ends, k.left = k.keys[:0], k.ends[:0], k.left[:0] }

// leaveOut takes the events out of the chunk that other chunks hold, and claims
// the rest until they are released.
func (p *post) leaveOut(ctx context.Context) error {
	k := p.known
	if cap(k.found) < len(k.keys) {
		k.found = make([]bool, len(k.keys), cap(k.keys))
	}
	k.found = k.found[:len(k.keys)]
	var err error
	if k.holds, err = p.h.index.claim(ctx, k.keys, k.found); err != nil {
		return err
	}
	kept, start := 0, 0
	for i, end := range k.ends {
		if k.found[i] {
			p.items--
			p.duplicates++
		} else {
			kept += copy(p.data[kept:], p.data[start:end])
			k.left = append(k.left, k.keys[i])
		}
		start = end
	}
	p.data = p.data[:kept]
	p.h.index.second[p.way()].Store(p.duplicates > p.items)
	if p.duplicates > 0 {
		p.h.metrics.tails.items.WithLabelValues(ways[p.way()]).Add(float64(p.duplicates))
	}
	return nil
}

// ways by which events come.
var ways = [...]string{"webhook", "tail"}

// way is an index of ways.
func (p *post) way() int {
	if p.tail != nil {
		return 1
	}
	return 0
}

// fresh guesses whether the items of the next chunk are new: one way mostly
// brings what the other has brought.
func (p *post) fresh() bool {
	return p.known == nil || !p.h.index.second[p.way()].Load()
}
