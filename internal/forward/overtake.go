package forward

import (
	"context"
	"slices"
)

// overtake finds out whether it is due to the oldest body that it is not taken:
// then another one is. Each round tries another, since the next may be of the
// same kind. It reports whether the oldest is done with.
func (f *Forwarder) overtake(ctx context.Context, t *target, oldest *entry, round int) bool {
	other := f.other(t, oldest, round)
	if other == nil || !f.settleOther(other, f.send(ctx, t, other)) {
		return false
	}
	// It may just have become ready.
	e, now, _ := f.next()
	if e != oldest || now != t {
		return true
	}
	r := f.send(ctx, t, e)
	if r.kind == unsure {
		r.kind = again
	}
	return f.settle(t, e, r, maxTries)
}

// other returns the body that is tried in a round, nil when there is none.
func (f *Forwarder) other(t *target, oldest *entry, round int) *entry {
	f.mu.Lock()
	defer f.unlock()
	if f.target != t || len(f.queue) < 2 || f.queue[0] != oldest {
		return nil
	}
	e := f.queue[1+round%(len(f.queue)-1)]
	e.sending = true
	return e
}

// settleOther notes the result of that try. It reports whether the body was taken;
// what else it was answered counts when it is its turn.
func (f *Forwarder) settleOther(e *entry, r result) bool {
	f.mu.Lock()
	defer f.unlock()
	e.sending = false
	i := slices.Index(f.queue, e)
	if r.kind != taken || i < 0 { // Configure has dropped it
		return r.kind == taken
	}
	f.took(i)
	return true
}
