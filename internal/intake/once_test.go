package intake

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/go-logr/logr"
	"github.com/google/uuid"
	clocktesting "k8s.io/utils/clock/testing"
	"pgregory.net/rapid"

	"github.com/trail-operator/trail-operator/internal/auditevent"
	"github.com/trail-operator/trail-operator/internal/receiverconfig"
	"github.com/trail-operator/trail-operator/internal/spool"
	"github.com/trail-operator/trail-operator/internal/spool/pebble"
)

// bothWays is an API server whose events come by webhook and by tail, to a
// receiver that is stopped, killed, and whose volume is full at times.
type bothWays struct {
	t      testing.TB
	clock  *clocktesting.FakePassiveClock
	config *receiverconfig.Tail
	api    *issuer
	fs     *vfs.MemFS
	spool  spool.Spool
	h      *Handler
	full   atomic.Bool
	pace   time.Duration // between two events

	made     int // events
	webhook  int // the next event that the webhook has not sent
	tail     int // the next that the tail has not
	id       string
	sequence uint64
	sent     []batch           // by webhook, answered
	posted   []batch           // by tail, answered
	answered map[int]time.Time // when an event was answered first

	checked spool.Position
	stored  map[int]bool // up to checked
}

// batch is a body of events.
type batch struct {
	from, to int
	padding  int
	source   string
	sequence uint64
	at       time.Time
}

var onceBegin = time.Date(2026, 11, 21, 3, 0, 0, 0, time.UTC)

func newBothWays(t testing.TB, api *issuer, config *receiverconfig.Tail) *bothWays {
	w := &bothWays{
		t: t, clock: clocktesting.NewFakePassiveClock(onceBegin), fs: vfs.NewCrashableMem(), api: api, config: config,
		id: uuid.NewString(), answered: map[int]time.Time{}, pace: time.Second,
	}
	w.open()
	return w
}

func (w *bothWays) open() {
	w.checked, w.stored = 0, map[int]bool{} // all is read again
	var err error
	w.spool, err = pebble.Open("spool", pebble.Options{FS: w.fs, Clock: w.clock, ReserveBytes: 1 << 20, FreeBytes: func() (int64, error) {
		if w.full.Load() {
			return 1<<20 - 1, nil
		}
		return math.MaxInt64, nil
	}})
	if err != nil {
		w.t.Fatal(err)
	}
	w.begin(w.spool, w.config)
}

// begin runs a handler with a spool. Without a config there are no tails.
func (w *bothWays) begin(s spool.Spool, config *receiverconfig.Tail) {
	w.spool = s
	var err error
	if w.h, err = New(Options{Spool: w.spool, Clock: w.clock, Log: logr.Discard()}); err != nil {
		w.t.Fatal(err)
	}
	if err := w.h.ConfigureTail(config); err != nil {
		w.t.Fatal(err)
	}
	w.h.Configure(account, false, "")
}

func (w *bothWays) restart(crash bool) {
	if crash {
		clone := w.fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 0})
		_ = w.spool.Close()
		w.fs = clone
	} else if err := w.spool.Close(); err != nil {
		w.t.Fatal(err)
	}
	w.open()
}

// body is the list of a batch: every seventh event makes no record.
func (w *bothWays) body(b batch) string {
	var items []string
	for i := b.from; i < b.to; i++ {
		e := at(onceBegin.Add(time.Duration(i)*w.pace), strconv.Itoa(i))[0]
		if i%7 == 6 {
			e = strings.Replace(e, "ResponseComplete", "RequestReceived", 1)
		}
		if b.padding > 0 {
			e = e[:len(e)-1] + `,"requestObject":{"x":"` + strings.Repeat("a", b.padding) + `"}}`
		}
		items = append(items, e)
	}
	return list(items...)
}

// patient is a response that has deadlines.
type patient struct{ *httptest.ResponseRecorder }

func (patient) SetReadDeadline(time.Time) error  { return nil }
func (patient) SetWriteDeadline(time.Time) error { return nil }

