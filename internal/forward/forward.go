// Package forward sends the bodies of audit POSTs on to a second webhook
// receiver, such as Falco: kube-apiserver has room for one webhook only.
//
// A body is copied to a file while intake reads it, and becomes due when intake
// has made its events durable. One sender takes the oldest first, so that bodies
// arrive in the order of their POSTs; one that is not taken is overtaken when
// another is, and then dropped. Nothing here makes intake wait for the
// second receiver or fail: what does not fit into the queue is dropped, the
// oldest first, and counted.
//
// Bodies are sent as they were received, with everything that intake removes
// before it stores events. The files are therefore encrypted with a key that
// exists in the memory of this process only, and are worth nothing without it.
package forward

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/utils/clock"

	"github.com/trail-operator/trail-operator/internal/receiverconfig"
	"github.com/trail-operator/trail-operator/internal/receiverstatus"
)

// Waits between tries of one body, with a jitter of a fifth.
const (
	firstWait = time.Second
	maxWait   = 30 * time.Second
)

// drainTime is how long the sender goes on when the receiver ends.
const drainTime = 5 * time.Second

// Options are what a Forwarder works with.
type Options struct {
	// Dir holds the copies. What is in it at the start is removed.
	Dir   string
	Clock clock.Clock
	Log   logr.Logger
	// Registerer receives the metrics; nil for none.
	Registerer prometheus.Registerer
	// FreeBytes of the volume that Dir is on; copies give way when it is below
	// KeepFree. Nil means that there is always enough.
	FreeBytes func() (int64, error)
	KeepFree  int64
}

// Forwarder copies bodies and sends them on. Its methods are safe for concurrent
// use; on a nil Forwarder, Begin copies nothing.
type Forwarder struct {
	o       Options
	metrics *metrics
	block   cipher.Block // the key
	buffers sync.Pool    // of *[BufferSize]byte
	wait    time.Duration

	mu      sync.Mutex
	target  *target       // nil: nothing is forwarded
	changed chan struct{} // closed when there is something new for the sender
	queue   []*entry      // the oldest first
	used    int64         // bytes of the queue and of the copies being written
	removed []uint64      // files of bodies that have left the queue
	files   uint64        // numbers files, and with them the key streams
	failure *receiverstatus.Failure
	sent    int64
	dropped int64
	quiet   map[string]time.Time // when a drop was last logged, by reason
}

// entry is a body that waits.
type entry struct {
	file    uint64
	size    int64
	sending bool // it is on its way, and not dropped for another
}

// New removes what a process before has left in the folder, and counts it as
// dropped. Nothing is forwarded before Configure.
func New(o Options) (*Forwarder, error) {
	var key [32]byte
	_, _ = rand.Read(key[:]) // never fails since Go 1.24
	block, err := aes.NewCipher(key[:])
	if err != nil {
		return nil, err
	}
	f := &Forwarder{
		o: o, block: block, wait: firstWait, changed: make(chan struct{}), quiet: map[string]time.Time{},
		buffers: sync.Pool{New: func() any { return new([BufferSize]byte) }},
	}
	if f.metrics, err = newMetrics(o.Registerer, f.waiting); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the folder of the forward queue: %w", err)
	}
	return f, f.clean()
}

// clean empties the folder. Only what had become due is a loss.
func (f *Forwarder) clean() error {
	left, err := os.ReadDir(f.o.Dir)
	if err != nil {
		return fmt.Errorf("read the folder of the forward queue: %w", err)
	}
	lost := 0
	for _, e := range left {
		if filepath.Ext(e.Name()) == dueSuffix {
			lost++
		}
		if err := os.Remove(filepath.Join(f.o.Dir, e.Name())); err != nil {
			return fmt.Errorf("empty the folder of the forward queue: %w", err)
		}
	}
	f.count(reasonRestart, lost)
	return nil
}

// Configure says where bodies go from now on; nil means nowhere. What waits goes
// to the new place, or is dropped when there is none. On an error nothing changes.
func (f *Forwarder) Configure(c *receiverconfig.ForwardTo) error {
	f.mu.Lock()
	defer f.unlock()
	if f.target == nil && c == nil || f.target != nil && c != nil && reflect.DeepEqual(f.target.config, *c) {
		return nil
	}
	var next *target
	if c != nil {
		var err error
		if next, err = newTarget(*c); err != nil {
			return err
		}
	}
	if f.target != nil {
		f.target.close()
	}
	f.target, f.failure = next, nil
	if next == nil {
		f.drop(reasonDisabled, len(f.queue))
	}
	f.wake()
	return nil
}

