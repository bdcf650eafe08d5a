package disk

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/trail-operator/trail-operator/internal/intake"
	"github.com/trail-operator/trail-operator/internal/objectstore"
	"github.com/trail-operator/trail-operator/internal/objectstore/memory"
	"github.com/trail-operator/trail-operator/internal/pipeline"
	"github.com/trail-operator/trail-operator/internal/receiverconfig"
	"github.com/trail-operator/trail-operator/internal/receiverstatus"
	"github.com/trail-operator/trail-operator/internal/record"
	"github.com/trail-operator/trail-operator/internal/signing"
	"github.com/trail-operator/trail-operator/internal/spool"
	"github.com/trail-operator/trail-operator/internal/spool/pebble"
)

const (
	account, region = "123456789012", "lab-1"
	dataDir         = "/data"
	// patience is how long anything may take: the machine may be busy.
	patience = 90 * time.Second
)

// signingKey is made once: that takes long under the race detector.
var signingKey = sync.OnceValues(signing.Generate)

// world is a volume, a bucket, and one life of a receiver after the other.
type world struct {
	t   *testing.T
	r   *rand.Rand
	key *signing.PrivateKey
	// mem is what is on the volume; each life has it in its own clothes.
	mem    *vfs.MemFS
	bucket *memory.Store
	trails []receiverconfig.Trail
	// generation is that of the configuration.
	generation int64

	*life

	events     int
	sent       map[string]bool // acknowledged or not
	acked      map[string]bool
	unanswered [][]byte // bodies that are sent again
	logs       *logs
}

// life is one process.
type life struct {
	volume   *volume
	clock    *clocktesting.FakeClock
	spool    spool.Spool
	intake   *intake.Handler
	pipeline *pipeline.Pipeline
	cancel   context.CancelFunc
	running  chan struct{} // closed when the pipeline has ended

	// cut is set when nothing that it does counts any more: it reaches the bucket
	// no more, and its answers do not arrive.
	cut               atomic.Bool
	once              sync.Once
	dead              chan struct{} // closed when what it leaves behind is in place
	opened, assembled atomic.Bool   // the spool is open; all of it runs
	// ended says why the process ended by itself; empty when it did not.
	ended atomic.Pointer[string]
}

// die ends a life.
func (l *life) die() {
	l.cut.Store(true)
	l.once.Do(func() { close(l.dead) })
}

func (l *life) isDead() bool {
	select {
	case <-l.dead:
		return true
	default:
		return false
	}
}

func newWorld(t *testing.T, seed uint64) *world {
	t.Helper()
	key, err := signingKey()
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, r: rand.New(rand.NewPCG(seed, 7)), key: key, mem: vfs.NewCrashableMem(), sent: map[string]bool{}, acked: map[string]bool{}, logs: &logs{}}
	if err := errors.Join(w.mem.MkdirAll(dataDir, 0o700), files{newVolume(w.mem)}.SyncDir("/")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if w.life != nil {
			w.stop()
		}
		if t.Failed() {
			t.Logf("seed %d\n%s", seed, w.logs)
		}
	})
	w.bucket = memory.New(w)
	w.trail("red")
	return w
}

// Now is the time of the present life: the bucket's clock.
func (w *world) Now() time.Time                  { return w.clock.Now() }
func (w *world) Since(t time.Time) time.Duration { return w.Now().Sub(t) }

func (w *world) trail(namespace string) *receiverconfig.Trail {
	name := namespace + ".all"
	w.trails = append(w.trails, receiverconfig.Trail{
		UID: "uid-" + namespace, Name: name, Namespace: namespace, Generation: 1, ARN: record.TrailARN(region, account, name),
		Destination:       receiverconfig.Destination{Bucket: "bucket", Region: "us-east-1", Prefix: namespace},
		LogFileValidation: true, MaxFileAgeSeconds: 30, MaxFileSizeMiB: 64,
	})
	return &w.trails[len(w.trails)-1]
}

// newLife dresses the volume for a process that has not started yet.
func (w *world) newLife() *life {
	now := time.Date(2026, 11, 21, 10, 20, 0, 0, time.UTC)
	if w.life != nil {
		now = w.clock.Now()
	}
	w.life = &life{
		volume: newVolume(w.mem), clock: clocktesting.NewFakeClock(now), dead: make(chan struct{}), running: make(chan struct{}),
	}
	return w.life
}

// open starts the process. It returns what kept it from starting, and nil when
// it died meanwhile.
func (w *world) open(l *life) error {
	started := make(chan error, 1)
	go func() { started <- w.assemble(l) }()
	select {
	case err := <-started:
		return err
	case <-l.dead:
		return nil
	}
}

