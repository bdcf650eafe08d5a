// Package intake receives audit events from API servers. It answers 200 only
// when the spool has made them durable, and always when it has: kube-apiserver
// repeats every other answer five times and then drops the batch, so that a
// bad item is set aside and counted instead of refused.
package intake

import (
	"errors"
	"math/rand/v2"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/semaphore"
	"k8s.io/utils/clock"

	"github.com/trail-operator/trail-operator/internal/auditevent"
	"github.com/trail-operator/trail-operator/internal/failpoint"
	"github.com/trail-operator/trail-operator/internal/forward"
	"github.com/trail-operator/trail-operator/internal/pki"
	"github.com/trail-operator/trail-operator/internal/receiverstatus"
	"github.com/trail-operator/trail-operator/internal/spool"
)

// PathPrefix begins the path /v1/audit/<cluster>/<apiserver> that Handler serves.
const PathPrefix = "/v1/audit/"

// Defaults of Options.
const (
	DefaultMemoryBytes     = 64 << 20
	DefaultProgressTimeout = 10 * time.Second
)

// Options are what a Handler works with.
type Options struct {
	Spool spool.Spool
	Clock clock.PassiveClock
	Log   logr.Logger
	// Registerer receives the metrics; nil for none.
	Registerer prometheus.Registerer
	// MemoryBytes is what all POSTs in flight may buffer together, by default
	// DefaultMemoryBytes.
	MemoryBytes int64
	// ProgressTimeout is how long a body may take for its next 64 KiB, by
	// default DefaultProgressTimeout.
	ProgressTimeout time.Duration
	// Ahead makes the records of a source's next chunk ahead of the reader, unless
	// it returns nil; nil for never.
	Ahead func(source string) Ahead
	// Forward sends bodies on when their events are durable; nil for nobody.
	Forward *forward.Forwarder
	// IndexBytes of the volume are what the index of events may take, by default
	// DefaultIndexBytes. It is kept while tails may post.
	IndexBytes int64
}

// Ahead makes the records of one chunk from the events on their way to the
// spool. It is attached to the chunk, or else released.
type Ahead interface {
	spool.Attached
	// Add takes an event and what is stored of it; same says that these are the
	// bytes that the event was parsed from.
	Add(e *auditevent.Event, stored []byte, same bool)
	// Whole reports whether the records of so many events are there.
	Whole(events int) bool
}

// Handler serves POST /v1/audit/<cluster>/<apiserver> to clients whose verified
// certificate names exactly that cluster and API server, and to tails whose
// token names that API server's node.
type Handler struct {
	o          Options
	settings   atomic.Pointer[settings]
	memory     *semaphore.Weighted
	metrics    *metrics
	sources    sources
	tail       atomic.Pointer[tailTrust] // nil: no tails
	tails      tails
	index      eventIndex
	quarantine quarantine
	denials    limiter
	full       atomic.Bool // the volume had no space for the last POST
	chunkKey   chunkKey
	splitters  sync.Pool // of *auditevent.Splitter
	buffers    sync.Pool // of *[]byte, for the items of a chunk
}

// settings are the part of the configuration on which intake depends.
type settings struct {
	account    string
	keepBodies bool
	manager    string // whose probes count
}

// New returns a handler that answers 503 until Configure is called. It reads
// what is in quarantine, and what is known of API servers, from the spool.
func New(o Options) (*Handler, error) {
	if o.MemoryBytes == 0 {
		o.MemoryBytes = DefaultMemoryBytes
	}
	if o.ProgressTimeout == 0 {
		o.ProgressTimeout = DefaultProgressTimeout
	}
	if o.Ahead == nil {
		o.Ahead = func(string) Ahead { return nil }
	}
	m, err := newMetrics(o.Registerer)
	if err != nil {
		return nil, err
	}
	h := &Handler{
		o: o, metrics: m, memory: semaphore.NewWeighted(o.MemoryBytes),
		buffers: sync.Pool{New: func() any { return new([]byte) }},
	}
	if o.IndexBytes == 0 {
		h.o.IndexBytes = DefaultIndexBytes
	}
	h.index = eventIndex{
		spool: o.Spool, clock: o.Clock, log: o.Log, quota: h.o.IndexBytes, started: o.Clock.Now(),
		evicted: func(n int) { m.tails.evicted.Add(float64(n)) },
		claims:  map[spool.EventKey]*claim{}, last: map[uint32]time.Time{},
	}
	if o.Registerer != nil {
		if err := o.Registerer.Register(newTailCollector(h)); err != nil {
			return nil, err
		}
	}
	h.quarantine.dropped = func(n int) { m.dropped.Add(float64(n)) }
	return h, errors.Join(h.quarantine.load(o.Spool), h.sources.load(o.Spool, o.Clock.Now()), h.tails.load(o.Spool), h.index.load())
}

// Configure says which account's API servers are served, whether the bodies of
// sensitive objects are stored, and as which user the manager makes its probes.
func (h *Handler) Configure(account string, keepSensitiveBodies bool, manager string) {
	h.settings.Store(&settings{account, keepSensitiveBodies, manager})
}

// Sources returns the API servers that have posted since the start, at most
// maxSources of them.
func (h *Handler) Sources() []receiverstatus.Source { return h.sources.list() }

// Tails returns the tails that have posted, and what the index of events holds,
// nil while there is none.
func (h *Handler) Tails() ([]receiverstatus.Tail, *receiverstatus.EventIndex) {
	return h.tails.list(h.o.Clock.Now()), h.index.status()
}

