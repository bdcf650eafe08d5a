package intake

import (
	"errors"
	"net/http"

	"github.com/trail-operator/trail-operator/internal/auditevent"
	"github.com/trail-operator/trail-operator/internal/receiverconfig"
	"github.com/trail-operator/trail-operator/internal/record"
)

// refuseTail answers a POST that cannot be taken.
func (h *Handler) refuseTail(p *tailPost, err error, answer, later func(int, string)) {
	switch {
	case errors.Is(err, errTailHeaders):
		answer(http.StatusBadRequest, err.Error())
	case errors.Is(err, errTailBusy):
		later(http.StatusTooManyRequests, err.Error())
	case errors.Is(err, errTailGap):
		mark := p.of.state.Sequence
		h.metrics.tails.posts.WithLabelValues("gap").Inc()
		h.o.Log.Error(nil, "A tail has left sequences out; nothing of its POST is stored", "source", p.of.key.from.String(),
			"tail", p.of.key.id, "sequence", p.sequence, "stored", mark)
		answer(http.StatusConflict, string(record.MustJSON(receiverconfig.TailGap{Sequence: mark})))
	default:
		h.o.Log.Error(err, "The state of a tail could not be read; it sends again")
		later(http.StatusServiceUnavailable, "the events could not be stored; try again")
	}
}

// flushTail stores the chunk before the next item, which shows that it was not
// the last, and looks at the time of the item.
func (p *post) flushTail(it *auditevent.Item) error {
	t := p.tail
	if t.hasPending {
		if err := p.storeTail(false); err != nil {
			return err
		}
	}
	if it.Event != nil && it.Event.Time.After(t.newest) {
		t.newest = it.Event.Time
	}
	return nil
}

// endTail stores the last chunk, and with it that the POST is stored.
func (p *post) endTail() error {
	t := p.tail
	if err := p.storeTail(true); err != nil {
		return err
	}
	result := "stored"
	switch {
	case t.old && t.added:
		result = "behind"
		p.h.o.Log.Error(nil, "A tail has sent something new under an old number: its state was restored, or two tails share one; it is stored",
			"source", t.of.key.from.String(), "tail", t.of.key.id, "sequence", t.sequence, "stored", t.of.state.Sequence)
	case t.old:
		result = "repeated"
	}
	p.h.metrics.tails.posts.WithLabelValues(result).Inc()
	return nil
}

// storeTail stores the pending chunk, unless a former try has.
func (p *post) storeTail(last bool) error {
	t := p.tail
	fresh := t.hasPending && !t.had(t.pending)
	if t.hasPending {
		t.take(t.pending)
	}
	if t.hasPending && !fresh {
		p.h.metrics.stored(p, true)
		p.countTail(true)
		p.reset()
	}
	t.hasPending = false
	t.added = t.added || fresh
	if t.old {
		if fresh {
			return p.append(t.pending)
		}
		return nil
	}
	next := t.next(p.received)
	if last {
		next = t.done(p.received)
	}
	var err error
	switch ops := t.of.set(&next); {
	case fresh:
		err = p.append(t.pending, ops...)
	case last:
		err = p.h.o.Spool.Commit(ops...)
	default:
		return nil // a former try has noted it
	}
	if err == nil {
		t.of.stored(next)
	}
	return err
}

// countTail counts the items of a chunk.
func (p *post) countTail(duplicate bool) {
	accepted, duplicates := p.items, p.duplicates
	if duplicate {
		accepted, duplicates = 0, p.duplicates+p.items
	}
	p.tail.of.count(accepted, duplicates)
}