var errCut = errors.New("cut")

// post sends a batch, or the first bytes of it, and returns the status, 0 for no answer.
func (w *bothWays) post(b batch, upTo int) (code int) {
	return w.postText(w.body(b), b, upTo)
}

// postText sends the body of a batch.
func (w *bothWays) postText(text string, b batch, upTo int) (code int) {
	var body io.Reader = strings.NewReader(text)
	if upTo < len(text) {
		body = io.MultiReader(strings.NewReader(text[:upTo]), &failing{})
	}
	req := httptest.NewRequestWithContext(context.Background(), http.MethodPost, path1, body)
	req.ContentLength = int64(len(text))
	if b.source == "" {
		cert := &x509.Certificate{Raw: []byte("c"), Subject: pkix.Name{CommonName: apiServer1.name, Organization: []string{apiServer1.organization}}}
		req.TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{cert}, VerifiedChains: [][]*x509.Certificate{{cert}}}
	} else {
		req.TLS = &tls.ConnectionState{}
		req.Header.Set("Authorization", "Bearer "+w.api.token("cp-1", w.clock.Now()))
		req.Header.Set(receiverconfig.HeaderTailSource, b.source)
		req.Header.Set(receiverconfig.HeaderTailSequence, strconv.FormatUint(b.sequence, 10))
	}
	answer := patient{httptest.NewRecorder()}
	defer func() {
		if p := recover(); p != nil && p != http.ErrAbortHandler { //nolint:errorlint // it is that value
			panic(p)
		} else if p != nil {
			code = 0
		}
	}()
	w.h.ServeHTTP(answer, req)
	return answer.Code
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errCut }

// took notes what an answer promises.
func (w *bothWays) took(b batch) {
	for i := b.from; i < b.to; i++ {
		if _, ok := w.answered[i]; !ok {
			w.answered[i] = w.clock.Now()
		}
	}
}

func (w *bothWays) next(rt *rapid.T, from int) batch {
	n := rapid.IntRange(1, 5).Draw(rt, "events")
	b := batch{from: from, to: from + n, at: w.clock.Now()}
	if rapid.IntRange(0, 24).Draw(rt, "large") == 24 {
		b.to, b.padding = from+8, 600<<10 // two chunks
	}
	w.made = max(w.made, b.to)
	return b
}

// nextWebhook leaves out what a webhook would have sent, or dropped, long ago: it
// holds events for some minutes.
func (w *bothWays) nextWebhook(rt *rapid.T) batch {
	for {
		at, ok := w.answered[w.webhook]
		if !ok || w.clock.Since(at) <= 30*time.Minute {
			return w.next(rt, w.webhook)
		}
		w.webhook++
	}
}

func (w *bothWays) nextTail(rt *rapid.T) batch {
	b := w.next(rt, w.tail)
	b.source, b.sequence = w.id, w.sequence+1
	return b
}

// expect ends the test when a POST was not answered so.
func (w *bothWays) expect(rt *rapid.T, b batch, want int) {
	rt.Helper()
	if code := w.post(b, math.MaxInt); code != want {
		rt.Fatalf("%+v: status %d, want %d", b, code, want)
	}
	if want == http.StatusOK {
		w.took(b)
	}
}

func (w *bothWays) sendTail(rt *rapid.T, b batch) {
	rt.Helper()
	w.expect(rt, b, 200)
	w.tail, w.sequence = b.to, b.sequence
	w.posted = append(w.posted, b)
}

func (w *bothWays) sendWebhook(rt *rapid.T, b batch) {
	rt.Helper()
	w.expect(rt, b, 200)
	w.webhook = b.to
	w.sent = append(w.sent, b)
}

// recent draws a batch of the last half hour.
func (w *bothWays) recent(rt *rapid.T, list []batch) (batch, bool) {
	if len(list) == 0 {
		return batch{}, false
	}
	b := rapid.SampledFrom(list).Draw(rt, "again")
	return b, w.clock.Since(b.at) <= 30*time.Minute
}

