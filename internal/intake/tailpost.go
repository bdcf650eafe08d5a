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
	if t.again {
		p.h.metrics.tails.posts.WithLabelValues("repeated").Inc()
	} else {
		p.h.metrics.tails.posts.WithLabelValues("stored").Inc()
	}
	return nil
}

// storeTail stores the pending chunk, unless a former try has.
func (p *post) storeTail(last bool) error {
	t := p.tail
	stored := t.again || t.hasPending && t.had(t.pending)
	if stored && t.hasPending {
		p.h.metrics.stored(p, true)
		t.count(p, true)
		p.reset()
	}
	pending := t.hasPending
	t.hasPending = false
	if t.again {
		return nil
	}
	next := t.next(t.pending, p.received)
	if last {
		next = t.done(p.received)
	}
	var err error
	switch ops := t.of.set(&next); {
	case pending && !stored:
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

// count counts the items of a chunk.
func (t *tailPost) count(p *post, duplicate bool) {
	accepted, duplicates := p.items, p.duplicates
	if duplicate {
		accepted, duplicates = 0, p.duplicates+p.items
	}
	t.of.count(accepted, duplicates)
}
