// Package tail follows the audit log that kube-apiserver writes and sends its
// lines to the receiver, each once and in order, however long either side is
// away: the files of the log are the buffer. It follows the rotation that
// kube-apiserver does itself, with and without compression.
package tail

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/go-logr/logr"
	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/utils/clock"

	"github.com/trail-operator/trail-operator/internal/failpoint"
)

const (
	// DefaultInterval is how long a tail waits when it has read everything.
	DefaultInterval = time.Second
	// quietTime is how long a rotated file must not have changed before it is left
	// for the next: an API server that ends may write beside one that begins.
	quietTime = 500 * time.Millisecond
)

// Options are what a Tail works with.
type Options struct {
	// Path of the file that kube-apiserver writes to: its --audit-log-path.
	Path string
	// StateDir is a folder that outlives the program.
	StateDir string
	// ReceiverDir has what it takes to reach the receiver, in files: FileURL,
	// FileAccount, FileCA and FileToken.
	ReceiverDir string
	// APIServer is the name of the node. It stands in the path of the POSTs.
	APIServer string
	// Backfill makes a tail without a state begin with the oldest file that is
	// there. Otherwise it begins with what is written when the receiver has let it
	// in.
	Backfill bool
	// Interval is by default DefaultInterval.
	Interval time.Duration
	Clock    clock.Clock
	Log      logr.Logger
	// Registerer receives the metrics; nil for none.
	Registerer prometheus.Registerer
}

// Tail follows one audit log.
type Tail struct {
	o       Options
	folder  folder
	store   *store
	sender  *sender
	metrics *metrics
	health  health

	// Replaced in tests.
	quiet time.Duration
	hit   func(string) // ends the process there
	send  func(ctx context.Context, source string, sequence int64, b body) answer

	// state is what is durable, but for Offset, which goes on when an answer
	// comes, and Waiting.
	state *state
	w     *window // of the file that is read; nil before the first and between two
	// rotated: the file in w is not the active one any more. name is then its own,
	// as long as it is in the folder.
	rotated bool
	name    string
	body    []byte

	surveyed, caughtUp time.Time
	absent             bool // there is no log
}

// New takes the state for itself until Close.
func New(o Options) (*Tail, error) {
	if o.Interval == 0 {
		o.Interval = DefaultInterval
	}
	m, err := newMetrics(o.Registerer)
	if err != nil {
		return nil, err
	}
	store, err := openStore(o.StateDir)
	if err != nil {
		return nil, err
	}
	t := &Tail{
		o: o, folder: newFolder(o.Path), store: store, metrics: m, quiet: quietTime, hit: failpoint.Hit,
		sender: &sender{dir: o.ReceiverDir, apiServer: o.APIServer}, caughtUp: o.Clock.Now(),
	}
	t.send = t.sender.post
	since, err := os.ReadFile(filepath.Join(o.ReceiverDir, FileSince))
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		t.state, err = store.load()
	}
	if err != nil {
		return nil, errors.Join(err, store.close())
	}
	if t.state == nil || t.state.Since != string(since) {
		t.state = &state{Version: stateVersion, Source: uuid.NewString(), Since: string(since), Begun: o.Backfill}
		if err := store.save(t.state); err != nil {
			return nil, errors.Join(err, store.close())
		}
		o.Log.Info("Made a new state", "source", t.state.Source, "backfill", o.Backfill)
	}
	t.metrics.sequence.Set(float64(t.state.Sequence))
	return t, nil
}

// Close gives the state back.
func (t *Tail) Close() error {
	t.leave()
	t.sender.close()
	return t.store.close()
}

// leave closes the file that is read.
func (t *Tail) leave() {
	if t.w != nil {
		t.w.file.close()
	}
	t.w, t.rotated, t.name = nil, false, ""
}

// Run sends what the log has, and what comes, until ctx ends.
func (t *Tail) Run(ctx context.Context) error {
	for tries := 0; ctx.Err() == nil; {
		wait, err := t.step(ctx)
		switch {
		case ctx.Err() != nil:
		case err != nil:
			t.fail(err)
			wait = backoff(tries)
			tries++
		default:
			tries = 0
			t.works()
		}
		if wait > 0 {
			t.pause(ctx, wait)
		}
	}
	if t.state.underWay() {
		return nil // it is sent again
	}
	return t.store.save(t.state)
}