// known: the receiver has seen the present state of the tail.
func (w *bothWays) known() bool {
	return len(w.posted) > 0 && w.posted[len(w.posted)-1].source == w.id
}

// cut draws how much of a body arrives.
func (w *bothWays) cut(rt *rapid.T, b batch) int {
	return rapid.IntRange(0, len(w.body(b))-1).Draw(rt, "bytes")
}

// check compares what is stored with what was answered.
func (w *bothWays) check(rt *rapid.T) {
	rt.Helper()
	ids, _ := auditIDs(w.t, w.spool, w.checked)
	w.checked = w.spool.Tail()
	for _, id := range ids {
		n, err := strconv.Atoi(id)
		if err != nil {
			rt.Fatal(err)
		}
		if w.stored[n] {
			rt.Fatalf("event %d is stored twice", n)
		}
		w.stored[n] = true
	}
	for i := range w.answered {
		if i%7 != 6 && !w.stored[i] {
			rt.Fatalf("event %d was answered and is not stored", i)
		}
	}
}

// TestOnce: whatever happens, each event that was answered is stored once.
func TestOnce(t *testing.T) {
	api := newIssuer(t, "a")
	config := tailConfig(t, api)
	rounds := 0
	rapid.Check(t, func(rt *rapid.T) {
		if rounds++; raceDetector && rounds > 30 {
			return // it is slow
		}
		w := newBothWays(t, api, config)
		w.pace = 3 * time.Minute // so that slots are left behind
		defer func() { _ = w.spool.Close() }()
		rt.Repeat(map[string]func(*rapid.T){
			"webhook": func(rt *rapid.T) { w.sendWebhook(rt, w.nextWebhook(rt)) },
			"tail":    func(rt *rapid.T) { w.sendTail(rt, w.nextTail(rt)) },
			"API server drops events": func(rt *rapid.T) {
				w.webhook += rapid.IntRange(1, 9).Draw(rt, "dropped")
			},
			"webhook again": func(rt *rapid.T) {
				if b, ok := w.recent(rt, w.sent); ok {
					w.expect(rt, b, 200)
				}
			},
			"tail again": func(rt *rapid.T) {
				if b, ok := w.recent(rt, w.posted); ok {
					w.expect(rt, b, 200)
				}
			},
			"webhook cut short": func(rt *rapid.T) {
				b := w.nextWebhook(rt)
				if code := w.post(b, w.cut(rt, b)); code != 0 {
					rt.Fatalf("status %d", code)
				}
				if rapid.Bool().Draw(rt, "again") {
					w.sendWebhook(rt, b)
				}
			},
			"tail cut short": func(rt *rapid.T) {
				b := w.nextTail(rt)
				if code := w.post(b, w.cut(rt, b)); code != 0 {
					rt.Fatalf("status %d", code)
				}
				if rapid.Bool().Draw(rt, "later") {
					w.clock.SetTime(w.clock.Now().Add(20 * time.Minute)) // IDs of chunks are forgotten
				}
				w.sendTail(rt, b)
			},
			"both at once": func(rt *rapid.T) {
				one, two := w.nextWebhook(rt), w.nextTail(rt)
				var posts sync.WaitGroup
				var codes [2]int
				posts.Go(func() { codes[0] = w.post(one, math.MaxInt) })
				posts.Go(func() { codes[1] = w.post(two, math.MaxInt) })
				posts.Wait()
				if codes != [2]int{200, 200} {
					rt.Fatalf("status %v", codes)
				}
				w.took(one)
				w.took(two)
				w.webhook, w.tail, w.sequence = one.to, two.to, two.sequence
				w.sent, w.posted = append(w.sent, one), append(w.posted, two)
			},
			"tail catches up": func(*rapid.T) { w.webhook = max(w.webhook, w.tail) },
			"webhook catches up": func(rt *rapid.T) {
				for w.tail < w.webhook {
					b := batch{from: w.tail, to: min(w.tail+20, w.webhook), source: w.id, sequence: w.sequence + 1, at: w.clock.Now()}
					w.sendTail(rt, b)
				}
			},
			"sequence left out": func(rt *rapid.T) {
				b := w.nextTail(rt)
				if b.sequence++; w.known() {
					w.expect(rt, b, 409)
				}
			},
			"state of the tail is lost": func(rt *rapid.T) {
				if b, ok := w.recent(rt, w.posted); ok {
					w.id, w.sequence, w.tail = uuid.NewString(), rapid.Uint64Range(0, 9).Draw(rt, "sequence"), b.from
					w.sendTail(rt, w.nextTail(rt))
				}
			},
			"full volume": func(rt *rapid.T) {
				w.full.Store(true)
				b := w.nextTail(rt)
				if rapid.Bool().Draw(rt, "webhook") {
					b = w.nextWebhook(rt)
				}
				code := w.post(b, math.MaxInt)
				w.full.Store(false)
				if code == 200 { // all of it was stored already, but for skipped events
					w.took(b)
				} else if code != 503 {
					rt.Fatalf("status %d", code)
				}
				if code == 200 && b.source != "" {
					w.tail, w.sequence = b.to, b.sequence
				}
			},
			"time": func(rt *rapid.T) {
				w.clock.SetTime(w.clock.Now().Add(time.Duration(rapid.IntRange(1, 40).Draw(rt, "minutes")) * time.Minute))
			},
			"restart": func(*rapid.T) { w.restart(false) },
			"crash":   func(*rapid.T) { w.restart(true) },
			"":        w.check,
		})
	})
}