func (w *world) assemble(l *life) (err error) {
	log := w.logs.logger()
	l.spool, err = pebble.Open(dataDir+"/spool", pebble.Options{
		FS: l.volume, Clock: l.clock, Logger: log,
		Fatal: func(why string) {
			l.ended.Store(&why)
			l.die()
			select {} // nothing of this process runs on
		},
	})
	if err != nil {
		return err
	}
	l.opened.Store(true)
	if err := (files{l.volume}).SyncDir(dataDir); err != nil {
		return errors.Join(err, l.spool.Close())
	}
	l.intake, err = intake.New(intake.Options{Spool: l.spool, Clock: l.clock, Log: log})
	if err == nil {
		l.intake.Configure(account, false, "")
		l.pipeline, err = pipeline.New(pipeline.Options{
			Spool: l.spool, FS: files{l.volume}, Dir: dataDir + "/outbox", Clock: steppedClock{l.clock}, Log: log, TrailQuota: 1 << 30,
			Open: func(objectstore.Config) (objectstore.Store, error) { return &reached{w.bucket, l}, nil },
		})
	}
	if err != nil {
		return errors.Join(err, l.spool.Close())
	}
	var ctx context.Context
	ctx, l.cancel = context.WithCancel(context.Background())
	go func() {
		defer close(l.running)
		_ = l.pipeline.Run(ctx)
	}()
	l.assembled.Store(true)
	return nil
}

// start starts the process and puts the configuration in force.
func (w *world) start() {
	w.t.Helper()
	if err := w.open(w.newLife()); err != nil {
		w.t.Fatalf("the receiver does not start: %v", err)
	}
	if !w.isDead() {
		w.apply()
	}
}

// apply puts the trails in force, as soon as the volume lets it.
func (w *world) apply() {
	w.t.Helper()
	w.generation++
	w.until("the configuration", func() bool { return w.tryApply() == nil })
}

func (w *world) tryApply() error {
	c := receiverconfig.Config{Version: 1, Generation: w.generation, Installation: receiverconfig.Installation{UID: "i", Account: account, Region: region}}
	trails := slices.Clone(w.trails)
	l := w.life
	done := make(chan error, 1)
	go func() { done <- l.pipeline.Apply(&c, trails, w.key) }()
	select {
	case err := <-done:
		return err
	case <-l.dead:
		return errors.New("dead")
	}
}

// stop ends the process in order, if it is not dead.
func (w *world) stop() {
	if w.isDead() || !w.assembled.Load() {
		return
	}
	w.volume.setFault(nil)
	w.cancel()
	select {
	case <-w.running:
		_ = w.spool.Close() // after a failed write that is an error
	case <-w.dead:
	case <-time.After(patience):
		w.t.Error("the receiver does not stop")
	}
	w.die()
}

// kill ends the process at once; percent of what was not synced is still there
// when it starts again: 100 after a SIGKILL, any after a power loss.
func (w *world) kill(percent int) {
	l := w.life
	l.cut.Store(true)
	w.mem = w.mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: w.r})
	l.die()
	// What the old process does from here on has not happened, and need not go on.
	l.volume.setFault(nil)
	go func() {
		if l.assembled.Load() && l.ended.Load() == nil {
			l.cancel()
			<-l.running
			_ = l.spool.Close()
		}
	}()
}

// reachable lets the bucket answer, or not.
func (w *world) reachable(yes bool) {
	if yes {
		w.bucket.SetHook(nil)
		return
	}
	w.bucket.SetHook(func(context.Context, objectstore.Op, string) memory.Fault {
		return memory.Fault{Refuse: objectstore.ErrUnreachable}
	})
}

// healthy reports whether the spool still takes anything.
func (w *world) healthy() bool {
	l := w.life
	done := make(chan error, 1)
	go func() { done <- l.spool.Commit() }()
	select {
	case err := <-done:
		return err == nil
	case <-l.dead:
		return false
	}
}

// reached is the bucket as one process sees it: not at all when it is dead.
type reached struct {
	*memory.Store
	l *life
}

func (s *reached) hook() error {
	if s.l.cut.Load() {
		return &objectstore.Error{Err: objectstore.ErrUnreachable}
	}
	return nil
}

