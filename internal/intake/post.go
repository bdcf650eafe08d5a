package intake

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/trail-operator/trail-operator/internal/auditevent"
	"github.com/trail-operator/trail-operator/internal/failpoint"
	"github.com/trail-operator/trail-operator/internal/spool"
)

const (
	// appendTimeout is shorter than the 30 s after which kube-apiserver gives up.
	appendTimeout = 25 * time.Second
	// keptBuffer is the largest buffer that is kept for the next POST.
	keptBuffer = 1 << 20
)

// post is one POST: it fills one chunk after the other and appends each.
type post struct {
	h          *Handler
	ctx        context.Context // of the request
	source     string
	keepBodies bool
	manager    string
	received   time.Time
	arrivals   *arrivals

	item    []byte // as it is stored, if that is not as it came
	ahead   Ahead  // nil for none
	data    []byte
	items   int
	skipped int
	bad     badItems

	duplicates int       // items that are left out: other chunks hold them
	tail       *tailPost // nil when an API server itself posts
	known      *known    // nil when no index of events is kept
}

// receive stores a body. Chunks are appended one by one, so that memory does
// not grow with the body; what a body that is cut short leaves behind is
// recognized when it is sent again.
func (h *Handler) receive(r *http.Request, from source, set *settings, body *progressReader, what *arrivals, tail *tailPost) error {
	key, err := h.chunkKey.get(h.o.Spool)
	if err != nil {
		return err
	}
	splitter, ok := h.splitters.Get().(*auditevent.Splitter)
	if !ok {
		splitter = &auditevent.Splitter{Key: key}
	}
	defer h.splitters.Put(splitter)
	buffer := h.buffers.Get().(*[]byte)
	want := chunkCapacity(r.ContentLength)
	if r.ContentLength < 0 {
		want = keptBuffer // most bodies are small; it grows with the others
	}
	if cap(*buffer) < want {
		*buffer = make([]byte, 0, want)
	}
	p := &post{
		h: h, ctx: r.Context(), source: from.String(), keepBodies: set.keepBodies, manager: set.manager,
		received: h.o.Clock.Now(), arrivals: what, data: (*buffer)[:0], tail: tail,
	}
	if tail != nil {
		p.source += tailSuffix
	}
	if h.index.active() {
		p.known = &known{cluster: from.cluster}
	}
	defer func() {
		if p.ahead != nil {
			p.ahead.Release() // the body ended in the middle of a chunk
		}
		if *buffer = p.data[:0]; cap(p.data) > keptBuffer {
			*buffer = nil
		}
		h.buffers.Put(buffer)
	}()
	if err := splitter.Split(p.source, body, p); err != nil || tail == nil {
		return err
	}
	return p.endTail()
}

// Item takes one item of the body.
func (p *post) Item(it *auditevent.Item) error {
	if p.tail != nil {
		if err := p.flushTail(it); err != nil {
			return err
		}
	}
	e := it.Event
	if e == nil {
		p.bad.add(it, &p.h.quarantine.vault)
		return nil
	}
	recorded := e.MakesRecord()
	p.arrivals.add(e, recorded, p.manager)
	if !recorded {
		p.skipped++
		return nil
	}
	stored, same := e.Stored(p.item, p.keepBodies)
	if !same {
		p.item = stored
	}
	p.data = spool.AppendItem(p.data, stored)
	if p.known != nil {
		p.known.add(e, len(p.data))
	}
	if p.items == 0 && p.fresh() {
		p.ahead = p.h.o.Ahead(p.source)
	}
	if p.ahead != nil {
		p.ahead.Add(e, stored, same)
	}
	p.items++
	return nil
}

// Cut appends the chunk that the items since the last one make. That of a tail
// waits until it is known whether it is the last.
func (p *post) Cut(id [32]byte) error {
	if p.tail != nil {
		p.tail.pending, p.tail.hasPending = id, true
		return nil
	}
	return p.append(id)
}

// append stores the chunk, and further documents together with it.
func (p *post) append(id [32]byte, further ...spool.Op) error {
	// A client that leaves now comes back with the same events: finish.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(p.ctx), appendTimeout)
	defer cancel()
	if p.known != nil {
		if err := p.leaveOut(ctx); err != nil {
			return err
		}
		defer p.h.index.release(p.known.holds)
	}
	chunks := [2]spool.Chunk{{
		ID: id, Kind: spool.KindAudit, Source: p.source, Received: p.received,
		Items: p.items, Data: p.data, Skipped: p.skipped, Quarantined: p.bad.count,
		Duplicates: p.duplicates, Events: p.known.fresh(),
	}}
	if p.ahead != nil {
		if p.ahead.Whole(p.items) {
			chunks[0].Attached = p.ahead
		} else {
			p.ahead.Release()
		}
		p.ahead = nil
	}
	n := 1
	var ops []spool.Op
	var done func(error)
	if p.bad.count > 0 {
		chunks[1], ops, done = p.h.quarantine.prepare(id, p.source, p.received, &p.bad)
		n = 2
		p.h.o.Log.Info("Items that cannot become records are in quarantine", "source", p.source,
			"items", p.bad.count, "reason", p.bad.items[0].reason, "chunk", fmt.Sprintf("%x", id[:8]))
	}
	failpoint.Hit("intake/before-append")
	start := time.Now()
	appended, err := p.h.o.Spool.Append(ctx, chunks[:n], append(ops, further...)...)
	p.h.metrics.appendSeconds.Observe(time.Since(start).Seconds())
	if done != nil {
		done(err)
	}
	if err != nil {
		return err
	}
	failpoint.Hit("intake/after-append")
	p.h.metrics.stored(p, appended[0].Duplicate)
	if p.known != nil {
		p.h.index.noted(p.known.keys)
	}
	if p.tail != nil {
		p.countTail(appended[0].Duplicate)
	}
	p.reset()
	return nil
}

// reset begins the next chunk.
func (p *post) reset() {
	p.data, p.items, p.skipped, p.duplicates = p.data[:0], 0, 0, 0
	p.bad.reset()
	if p.ahead != nil { // the chunk was stored before
		p.ahead.Release()
		p.ahead = nil
	}
	if p.known != nil {
		p.known.reset()
	}
}