// received = accepted + duplicates + skipped + quarantined, for each source.
func TestOnceCounts(t *testing.T) {
	api := newIssuer(t, "a")
	w := newBothWays(t, api, tailConfig(t, api))
	defer func() { _ = w.spool.Close() }()
	for _, b := range []batch{
		{from: 0, to: 10},
		{from: 0, to: 10},
		{from: 5, to: 12},
		{from: 8, to: 20, source: tailA, sequence: 1},
		{from: 8, to: 20, source: tailA, sequence: 1},
		{from: 20, to: 28, padding: 600 << 10, source: tailA, sequence: 2},
		{from: 20, to: 28, padding: 600 << 10},
	} {
		if code := w.post(b, math.MaxInt); code != 200 {
			t.Fatalf("status %d", code)
		}
	}
	type account struct{ Items, Skipped, Duplicates int }
	got := map[string]account{}
	err := w.spool.Read(t.Context(), 0, func(_ spool.Position, c *spool.Chunk) error {
		a := got[c.Source]
		got[c.Source] = account{a.Items + c.Items, a.Skipped + c.Skipped, a.Duplicates + c.Duplicates}
		return nil
	}, func(d spool.Damaged) { t.Errorf("%+v", d) })
	if err != nil {
		t.Fatal(err)
	}
	// Of the events 6, 13, 20 and 27 make no records. They are skipped wherever they come from.
	want := map[string]account{"123456789012/cp-1": {11, 4, 10}, "123456789012/cp-1/tail": {13, 3, 4}}
	for source, a := range want {
		if got[source] != a {
			t.Errorf("%s: got %+v, want %+v", source, got[source], a)
		}
	}
	if n := w.h.Duplicates(); n != 10+4+4+12+6 {
		t.Errorf("%d duplicates", n)
	}
	tails, _ := w.h.Tails()
	if len(tails) != 1 || tails[0].Sequence != 2 || tails[0].Accepted != 13 || fmt.Sprint(tails[0].Newest) != fmt.Sprint(onceBegin.Add(27*time.Second)) {
		t.Errorf("%+v", tails)
	}
}