// post sends a body once. It reports whether it was acknowledged, and the status.
func (w *world) post(body []byte) (status int) {
	l := w.life
	request := httptest.NewRequest(http.MethodPost, intake.PathPrefix+account+"/api-1", strings.NewReader(string(body)))
	certificate := &x509.Certificate{Raw: []byte("c"), Subject: pkix.Name{CommonName: account + ":api-1", Organization: []string{receiverconfig.AuditOrganization}}}
	request.TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{certificate}, VerifiedChains: [][]*x509.Certificate{{certificate}}}
	answer := make(chan int, 1)
	go func() {
		recorder := patient{httptest.NewRecorder()}
		l.intake.ServeHTTP(recorder, request)
		answer <- recorder.Code
	}()
	select {
	case status = <-answer:
		if !l.cut.Load() {
			return status
		}
		<-l.dead
	case <-l.dead:
	}
	return 0
}

// patient is an answer without deadlines.
type patient struct{ *httptest.ResponseRecorder }

func (patient) SetReadDeadline(time.Time) error  { return nil }
func (patient) SetWriteDeadline(time.Time) error { return nil }

// body makes n events of a namespace.
func (w *world) body(namespace string, n int) ([]byte, []string) {
	var b strings.Builder
	var ids []string
	b.WriteString(`{"kind":"EventList","apiVersion":"audit.k8s.io/v1","metadata":{},"items":[`)
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		w.events++
		id := fmt.Sprintf("e-%d", w.events)
		ids = append(ids, id)
		w.sent[id] = true
		fmt.Fprintf(&b, `{"level":"Metadata","auditID":%q,"stage":"ResponseComplete",`+
			`"requestURI":"/api/v1/namespaces/%s/configmaps/c","verb":"update","user":{"username":"ann","groups":["dev"]},"sourceIPs":["10.0.0.9"],`+
			`"objectRef":{"resource":"configmaps","namespace":"%s","name":"c","apiVersion":"v1"},"responseStatus":{"code":200},`+
			`"requestReceivedTimestamp":"2026-11-21T10:20:00.000000Z","stageTimestamp":"2026-11-21T10:20:00.100000Z"}`, id, namespace, namespace)
	}
	b.WriteString("]}")
	return []byte(b.String()), ids
}

// send posts new events once, and keeps the body for later when it was not
// acknowledged, as kube-apiserver does.
func (w *world) send(namespace string, n int) (status int) {
	body, ids := w.body(namespace, n)
	if status = w.post(body); status == http.StatusOK {
		w.ack(ids)
	} else {
		w.unanswered = append(w.unanswered, body)
	}
	return status
}

func (w *world) ack(ids []string) {
	for _, id := range ids {
		w.acked[id] = true
	}
}

// again posts what was not acknowledged once more.
func (w *world) again() {
	w.unanswered = slices.DeleteFunc(w.unanswered, func(body []byte) bool {
		if w.isDead() || w.post(body) != http.StatusOK {
			return false
		}
		for part := range strings.SplitSeq(string(body), `"auditID":"`) {
			if id, _, ok := strings.Cut(part, `"`); ok && strings.HasPrefix(id, "e-") {
				w.acked[id] = true
			}
		}
		return true
	})
}

// resend posts what was not acknowledged until it is.
func (w *world) resend() {
	w.t.Helper()
	w.until("answers", func() bool {
		w.again()
		return len(w.unanswered) == 0
	})
}

// step lets time pass, and others run, or not.
func (w *world) step(d time.Duration) {
	w.clock.Step(d)
	time.Sleep(time.Duration(w.r.IntN(1000)) * time.Microsecond)
}

// until moves the clock in small steps until check holds, or the process is dead.
func (w *world) until(what string, check func() bool) {
	w.t.Helper()
	for deadline := time.Now().Add(patience); !check() && !w.isDead(); {
		if time.Now().After(deadline) {
			w.t.Fatalf("%s did not happen; status %s\n%s", what, record.MustJSON(w.pipeline.Status()), w.logs)
		}
		w.clock.Step(time.Second)
		time.Sleep(time.Millisecond)
	}
}

func (w *world) status(namespace string) receiverstatus.Trail {
	for _, t := range w.pipeline.Status().Trails {
		if t.UID == "uid-"+namespace {
			return t
		}
	}
	return receiverstatus.Trail{}
}

// logs keeps the newest lines.
type logs struct {
	mu    sync.Mutex
	lines []string
}

func (l *logs) logger() logr.Logger {
	return funcr.New(func(prefix, args string) {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.lines = append(l.lines, prefix+" "+args)
		if len(l.lines) > 400 {
			l.lines = slices.Delete(l.lines, 0, 200)
		}
	}, funcr.Options{Verbosity: 1})
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.lines[max(0, len(l.lines)-300):], "\n")
}