// Duplicates is the number of items since the start that were stored already.
func (h *Handler) Duplicates() int64 { return h.metrics.duplicates.Load() }

// Full reports whether the volume had no space for the last POST.
func (h *Handler) Full() bool { return h.full.Load() }

// ServeHTTP stores the events of one POST.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.metrics.inFlight.Inc()
	defer h.metrics.inFlight.Dec()
	// Answers are short: who does not take one is gone.
	control := http.NewResponseController(w)
	answer := func(code int, text string) {
		h.metrics.posts.WithLabelValues(strconv.Itoa(code)).Inc()
		if err := control.SetWriteDeadline(time.Now().Add(h.o.ProgressTimeout)); err != nil {
			h.o.Log.V(1).Info("No deadline for an answer", "reason", err.Error())
		}
		if code == http.StatusOK {
			w.WriteHeader(code)
			return
		}
		http.Error(w, text, code)
	}
	later := func(code int, text string) {
		w.Header().Set("Retry-After", strconv.Itoa(1+rand.IntN(3))) //nolint:gosec // spreads clients; nobody gains by guessing it
		answer(code, text)
	}

	s := h.settings.Load()
	if s == nil {
		later(http.StatusServiceUnavailable, "the receiver has no configuration yet")
		return
	}
	now := h.o.Clock.Now()
	byTail := r.TLS != nil && len(r.TLS.PeerCertificates) == 0
	from, code, reason := identify(r, s.account)
	if byTail {
		from, code, reason = h.identifyTail(r, s.account, now)
	}
	if code != 0 {
		if byTail {
			w.Header().Set("Connection", "close") // who it is is not known
		}
		h.deny(r, code, reason)
		answer(code, reason)
		return
	}
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		answer(http.StatusMethodNotAllowed, "audit events are sent with POST")
		return
	}
	var tail *tailPost
	if byTail {
		var err error
		if tail, err = h.beginTail(r, from); tail != nil {
			defer tail.of.release()
		}
		if err != nil {
			h.refuseTail(tail, err, answer, later)
			return
		}
	}

	weight, err := h.reserve(r)
	if err != nil {
		later(http.StatusTooManyRequests, "too many events are on their way; try again")
		return
	}
	defer h.memory.Release(weight)

	body := &progressReader{body: r.Body, control: control, timeout: h.o.ProgressTimeout}
	if tail == nil {
		body.copy = h.o.Forward.Begin(r.ContentLength)
	}
	defer body.copy.Abort()
	var what arrivals
	err = h.receive(r, from, s, body, &what, tail)
	h.metrics.bytes.Add(float64(body.total))
	var cut *auditevent.ReadError
	switch {
	case err == nil:
		h.full.Store(false)
		body.copy.Commit()
		if tail == nil {
			h.note(r, from, &what)
		}
		if err := h.index.tidy(&h.tails); err != nil { // again in a minute
			h.o.Log.Error(err, "The index of events could not be tidied")
		}
		failpoint.Hit("intake/before-answer")
		answer(http.StatusOK, "")
	case errors.As(err, &cut):
		// The client is gone, or too slow: it sends all of it again, and what
		// is stored of it already is recognized by its chunks.
		h.metrics.posts.WithLabelValues("cut").Inc()
		cause := "cut short"
		if errors.Is(err, os.ErrDeadlineExceeded) {
			cause = "too slow"
		}
		h.o.Log.V(1).Info("A POST was given up", "source", from.String(), "cause", cause, "bytes", body.total)
		panic(http.ErrAbortHandler)
	default:
		body.drain()
		if errors.Is(err, spool.ErrFull) {
			h.full.Store(true)
			later(http.StatusServiceUnavailable, "the receiver's volume is full; try again")
			return
		}
		h.o.Log.Error(err, "Events could not be stored; the API server sends them again", "source", from.String())
		later(http.StatusServiceUnavailable, "the events could not be stored; try again")
	}
}

// note remembers what an API server has sent.
func (h *Handler) note(r *http.Request, from source, what *arrivals) {
	ops := h.sources.posted(from, pki.Fingerprint(r.TLS.PeerCertificates[0]), what, h.o.Clock.Now())
	if len(ops) == 0 {
		return
	}
	if err := h.o.Spool.Commit(ops...); err != nil { // again in a minute
		h.o.Log.V(1).Info("What is known of an API server could not be written", "source", from.String(), "cause", err.Error())
	}
}

// deny logs who was refused, not more than once a second: a misconfigured API
// server comes back ten times a second.
func (h *Handler) deny(r *http.Request, code int, reason string) {
	quiet, ok := h.denials.allow(h.o.Clock.Now())
	if !ok {
		return
	}
	name := ""
	if r.TLS != nil && len(r.TLS.PeerCertificates) > 0 {
		name = r.TLS.PeerCertificates[0].Subject.CommonName
	}
	h.o.Log.Info("Refused a POST; nothing of it is stored", "reason", reason, "status", code,
		"path", shorten(r.URL.Path), "certificate", shorten(name), "address", r.RemoteAddr, "notLogged", quiet)
}

// shorten bounds what a client can put into a log line.
func shorten(s string) string {
	const most = 128
	if len(s) > most {
		s = s[:most]
	}
	return strings.ToValidUTF8(s, "?")
}