// A body of several chunks that was cut short is taken up where it ended, also
// when the spool has forgotten the IDs of its chunks.
func TestTailCutShort(t *testing.T) {
	api := newIssuer(t, "a")
	w := newBothWays(t, api, tailConfig(t, api))
	defer func() { _ = w.spool.Close() }()
	b := batch{from: 5, to: 14, padding: 600 << 10, source: tailA, sequence: 1} // 6 and 13 make no records
	if code := w.post(b, len(w.body(b))-5); code != 0 {
		t.Fatalf("status %d", code)
	}
	if tail := w.spool.Tail(); tail != 1 {
		t.Fatalf("%d chunks", tail)
	}
	w.restart(true)
	w.clock.SetTime(w.clock.Now().Add(20 * time.Minute))
	if code := w.post(b, math.MaxInt); code != 200 {
		t.Fatalf("status %d", code)
	}
	chunks, items, skipped, duplicates := 0, 0, 0, 0
	err := w.spool.Read(t.Context(), 0, func(_ spool.Position, c *spool.Chunk) error {
		chunks, items, skipped, duplicates = chunks+1, items+c.Items, skipped+c.Skipped, duplicates+c.Duplicates
		return nil
	}, func(d spool.Damaged) { t.Errorf("%+v", d) })
	if err != nil {
		t.Fatal(err)
	}
	if chunks != 2 || items != 7 || skipped != 2 || duplicates != 0 {
		t.Errorf("%d chunks, %d items, %d skipped, %d duplicates", chunks, items, skipped, duplicates)
	}
}

