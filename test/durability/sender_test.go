package durability

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"testing/iotest"
	"time"

	"github.com/trail-operator/trail-operator/test/testenv"
)

const (
	senders = 4
	// largeBody has events for two chunks and a half; the others for one.
	largeBody, smallBody = 400, 6
	eventBody            = 24 << 10
)

// ledger knows which events were acknowledged.
type ledger struct {
	mu    sync.Mutex
	acked map[string]bool
}

func (l *ledger) add(ids []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.acked == nil {
		l.acked = map[string]bool{}
	}
	for _, id := range ids {
		l.acked[id] = true
	}
}

// seeds makes events of different senders different.
var seeds atomic.Uint64

// load posts until done holds. Each body is sent until it is acknowledged, as
// kube-apiserver does, and sometimes once more, as it does when the answer was
// lost; so everything sent is acknowledged when load returns.
func (w *world) load(done func() bool) {
	w.t.Helper()
	w.startLoad(done, smallBody)()
}

// startLoad begins a load with so many events in most bodies; the function it
// returns waits for its end.
func (w *world) startLoad(done func() bool, size int) (wait func()) {
	var g sync.WaitGroup
	for range senders {
		seed := seeds.Add(1)
		g.Go(func() {
			if err := w.sendUntil(seed, done, size); err != nil {
				w.t.Errorf("%v\n%s", err, w.log())
			}
		})
	}
	return func() {
		w.t.Helper()
		g.Wait()
		if w.t.Failed() {
			w.t.FailNow()
		}
	}
}

func (w *world) sendUntil(seed uint64, done func() bool, size int) error {
	events := testenv.NewEvents(seed)
	events.Body = eventBody
	r := rand.New(rand.NewPCG(seed, 2))
	for body := []byte(nil); !done() && w.ctx.Err() == nil; {
		n := size
		if r.IntN(100) == 0 {
			n = largeBody
		}
		first := events.Made()
		body = events.List(body[:0], n)
		// Events of two senders must not share their IDs.
		body = bytes.ReplaceAll(body, []byte(`"auditID":"ev-`), fmt.Appendf(nil, `"auditID":"s%d-ev-`, seed))
		ids := make([]string, 0, n)
		for i := range n {
			ids = append(ids, fmt.Sprintf("s%d-%s", seed, events.ID(first+i)))
		}
		if err := w.sendAcknowledged(body); err != nil {
			return err
		}
		w.ledger.add(ids)
		if r.IntN(4) == 0 {
			if err := w.sendAcknowledged(body); err != nil {
				return err
			}
		}
		time.Sleep(time.Duration(r.IntN(20)) * time.Millisecond) // paces the load
	}
	return w.ctx.Err()
}

// sendAcknowledged repeats one body until the receiver takes it.
func (w *world) sendAcknowledged(body []byte) error {
	last := errors.New("not sent")
	waits := cmp.Or(w.waits, patience)
	for deadline := time.Now().Add(waits); time.Now().Before(deadline) && w.ctx.Err() == nil; time.Sleep(20 * time.Millisecond) {
		status, _, err := w.post(body)
		switch {
		case err != nil:
			last = err
		case status == http.StatusOK:
			return nil
		case status == http.StatusServiceUnavailable || status == http.StatusTooManyRequests:
			last = fmt.Errorf("status %d", status)
		default:
			return fmt.Errorf("a POST was answered with %d", status)
		}
	}
	if w.ctx.Err() != nil {
		return w.ctx.Err()
	}
	return fmt.Errorf("a POST was not acknowledged in %s: %w", waits, last)
}

// post sends a body once.
func (w *world) post(body []byte) (status int, header http.Header, err error) {
	url := fmt.Sprintf("https://%s/v1/audit/%s/%s", w.address, testenv.Account, testenv.APIServer)
	req, err := http.NewRequestWithContext(w.ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := w.client.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode, resp.Header, nil
}

// postHalf sends half of a body, as a connection that is cut does. Nobody is
// told what became of it.
func (w *world) postHalf(body []byte) {
	url := fmt.Sprintf("https://%s/v1/audit/%s/%s", w.address, testenv.Account, testenv.APIServer)
	half := io.MultiReader(bytes.NewReader(body[:len(body)/2]), iotest.ErrReader(errors.New("cut")))
	req, err := http.NewRequestWithContext(w.ctx, http.MethodPost, url, half)
	if err != nil {
		return
	}
	req.ContentLength = int64(len(body))
	req.Header.Set("Content-Type", "application/json")
	if resp, err := w.client.Do(req); err == nil {
		_ = resp.Body.Close()
	}
}
