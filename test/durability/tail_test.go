package durability

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/trail-operator/trail-operator/internal/receiverconfig"
	"github.com/trail-operator/trail-operator/internal/receiverstatus"
	"github.com/trail-operator/trail-operator/test/testenv"
)

// auditLog is what an API server writes: a webhook and a tail send all of it.
type auditLog struct {
	mu    sync.Mutex
	lines [][]byte
	ids   []string
	ended bool
}

// next returns lines behind the first n, at most so many, and whether there will
// be more.
func (l *auditLog) next(n, most int) (lines [][]byte, more bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	lines = l.lines[n:min(len(l.lines), n+most)]
	return lines, !l.ended || n+len(lines) < len(l.lines)
}

// write writes events until done holds.
func (l *auditLog) write(seed uint64, done func() bool) error {
	events := testenv.NewEvents(seed)
	events.Body = 2 << 10
	r := rand.New(rand.NewPCG(seed, 3))
	for !done() {
		n, first := 1+r.IntN(20), events.Made()
		var list struct{ Items []json.RawMessage }
		if err := json.Unmarshal(events.List(nil, n), &list); err != nil {
			return err
		}
		l.mu.Lock()
		for i, item := range list.Items {
			l.lines = append(l.lines, item)
			l.ids = append(l.ids, events.ID(first+i))
		}
		l.mu.Unlock()
		time.Sleep(time.Duration(r.IntN(10)) * time.Millisecond) // paces the load
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ended = true
	return nil
}

// follow gives the log to send in pieces of random sizes.
func (l *auditLog) follow(r *rand.Rand, most int, send func(body []byte) error) error {
	for n, more := 0, true; more; {
		var lines [][]byte
		if lines, more = l.next(n, 1+r.IntN(most)); len(lines) == 0 {
			time.Sleep(time.Millisecond)
			continue
		}
		n += len(lines)
		body := append([]byte(`{"kind":"EventList","apiVersion":"audit.k8s.io/v1","items":[`), bytes.Join(lines, []byte(","))...)
		if err := send(append(body, "]}\n"...)); err != nil {
			return err
		}
	}
	return nil
}

// postTail sends a body once as the tail does.
func (w *world) postTail(c *http.Client, token, source string, sequence int, body io.Reader) (int, error) {
	url := fmt.Sprintf("https://%s/v1/audit/%s/%s", w.address, testenv.Account, testenv.APIServer)
	req, err := http.NewRequestWithContext(w.ctx, http.MethodPost, url, body)
	if err != nil {
		return 0, err
	}
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set(receiverconfig.HeaderTailSource, source)
	req.Header.Set(receiverconfig.HeaderTailSequence, strconv.Itoa(sequence))
	resp, err := c.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode, nil
}

// TestKillBothWays kills the receiver at each place where events are stored, while
// a webhook and a tail send it the same events, cut differently: each is
// delivered once.
func TestKillBothWays(t *testing.T) {
	t.Parallel()
	var kills []string
	for _, stage := range []string{"intake", "spool"} {
		for point, hits := range failpoints[stage] {
			for _, n := range hits[1:] {
				kills = append(kills, fmt.Sprintf("%s:%d", point, n))
			}
		}
	}
	slices.Sort(kills)
	issuer, err := testenv.NewTokenIssuer()
	if err != nil {
		t.Fatal(err)
	}
	w := newWorldWith(t, "", nil, func(w *world) { w.in.Config.Tail = issuer.Tail() }, kills...)
	defer w.stop()
	client, err := w.in.TailClient()
	if err != nil {
		t.Fatal(err)
	}
	client.Timeout = w.client.Timeout
	token, err := issuer.Token(testenv.APIServer)
	if err != nil {
		t.Fatal(err)
	}
	w.inForce()

	log, seed := &auditLog{}, seeds.Add(1)
	var g sync.WaitGroup
	failed := func(who string, err error) {
		if err != nil {
			t.Errorf("%s: %v\n%s", who, err, w.log())
		}
	}
	g.Go(func() {
		failed("API server", log.write(seed, func() bool { return w.deaths() >= len(kills) || t.Failed() || w.ctx.Err() != nil }))
	})
	g.Go(func() {
		failed("webhook", log.follow(rand.New(rand.NewPCG(seed, 4)), 40, w.sendAcknowledged))
	})
	g.Go(func() {
		r, source, sequence := rand.New(rand.NewPCG(seed, 5)), uuid.NewString(), 0
		failed("tail", log.follow(r, 60, func(body []byte) error {
			sequence++
			for deadline := time.Now().Add(patience); time.Now().Before(deadline) && w.ctx.Err() == nil; time.Sleep(20 * time.Millisecond) {
				status, err := w.postTail(client, token, source, sequence, bytes.NewReader(body))
				switch {
				case err == nil && status == http.StatusOK:
					if r.IntN(8) == 0 { // the answer was lost
						_, _ = w.postTail(client, token, source, sequence, bytes.NewReader(body))
					}
					return nil
				case err == nil && status != http.StatusServiceUnavailable && status != http.StatusTooManyRequests:
					return fmt.Errorf("status %d", status)
				}
			}
			return errors.New("a POST was not answered")
		}))
	})
	g.Wait()
	if t.Failed() {
		return
	}
	w.ledger.add(log.ids)
	w.promise()
	w.accounted(log)
}

// accounted waits until all is counted, and checks the accounts of both ways.
func (w *world) accounted(log *auditLog) {
	w.t.Helper()
	var status *receiverstatus.Status
	for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		var err error
		if status, err = w.status(); err == nil && status.Intake.AccountedTo == status.Spool.Tail {
			break
		}
		if time.Now().After(deadline) {
			w.t.Fatalf("not all is counted: %+v, %v", status, err)
		}
	}
	if tails := status.Intake.Tails; len(tails) != 1 || tails[0].APIServer != testenv.APIServer || status.Intake.EventIndex == nil {
		w.t.Errorf("%+v", status.Intake)
	}
	if status.Intake.Accepted != int64(len(log.ids)) {
		w.t.Errorf("%d events are accepted of %d", status.Intake.Accepted, len(log.ids))
	}
	for _, a := range status.Intake.Accounts {
		if a.Received != int64(len(log.ids)) {
			w.t.Errorf("%d events are in the account of %s, it has sent %d", a.Received, a.Source, len(log.ids))
		}
	}
}
