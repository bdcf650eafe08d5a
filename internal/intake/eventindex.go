package intake

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/utils/clock"

	"github.com/trail-operator/trail-operator/internal/receiverstatus"
	"github.com/trail-operator/trail-operator/internal/record"
	"github.com/trail-operator/trail-operator/internal/spool"
)

const (
	// indexDocument says since when the index knows every event.
	indexDocument = "intake/events"
	// indexKept is for how long, in receiver uptime, a slot stays after its last
	// event has come: longer than a webhook's event is under way, and than a tail that has
	// lost its state goes back.
	indexKept = 45 * time.Minute
	// indexMargin is how much older than the newest of a POST an event of the next
	// may be.
	indexMargin = 15 * time.Minute
	// indexInterval is how often slots are looked at.
	indexInterval = time.Minute
	// maxSlots bounds what times events may have: two weeks, nearly.
	maxSlots = 2000
	// DefaultIndexBytes is what the index may take when nothing else is said.
	DefaultIndexBytes = 1 << 30
)

// eventIndex finds the events that are stored already: while there are tails,
// each event comes twice, and chunks are cut differently. What it knows is
// written with the chunk. Of two POSTs that bring an event at the same time one
// waits for the other.
type eventIndex struct {
	spool   spool.Spool
	clock   clock.PassiveClock
	log     logr.Logger
	quota   int64 // bytes
	evicted func(slots int)

	// second[way]: most events of the last chunk that came this way were known.
	second [len(ways)]atomic.Bool

	tidying sync.Mutex
	looked  time.Time // when slots were

	mu     sync.Mutex
	on     bool
	since  time.Time // events before may not be known
	bytes  int64     // when slots were last looked at
	claims map[spool.EventKey]*claim
	last   map[uint32]time.Time // when the last event of a slot came; others before started
	// recent spares most questions to the spool; nil while the index is off.
	recent *recent
	// started is when the receiver was.
	started time.Time
}

// claim is held by a POST on events that it is storing.
type claim struct {
	keys     []spool.EventKey
	unsure   []int // those of which only the spool knows
	released chan struct{}
}

// indexState is the document.
type indexState struct {
	Since time.Time `json:"since"`
}

// load reads whether the index was on before the start.
func (x *eventIndex) load() error {
	raw, err := x.spool.Get(indexDocument)
	if err != nil || raw == nil {
		return err
	}
	var st indexState
	if json.Unmarshal(raw, &st) != nil {
		return nil // it is written anew
	}
	x.since = st.Since
	return nil
}

// switchOn begins to note events.
func (x *eventIndex) switchOn(now time.Time) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.on {
		return nil
	}
	if x.since.IsZero() {
		if err := x.writeSince(now); err != nil {
			return err
		}
		x.since = now.UTC()
	}
	slots, err := x.spool.EventSlots(maxSlots)
	if err != nil {
		return err
	}
	x.recent = newRecent(slots)
	x.on = true
	return nil
}

func (x *eventIndex) writeSince(at time.Time) error {
	if err := x.spool.Commit(spool.Set(indexDocument, record.MustJSON(indexState{at.UTC()}))); err != nil {
		return fmt.Errorf("note since when events are in the index: %w", err)
	}
	return nil
}

// setSince notes that events before a time are not known, unless that was so.
func (x *eventIndex) setSince(at time.Time) error {
	x.mu.Lock()
	later := at.After(x.since)
	x.mu.Unlock()
	if !later {
		return nil
	}
	if err := x.writeSince(at); err != nil {
		return err
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.since = at.UTC()
	return nil
}

// switchOff forgets all events.
func (x *eventIndex) switchOff() error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if !x.on && x.since.IsZero() {
		return nil
	}
	x.on, x.since, x.bytes, x.recent = false, time.Time{}, 0, nil
	if err := x.spool.Commit(spool.Delete(indexDocument)); err != nil {
		return fmt.Errorf("note that no events are in the index: %w", err)
	}
	return x.spool.ForgetEvents(^uint32(0))
}

// active reports whether events are to be looked up.
func (x *eventIndex) active() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.on
}

// claim sets found[i] for each event that is stored, or stands among the keys
// before. No other POST stores the others until the caller has released them.
func (x *eventIndex) claim(ctx context.Context, keys []spool.EventKey, found []bool) (*claim, error) {
	c := &claim{keys: keys, released: make(chan struct{})}
	for {
		other := x.tryClaim(c, keys, found)
		if other == nil {
			break
		}
		select {
		case <-other.released:
		case <-ctx.Done():
			return nil, fmt.Errorf("wait for a POST with the same events: %w", ctx.Err())
		}
	}
	err := x.lookUp(c.unsure, keys, found)
	if errors.Is(err, spool.ErrClosed) {
		x.release(c)
		return nil, err
	}
	if err != nil { // rather twice than never
		x.log.Error(err, "The index of events cannot be read; what a tail and a webhook bring may be recorded twice")
	}
	return c, nil
}

