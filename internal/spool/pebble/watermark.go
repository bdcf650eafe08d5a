package pebble

import (
	"context"
	"sync"
)

// watermark is a number that only rises, and that can be waited for.
type watermark struct {
	mu      sync.Mutex
	n       uint64
	changed chan struct{} // closed and replaced at each rise, nil while nobody waits
}

func (w *watermark) load() uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.n
}

func (w *watermark) advance(n uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if n <= w.n {
		return
	}
	w.n = n
	if w.changed != nil {
		close(w.changed)
		w.changed = nil
	}
}

// wait returns nil when the number has reached n, else the reason why it no
// longer waits: errStop when stop is closed, or the context's error.
func (w *watermark) wait(ctx context.Context, stop <-chan struct{}, errStop error, n uint64) error {
	for {
		w.mu.Lock()
		if w.n >= n {
			w.mu.Unlock()
			return nil
		}
		if w.changed == nil {
			w.changed = make(chan struct{})
		}
		changed := w.changed
		w.mu.Unlock()
		select {
		case <-changed:
		case <-stop:
			return errStop
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