// step does one thing, and returns how long there is nothing more to do. What
// it has not finished the next step begins anew.
func (t *Tail) step(ctx context.Context) (time.Duration, error) {
	if !t.state.Begun {
		return 0, t.begin(ctx)
	}
	if t.o.Clock.Since(t.surveyed) >= t.o.Interval {
		if _, err := t.survey(); err != nil {
			return 0, err
		}
	}
	if t.w == nil {
		switch ok, err := t.open(); {
		case errors.Is(err, errRotating):
			return 0, nil
		case err != nil, !ok:
			return t.o.Interval, err
		}
		t.absent = false
	}
	// What was written before the rotation is there when the rotation is seen.
	if err := t.seeRotation(); err != nil {
		return 0, err
	}
	switch err := t.w.fill(); {
	case errors.Is(err, errTruncated):
		return 0, t.truncated()
	case err != nil:
		return 0, err
	}
	t.hit("tail/after-read")
	if t.state.underWay() {
		return 0, t.deliver(ctx)
	}
	last := t.w.ended && t.rotated
	if last {
		if quiet, err := t.isQuiet(); err != nil || !quiet {
			return t.quiet, err
		}
	}
	s := next(t.w.data, last)
	t.w.advance(s.blank)
	switch {
	case s.lines > 0:
		if s.broken {
			t.metrics.broken.Inc()
			t.o.Log.Info("A line of the audit log is not valid JSON; the receiver puts it into quarantine", "bytes", s.end-s.blank,
				"hint", "kube-apiserver must write it with --audit-log-format=json")
		}
		return 0, t.intend(t.w.start+int64(s.end-s.blank), t.w.mark(s.end-s.blank))
	case s.blank > 0:
		return 0, nil
	case t.w.full():
		return t.intendLong()
	case last:
		return 0, t.finish()
	case t.w.ended && !t.rotated:
		t.isCaughtUp()
	}
	return t.o.Interval, nil
}

func (t *Tail) isCaughtUp() {
	t.caughtUp = t.o.Clock.Now()
	t.metrics.behindSeconds.Set(0)
}

// intend makes durable what is sent next: everything up to an offset. What a
// crash interrupts is sent again with the same bytes and the same number.
func (t *Tail) intend(to int64, m mark) error {
	next := t.state.clone()
	next.Sequence++
	next.Offset, next.To, next.Mark = t.w.start, to, m
	t.hit("tail/before-intent")
	if err := t.store.save(next); err != nil {
		return err
	}
	t.hit("tail/after-intent")
	t.state = next
	t.metrics.sequence.Set(float64(next.Sequence))
	return nil
}

// intendLong does that for a line that the window does not hold.
func (t *Tail) intendLong() (time.Duration, error) {
	end, _, ended, err := t.w.file.longLine(t.w.start)
	if err != nil {
		return 0, err
	}
	if ended && !t.rotated {
		return t.o.Interval, nil // its end is not written yet
	}
	head, before, ok, err := t.w.file.edges(end)
	if err != nil || !ok {
		return 0, errors.Join(err, errTruncated)
	}
	return 0, t.intend(end, newMark(head, before))
}

// truncated goes on after somebody has cut the file under the tail.
func (t *Tail) truncated() error {
	t.lost("truncated", t.o.Path, errTruncated.Error())
	if t.rotated {
		return t.finish()
	}
	next := t.state.clone()
	next.Offset, next.To, next.Mark = 0, 0, mark{}
	if err := t.store.save(next); err != nil {
		return err
	}
	t.state = next
	t.leave()
	return nil
}

// lost counts a file, or the rest of one, that nobody can send any more.
func (t *Tail) lost(reason, file, why string) {
	t.metrics.lost.WithLabelValues(reason).Inc()
	t.o.Log.Error(errors.New(why), "Events of the audit log are lost", "file", file, "reason", reason,
		"hint", "let kube-apiserver keep more: --audit-log-maxsize, --audit-log-maxbackup, --audit-log-maxage")
}

// seeRotation finds out whether the file that is read is the active one.
func (t *Tail) seeRotation() error {
	if t.rotated {
		return nil
	}
	info, err := os.Stat(t.o.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // between the two steps of a rotation, or deleted by somebody
	}
	if err != nil {
		return err
	}
	t.rotated = !os.SameFile(info, t.w.file.info)
	return nil
}

// isQuiet reports whether nobody has written to the file lately.
func (t *Tail) isQuiet() (bool, error) {
	if t.w.file.zipped {
		return true, nil
	}
	info, err := t.w.file.f.Stat()
	if err != nil {
		return false, err
	}
	return t.o.Clock.Since(info.ModTime()).Abs() >= t.quiet, nil // a clock may have been set
}

// pause waits, and keeps an eye on the files meanwhile.
func (t *Tail) pause(ctx context.Context, d time.Duration) {
	for d > 0 && ctx.Err() == nil {
		slice := min(d, t.o.Interval)
		timer := t.o.Clock.NewTimer(slice)
		select {
		case <-ctx.Done():
		case <-timer.C():
		}
		timer.Stop()
		if d -= slice; d > 0 {
			if _, err := t.survey(); err != nil {
				t.o.Log.V(1).Info("The folder of the audit log cannot be read", "cause", err.Error())
			}
		}
	}
}

// permission says what a tail needs in order to read the log.
func permission(err error) error {
	if errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("%w: the tail must run as the user who owns the audit log, mostly root", err)
	}
	return err
}