// lookUp asks the spool about some of the keys.
func (x *eventIndex) lookUp(some []int, keys []spool.EventKey, found []bool) error {
	if len(some) == 0 {
		return nil
	}
	asked, noted := make([]spool.EventKey, len(some)), make([]bool, len(some))
	for n, i := range some {
		asked[n] = keys[i]
	}
	err := x.spool.Noted(asked, noted)
	for n, i := range some {
		found[i] = found[i] || noted[n]
	}
	return err
}

// tryClaim claims all events or none. It returns who holds one of them.
func (x *eventIndex) tryClaim(c *claim, keys []spool.EventKey, found []bool) *claim {
	x.mu.Lock()
	defer x.mu.Unlock()
	for i := range keys {
		if other := x.claims[keys[i]]; other != nil {
			return other
		}
	}
	for i := range keys {
		known, sure := x.recent.holds(&keys[i])
		found[i] = known || x.claims[keys[i]] != nil // it stands there twice
		if !sure {
			c.unsure = append(c.unsure, i)
		}
		x.claims[keys[i]] = c
	}
	return nil
}

func (x *eventIndex) release(c *claim) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for i := range c.keys {
		delete(x.claims, c.keys[i])
	}
	close(c.released)
}

// noted remembers keys that have come, and are in the index now or were before.
func (x *eventIndex) noted(keys []spool.EventKey) {
	now := x.clock.Now()
	x.mu.Lock()
	defer x.mu.Unlock()
	if len(x.last) > maxSlots {
		clear(x.last)
		x.started = now
	}
	for i := range keys {
		x.recent.add(&keys[i])
		if i == 0 || keys[i].Slot() != keys[i-1].Slot() {
			x.last[keys[i].Slot()] = now
		}
	}
}

// tidy drops the slots that nobody needs, at most once a minute: those that all
// tails have passed and that have got no key for long. If the index is larger
// than its quota the oldest go all the same.
func (x *eventIndex) tidy(t *tails) error {
	if !x.tidying.TryLock() {
		return nil
	}
	defer x.tidying.Unlock()
	now := x.clock.Now()
	if since := now.Sub(x.looked); !x.active() || since >= 0 && since < indexInterval {
		return nil
	}
	x.looked = now
	slots, err := x.spool.EventSlots(maxSlots)
	if err != nil {
		return err
	}
	bytes := int64(0)
	for _, s := range slots {
		bytes += s.Bytes
	}
	passed, ok := t.passed(now)
	n, evicted := 0, 0
	for ; n < len(slots); n++ {
		needed := !ok || passed.Add(-indexMargin).Before(spool.SlotStart(slots[n].Slot+1)) || now.Sub(x.lastKey(slots[n].Slot)) < indexKept
		if needed && bytes <= x.quota && len(slots)-n < maxSlots {
			break
		}
		if needed {
			evicted++
		}
		bytes -= slots[n].Bytes
	}
	x.mu.Lock()
	x.bytes = bytes
	x.mu.Unlock()
	if n == 0 {
		return nil
	}
	upTo := slots[n-1].Slot + 1
	if evicted > 0 {
		x.log.Error(nil, "The index of events has reached its quota: events before this time may be recorded twice when a tail sends them",
			"before", spool.SlotStart(upTo), "quotaBytes", x.quota)
		x.evicted(evicted)
		if err := x.setSince(spool.SlotStart(upTo)); err != nil {
			return err
		}
	}
	x.mu.Lock()
	for slot := range x.last {
		if slot < upTo {
			delete(x.last, slot)
		}
	}
	x.recent.forget(upTo)
	x.mu.Unlock()
	return x.spool.ForgetEvents(upTo)
}

// lastKey is when the last event of a slot came, as far as that is known.
func (x *eventIndex) lastKey(slot uint32) time.Time {
	x.mu.Lock()
	defer x.mu.Unlock()
	if last, ok := x.last[slot]; ok {
		return last
	}
	return x.started
}

// status is nil while the index is off.
func (x *eventIndex) status() *receiverstatus.EventIndex {
	x.mu.Lock()
	defer x.mu.Unlock()
	if !x.on {
		return nil
	}
	return &receiverstatus.EventIndex{Since: x.since, Bytes: x.bytes, QuotaBytes: x.quota}
}
