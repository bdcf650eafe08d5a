package tail

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"time"
)

const (
	minBackoff = 250 * time.Millisecond
	maxBackoff = 15 * time.Second
)

// backoff is how long to wait after so many failures before: with jitter, so
// that tails do not come all at once.
func backoff(tries int) time.Duration {
	d := maxBackoff
	if tries < 6 {
		d = min(d, minBackoff<<tries)
	}
	return d/2 + rand.N(d) //nolint:gosec // spreads clients; nobody gains by guessing it
}

// deliver sends what is under way until the receiver has it.
func (t *Tail) deliver(ctx context.Context) error {
	size := t.state.To - t.state.Offset
	var post body
	switch {
	case size <= int64(len(t.w.data)):
		t.body = appendList(t.body[:0], t.w.data[:size])
		post.length, post.held = int64(len(t.body)), true
		post.open = func() (io.Reader, error) { return bytes.NewReader(t.body), nil }
	case size <= batchSize:
		return t.truncated()
	default:
		// One line, which is read anew for each try.
		post.length = int64(len(listBegin)) + size + int64(len(listEnd))
		from, file := t.state.Offset, t.w.file
		post.open = func() (io.Reader, error) {
			r, err := file.from(from)
			if err != nil {
				return nil, err
			}
			return io.MultiReader(strings.NewReader(listBegin), io.LimitReader(r, size), strings.NewReader(listEnd)), nil
		}
	}
	if err := t.post(ctx, post); err != nil {
		return err
	}
	t.metrics.bytes.Add(float64(size))
	if size <= int64(len(t.w.data)) {
		lines := t.w.data[:size]
		n := bytes.Count(lines, []byte{'\n'})
		if !bytes.HasSuffix(lines, []byte{'\n'}) {
			n++
		}
		t.metrics.lines.Add(float64(n))
		t.w.advance(int(size))
	} else {
		t.metrics.lines.Inc()
		_, before, ok, err := t.w.file.edges(t.state.To)
		if err != nil || !ok {
			return errors.Join(err, errTruncated)
		}
		if err := t.w.jump(t.state.To, before); err != nil {
			return err
		}
	}
	t.state.Offset = t.state.To
	return nil
}

// post returns when the receiver has answered that it has the body, or ctx ends.
func (t *Tail) post(ctx context.Context, b body) error {
	for tries := 0; ; tries++ {
		t.hit("tail/before-post")
		a := t.send(ctx, t.state.Source, t.state.Sequence, b)
		t.metrics.posts.WithLabelValues(a.label()).Inc()
		if err := ctx.Err(); err != nil {
			return err
		}
		switch {
		case a.code == http.StatusOK:
			t.hit("tail/after-post")
			return nil
		case a.code == http.StatusConflict && 0 <= a.mark && a.mark+1 < t.state.Sequence:
			if err := t.renumber(a.mark + 1); err != nil {
				return err
			}
			continue
		}
		t.fail(a.err)
		if !b.held {
			if err := t.w.unchanged(); err != nil {
				return err
			}
		}
		wait := backoff(tries)
		if a.after > 0 {
			wait = a.after + rand.N(time.Second) //nolint:gosec // as above
		}
		t.pause(ctx, wait)
	}
}

// renumber goes on with the number that a receiver expects which has not seen
// the last ones: its volume is new or older, or a file was deleted while its
// lines were under way.
func (t *Tail) renumber(sequence int64) error {
	t.o.Log.Info("The receiver does not know what was sent to it before; its volume is another one, or a file was deleted",
		"sequence", t.state.Sequence, "expected", sequence)
	next := t.state.clone()
	next.Sequence = sequence
	if err := t.store.save(next); err != nil {
		return err
	}
	t.state = next
	t.metrics.sequence.Set(float64(sequence))
	return nil
}