// Status says what became of the bodies since the start; nil when none are
// forwarded.
func (f *Forwarder) Status() *receiverstatus.Forward {
	f.mu.Lock()
	defer f.unlock()
	if f.target == nil {
		return nil
	}
	s := &receiverstatus.Forward{Sent: f.sent, Dropped: f.dropped, Waiting: len(f.queue), WaitingBytes: f.used}
	if f.failure != nil {
		failure := *f.failure
		s.Failure = &failure
	}
	return s
}

func (f *Forwarder) waiting() (posts, bytes float64) {
	f.mu.Lock()
	defer f.unlock()
	return float64(len(f.queue)), float64(f.used)
}

// wake tells the sender to look again. The caller holds mu.
func (f *Forwarder) wake() {
	close(f.changed)
	f.changed = make(chan struct{})
}

// next returns the body that is due, and to whom it goes; e is nil when there
// is none. changed is closed when that may be different.
func (f *Forwarder) next() (e *entry, t *target, changed <-chan struct{}) {
	f.mu.Lock()
	defer f.unlock()
	if f.target != nil && len(f.queue) > 0 {
		e = f.queue[0]
		e.sending = true
	}
	return e, f.target, f.changed
}

// Run sends until ctx ends, then for a short time what is left. It returns when
// nothing of it runs any more.
func (f *Forwarder) Run(ctx context.Context) {
	// What is on its way when ctx ends is not cut short: it would arrive twice.
	sending, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	context.AfterFunc(ctx, func() {
		timer := f.o.Clock.NewTimer(drainTime)
		defer timer.Stop()
		select {
		case <-timer.C():
			cancel()
		case <-sending.Done():
		}
	})
	var last *entry
	for tries := 0; ctx.Err() == nil; {
		e, t, changed := f.next()
		if e != last {
			last, tries = e, 0
		}
		if e == nil {
			select {
			case <-ctx.Done():
			case <-changed:
			}
			continue
		}
		result := f.send(sending, t, e)
		tries++
		if f.settle(t, e, result, tries) || result.kind == unsure && tries >= maxTries && f.overtake(sending, t, e, tries-maxTries) {
			continue
		}
		f.pause(ctx, t, tries, result.after)
	}
	f.drain(sending)
	_ = f.Configure(nil) // there is none to fail
}

// pause waits before the next try. Another target is tried at once.
func (f *Forwarder) pause(ctx context.Context, t *target, tries int, atLeast time.Duration) {
	timer := f.o.Clock.NewTimer(max(jitter(min(f.wait<<min(tries-1, 10), maxWait)), min(atLeast, maxWait)))
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-t.ctx.Done():
	case <-timer.C():
	}
}

// drain sends what is left, until something fails or time is up. The rest is
// lost with the key.
func (f *Forwarder) drain(ctx context.Context) {
	for {
		e, t, _ := f.next()
		if e == nil {
			return
		}
		if result := f.send(ctx, t, e); result.kind == later || result.kind == unsure || !f.settle(t, e, result, maxTries) {
			f.giveUp()
			return
		}
	}
}

// giveUp drops what waits when the process ends.
func (f *Forwarder) giveUp() {
	f.mu.Lock()
	defer f.unlock()
	f.drop(reasonRestart, len(f.queue))
}

// settle notes the result of a try. It reports whether the body is done with.
func (f *Forwarder) settle(t *target, e *entry, r result, tries int) bool {
	f.mu.Lock()
	defer f.unlock()
	e.sending = false
	if r.kind != taken && (t.ctx.Err() != nil || errors.Is(r.err, context.Canceled)) {
		return false // it was cut short, and tells nothing
	}
	done := r.kind != later && r.kind != unsure && (r.kind != again || tries >= maxTries)
	if len(f.queue) == 0 || f.queue[0] != e {
		return true // Configure has dropped it
	}
	switch {
	case r.kind == taken:
		f.took(0)
		f.failure = nil
		return true
	case r.kind == broken:
		f.drop(reasonVolume, 1)
	case done && r.kind == refused:
		f.drop(reasonRefused, 1)
	case done:
		f.drop(reasonFailed, 1)
	}
	f.failed(r)
	return done
}

// took notes that one of the bodies was taken. The caller holds mu.
func (f *Forwarder) took(i int) {
	f.sent++
	f.metrics.sent.Inc()
	f.metrics.sentBytes.Add(float64(f.queue[i].size))
	f.remove(i)
}

// failed notes why bodies are not taken. The caller holds mu.
func (f *Forwarder) failed(r result) {
	f.metrics.failures.Inc()
	if f.failure == nil {
		f.failure = &receiverstatus.Failure{Since: f.o.Clock.Now()}
	}
	if f.failure.Code != r.code {
		f.o.Log.Info("The second receiver of audit events does not take them", "reason", r.message, "cause", errorText(r.err))
	}
	f.failure.Code, f.failure.Message = r.code, r.message
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