// Who brings an event that another POST is storing waits for it.
func TestClaim(t *testing.T) {
	api := newIssuer(t, "a")
	w := newBothWays(t, api, tailConfig(t, api))
	defer func() { _ = w.spool.Close() }()
	keys := []spool.EventKey{{1}, {2}, {3}, {2}}
	found := make([]bool, 4)
	first, err := w.h.index.claim(t.Context(), keys, found)
	if err != nil || found[0] || found[1] || found[2] || !found[3] {
		t.Fatalf("%v, %v", found, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := w.h.index.claim(ctx, []spool.EventKey{{9}, {2}}, make([]bool, 2)); !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v", err)
	}
	done := make(chan []bool)
	go func() {
		found := make([]bool, 2)
		second, err := w.h.index.claim(t.Context(), []spool.EventKey{{9}, {2}}, found)
		if err != nil {
			t.Error(err)
		}
		w.h.index.release(second)
		done <- found
	}()
	if _, err := w.spool.Append(t.Context(), []spool.Chunk{{ID: spool.ID{1}, Kind: spool.KindAudit, Events: keys}}); err != nil {
		t.Fatal(err)
	}
	w.h.index.noted(keys)
	w.h.index.release(first)
	if found := <-done; found[0] || !found[1] {
		t.Errorf("got %v", found)
	}
	if n := len(w.h.index.claims); n != 0 {
		t.Errorf("%d claims are left", n)
	}
}

// Slots go when all tails have passed them, and for the quota.
func TestIndexTidy(t *testing.T) {
	api := newIssuer(t, "a")
	w := newBothWays(t, api, tailConfig(t, api))
	defer func() { _ = w.spool.Close() }()
	slots := func() int {
		t.Helper()
		list, err := w.spool.EventSlots(100)
		if err != nil {
			t.Fatal(err)
		}
		return len(list)
	}
	later := func(d time.Duration) { w.clock.SetTime(w.clock.Now().Add(d)) }
	post := func(b batch) {
		t.Helper()
		if code := w.post(b, math.MaxInt); code != 200 {
			t.Fatalf("status %d", code)
		}
	}
	const slot = 600 // events
	for i := range 6 {
		post(batch{from: i * slot, to: i*slot + 2})
		later(10 * time.Minute)
	}
	later(24 * time.Hour)
	post(batch{from: 6 * slot, to: 6*slot + 1})
	if n := slots(); n != 7 {
		t.Fatalf("without a tail %d slots", n)
	}
	// It is in the fourth slot, and its next event may be in the second.
	post(batch{from: 0, to: 1, source: tailA, sequence: 1})
	post(batch{from: 3 * slot, to: 3*slot + 1, source: tailA, sequence: 2})
	later(indexKept + time.Minute)
	post(batch{from: 6*slot + 1, to: 6*slot + 2})
	if n := slots(); n != 6 {
		t.Fatalf("behind the tail %d slots", n)
	}
	_, index := w.h.Tails()
	if index == nil || !index.Since.Equal(onceBegin) {
		t.Fatalf("%+v", index)
	}
	w.restart(false) // nothing is known of when slots got their keys
	post(batch{from: 6 * slot, to: 6*slot + 3, source: tailA, sequence: 3})
	later(indexKept - time.Minute)
	post(batch{from: 6*slot + 3, to: 6*slot + 4, source: tailA, sequence: 4})
	if n := slots(); n != 6 {
		t.Fatalf("soon after a restart %d slots", n)
	}
	later(2 * time.Minute)
	post(batch{from: 6*slot + 4, to: 6*slot + 5, source: tailA, sequence: 5})
	if n := slots(); n != 3 { // the next event may be a quarter of an hour older
		t.Fatalf("passed %d slots", n)
	}

	w.h.index.quota = -1
	later(2 * time.Minute)
	post(batch{from: 6*slot + 5, to: 6*slot + 6})
	if _, index := w.h.Tails(); slots() != 0 || !index.Since.Equal(onceBegin.Add(70*time.Minute)) {
		t.Fatalf("over the quota %d slots, %+v", slots(), index)
	}
	w.restart(false)
	if _, index := w.h.Tails(); !index.Since.Equal(onceBegin.Add(70 * time.Minute)) {
		t.Fatalf("after a restart %+v", index)
	}
	if err := w.h.ConfigureTail(nil); err != nil {
		t.Fatal(err)
	}
	w.restart(false)
	if _, index := w.h.Tails(); index == nil || !index.Since.Equal(w.clock.Now()) {
		t.Fatalf("switched off and on: %+v", index)
	}
}

// counted is an Ahead that tells whether it was released.
type counted struct {
	out *atomic.Int64
	n   int
}

func (c *counted) Add(*auditevent.Event, []byte, bool) { c.n++ }
func (c *counted) Whole(n int) bool                    { return c.n == n }
func (c *counted) Release()                            { c.out.Add(-1) }

// What is made ahead is handed on with a chunk, or released: also where the
// chunk turns out to be known, wholly or in part.
func TestAheadIsReleased(t *testing.T) {
	api := newIssuer(t, "a")
	w := newBothWays(t, api, tailConfig(t, api))
	defer func() { _ = w.spool.Close() }()
	var out, attached, made atomic.Int64
	w.h.o.Ahead = func(string) Ahead {
		out.Add(1)
		made.Add(1)
		return &counted{out: &out}
	}
	w.h.o.Spool = &attaching{w.spool, &attached}
	large := batch{from: 20, to: 29, padding: 600 << 10, source: tailA, sequence: 3}
	for _, b := range []batch{
		{from: 0, to: 10},
		{from: 0, to: 12, source: tailA, sequence: 1},
		{from: 0, to: 12, source: tailA, sequence: 1},
		{from: 10, to: 20, source: tailA, sequence: 2},
		{from: 5, to: 20},
		{from: 12, to: 22},
	} {
		if code := w.post(b, math.MaxInt); code != 200 {
			t.Fatalf("status %d", code)
		}
	}
	for _, upTo := range []int{len(w.body(large)) - 5, math.MaxInt, math.MaxInt} {
		w.post(large, upTo)
	}
	if out.Load() != attached.Load() || made.Load() < 4 || attached.Load() < 2 {
		t.Errorf("%d made, %d handed on, %d are out", made.Load(), attached.Load(), out.Load())
	}
}

// attaching counts what is attached to chunks.
type attaching struct {
	spool.Spool
	n *atomic.Int64
}

func (a *attaching) Append(ctx context.Context, chunks []spool.Chunk, ops ...spool.Op) ([]spool.Appended, error) {
	for i := range chunks {
		if chunks[i].Attached != nil {
			a.n.Add(1)
			chunks[i].Attached = nil
		}
	}
	return a.Spool.Append(ctx, chunks, ops...)
}
