package receiver

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/trail-operator/trail-operator/internal/outbox"
	"github.com/trail-operator/trail-operator/internal/spool"
)

// probeTimeout is how long a volume may keep a probe waiting: less than the
// kubelet waits for its answer.
const probeTimeout = 3 * time.Second

var errSlow = errors.New("the volume does not answer")

// prober asks the spool whether it still takes anything. A volume that hangs
// holds up one probe at a time.
type prober struct {
	commit func(ops ...spool.Op) error

	mu      sync.Mutex
	running *probe
}

type probe struct {
	done chan struct{}
	err  error // once done is closed
}

// ask writes nothing: a commit of nothing goes the way of every write, and a
// spool that has failed refuses it.
func (p *prober) ask(ctx context.Context) error {
	p.mu.Lock()
	run := p.running
	if run == nil {
		run = &probe{done: make(chan struct{})}
		p.running = run
		go func() {
			run.err = p.commit()
			p.mu.Lock()
			p.running = nil
			p.mu.Unlock()
			close(run.done)
		}()
	}
	p.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	select {
	case <-run.done:
		return run.err
	case <-ctx.Done():
		return errSlow
	}
}

// Healthy returns why the receiver must be started again, nil when it need
// not. A volume that is slow or full is no reason: a restart does not help it.
func (r *Receiver) Healthy(ctx context.Context) error {
	if err := r.prober.ask(ctx); err != nil && !errors.Is(err, errSlow) {
		return err
	}
	return nil
}

// Ready returns why the receiver cannot make events durable now, nil when it can.
func (r *Receiver) Ready(ctx context.Context) error {
	if !r.configured.Load() {
		return errors.New("there is no configuration yet")
	}
	if err := r.prober.ask(ctx); err != nil {
		return err
	}
	free, _, err := outbox.OS{}.Space(r.o.DataDir)
	if err != nil {
		return fmt.Errorf("how much space the volume has is unknown: %w", err)
	}
	if free < r.o.ReserveBytes {
		return errors.New("the volume is down to its reserve: enlarge it, or mend the buckets that files wait for")
	}
	return nil
}

// ServeHealth answers liveness probes: 500 asks for a restart.
func (r *Receiver) ServeHealth(w http.ResponseWriter, req *http.Request) {
	r.answer(w, http.StatusInternalServerError, r.Healthy(req.Context()))
}

// ServeReady answers readiness probes.
func (r *Receiver) ServeReady(w http.ResponseWriter, req *http.Request) {
	r.answer(w, http.StatusServiceUnavailable, r.Ready(req.Context()))
}

func (r *Receiver) answer(w http.ResponseWriter, code int, err error) {
	if err != nil {
		http.Error(w, err.Error(), code)
	}
}
