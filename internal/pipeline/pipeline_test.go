package pipeline

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/go-logr/logr/testr"
	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/gzip"
	"go.uber.org/goleak"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/trail-operator/trail-operator/internal/objectstore"
	"github.com/trail-operator/trail-operator/internal/objectstore/memory"
	"github.com/trail-operator/trail-operator/internal/outbox"
	"github.com/trail-operator/trail-operator/internal/receiverconfig"
	"github.com/trail-operator/trail-operator/internal/receiverstatus"
	"github.com/trail-operator/trail-operator/internal/record"
	"github.com/trail-operator/trail-operator/internal/signing"
	"github.com/trail-operator/trail-operator/internal/spool"
	"github.com/trail-operator/trail-operator/internal/spool/pebble"
	"github.com/trail-operator/trail-operator/internal/upload"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// bench is a pipeline with everything around it, which can be stopped and
// started again on the same volume. Time moves only when it is told to.
type bench struct {
	t       *testing.T
	clock   *clocktesting.FakeClock
	buckets map[string]*memory.Store
	key     *signing.PrivateKey
	dir     string
	config  receiverconfig.Config
	trails  []receiverconfig.Trail
	events  int
	sent    int

	fs    *vfs.MemFS            // in place of dir, when set
	space func(*Options)        // tells the pipeline of a volume with bounds, when set
	disk  func(*pebble.Options) // tells the spool of it
	spool spool.Spool
	p     *Pipeline
	stop  func()
}

func newBench(t *testing.T, fs ...*vfs.MemFS) *bench {
	key, err := signing.Generate()
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{
		t: t, key: key, dir: t.TempDir(), buckets: map[string]*memory.Store{},
		clock: clocktesting.NewFakeClock(time.Date(2026, 11, 21, 10, 20, 0, 0, time.UTC)),
		config: receiverconfig.Config{Version: 1, Generation: 1, Installation: receiverconfig.Installation{
			UID: "i", Account: "123456789012", Region: "lab-1",
		}},
	}
	if len(fs) > 0 {
		b.fs, b.dir = fs[0], "/data"
	}
	b.start()
	t.Cleanup(func() { b.stop() })
	return b
}

func (b *bench) start() {
	b.t.Helper()
	o := pebble.Options{Clock: b.clock, FreeBytes: func() (int64, error) { return 1 << 40, nil }}
	var files outbox.FS = outbox.OS{}
	if b.fs != nil {
		o.FS, files = b.fs, volume{b.fs}
	}
	if b.disk != nil {
		b.disk(&o)
	}
	s, err := pebble.Open(b.dir+"/spool", o)
	if err != nil {
		b.t.Fatal(err)
	}
	options := Options{
		Spool: s, FS: files, Dir: b.dir + "/outbox", Clock: steppedClock{b.clock}, Log: testr.New(b.t), TrailQuota: 1 << 30,
		Open: func(c objectstore.Config) (objectstore.Store, error) { return b.bucket(c.Bucket), nil },
	}
	if b.space != nil {
		b.space(&options)
	}
	p, err := New(options)
	if err != nil {
		b.t.Fatal(err)
	}
	b.spool, b.p = s, p
	if len(b.trails) > 0 {
		b.apply()
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = p.Run(ctx) }()
	b.stop = func() {
		cancel()
		<-done
		if err := s.Close(); err != nil {
			b.t.Error(err)
		}
	}
}

func (b *bench) bucket(name string) *memory.Store {
	if b.buckets[name] == nil {
		b.buckets[name] = memory.New(b.clock)
	}
	return b.buckets[name]
}

// trail adds a trail of a namespace, with a bucket of the same name.
func (b *bench) trail(namespace string) *receiverconfig.Trail {
	b.bucket(namespace)
	b.trails = append(b.trails, receiverconfig.Trail{
		UID: "uid-" + namespace, Name: namespace + ".all", Namespace: namespace, Generation: 1,
		ARN:         record.TrailARN("lab-1", "123456789012", namespace+".all"),
		Destination: receiverconfig.Destination{Bucket: namespace, Region: "us-east-1", Prefix: "p"},

		LogFileValidation: true, MaxFileAgeSeconds: 300, MaxFileSizeMiB: 64,
	})
	return &b.trails[len(b.trails)-1]
}

func (b *bench) apply() {
	b.t.Helper()
	b.config.Generation++
	if err := b.p.Apply(&b.config, b.trails, b.key); err != nil {
		b.t.Fatal(err)
	}
}

// post stores n events of a namespace as one chunk, which it returns.
func (b *bench) post(namespace string, n int) spool.Chunk {
	b.t.Helper()
	c := b.chunk(namespace, n)
	b.send(c)
	return c
}

// chunk makes n events of a namespace.
func (b *bench) chunk(namespace string, n int) spool.Chunk {
	c := spool.Chunk{Kind: spool.KindAudit, Source: "123456789012/api-1", Received: b.clock.Now(), Items: n}
	for range n {
		b.events++
		c.ID[0], c.ID[1], c.ID[2] = byte(b.events), byte(b.events>>8), byte(b.events>>16)
		c.Data = spool.AppendItem(c.Data, fmt.Appendf(nil, `{"level":"Metadata","auditID":"e-%d","stage":"ResponseComplete",`+
			`"requestURI":"/api/v1/namespaces/%s/configmaps/c","verb":"update","user":{"username":"ann","groups":["dev"]},"sourceIPs":["10.0.0.9"],`+
			`"objectRef":{"resource":"configmaps","namespace":"%s","name":"c","apiVersion":"v1"},"responseStatus":{"code":200},`+
			`"requestReceivedTimestamp":"2026-11-21T10:20:00.000000Z","stageTimestamp":"2026-11-21T10:20:00.100000Z"}`, b.events, namespace, namespace))
	}
	return c
}

// send stores a chunk, perhaps again. Of every other one the records are made
// ahead.
func (b *bench) send(c spool.Chunk) {
	b.t.Helper()
	if b.sent++; b.sent%2 == 0 && c.Kind == spool.KindAudit {
		if a := b.ahead(c); a != nil {
			c.Attached = a
		}
	}
	if _, err := b.spool.Append(context.Background(), []spool.Chunk{c}); err != nil {
		b.t.Fatal(err)
	}
}

// until moves the clock in small steps until check holds.
func (b *bench) until(what string, check func() bool) {
	b.t.Helper()
	deadline := time.Now().Add(time.Minute)
	for !check() {
		if time.Now().After(deadline) {
			b.t.Fatalf("%s did not happen; status %s", what, record.MustJSON(b.p.Status()))
		}
		b.clock.Step(time.Second)
		time.Sleep(2 * time.Millisecond) // lets the goroutines that the step woke run
	}
}

func (b *bench) status(namespace string) receiverstatus.Trail {
	for _, t := range b.p.Status().Trails {
		if t.UID == "uid-"+namespace {
			return t
		}
	}
	return receiverstatus.Trail{}
}

// delivered returns the records of a bucket by requestID, and fails on duplicates.
func (b *bench) delivered(namespace string) []string {
	b.t.Helper()
	var ids []string
	for key, o := range b.bucket(namespace).Objects() {
		if !record.IsLogFileKey(key) {
			continue
		}
		var f record.LogFile
		gunzip(b.t, o.Body, &f)
		for _, r := range f.Records {
			ids = append(ids, r.RequestID)
		}
	}
	slices.Sort(ids)
	for i := range ids[:max(0, len(ids)-1)] {
		if ids[i] == ids[i+1] && ids[i] != "" { // events of our own have none
			b.t.Errorf("%s was delivered twice", ids[i])
		}
	}
	return ids
}

// digests returns the digests of a bucket in the order of their keys.
func (b *bench) digests(namespace string) []record.Digest {
	var list []record.Digest
	objects := b.bucket(namespace).Objects()
	for _, key := range slices.Sorted(func(yield func(string) bool) {
		for k := range objects {
			if _, ok := record.ParseDigestKey(k); ok && !yield(k) {
				return
			}
		}
	}) {
		var d record.Digest
		gunzip(b.t, objects[key].Body, &d)
		list = append(list, d)
	}
	return list
}

func gunzip(t *testing.T, body []byte, into any) {
	t.Helper()
	zip, err := gzip.NewReader(strings.NewReader(string(body)))
	if err != nil {
		t.Fatal(err)
	}
	raw, err := io.ReadAll(zip)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(raw, into); err != nil {
		t.Fatal(err)
	}
}

func TestEachTrailGetsItsOwnEventsOnce(t *testing.T) {
	b := newBench(t)
	b.trail("red")
	b.trail("blue")
	b.apply()
	b.post("red", 3)
	b.post("blue", 2)
	b.post("red", 1)
	b.until("delivery", func() bool { return b.status("red").Counts.Delivered == 4 && b.status("blue").Counts.Delivered == 2 })
	if diff := cmp.Diff([]string{"e-1", "e-2", "e-3", "e-6"}, b.delivered("red")); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"e-4", "e-5"}, b.delivered("blue")); diff != "" {
		t.Error(diff)
	}
	if n := b.bucket("red").Calls(objectstore.OpPut); n != 1 {
		t.Errorf("four events of one minute were delivered in %d objects, want one file", n)
	}
	want := receiverstatus.Counts{Accepted: 4, Delivered: 4}
	if diff := cmp.Diff(want, b.status("red").Counts); diff != "" {
		t.Error("a tenant must not see the number of others' events", diff)
	}
}

func TestRestartNeitherLosesNorDoubles(t *testing.T) {
	b := newBench(t)
	b.trail("red")
	b.apply()
	for i := range 5 {
		b.post("red", 10)
		b.until("reading", func() bool { return b.status("red").StartPosition == 0 })
		b.stop()
		b.start()
		if i == 2 {
			b.bucket("red").SetHook(func(context.Context, objectstore.Op, string) memory.Fault {
				return memory.Fault{Refuse: objectstore.ErrUnreachable}
			})
		}
		if i == 3 {
			b.bucket("red").SetHook(nil)
		}
	}
	b.until("delivery", func() bool { return b.status("red").Counts.Delivered == 50 })
	if n := len(b.delivered("red")); n != 50 {
		t.Errorf("delivered %d of 50", n)
	}
}

func TestSuspendDeliversThenSealsTheChain(t *testing.T) {
	b := newBench(t)
	red := b.trail("red")
	b.apply()
	b.post("red", 3)
	red.Suspended, red.Generation = true, 2
	b.apply()
	b.post("red", 5) // behind the suspension
	b.until("flush", func() bool { return b.status("red").Flushed })
	if got := b.delivered("red"); len(got) != 3 {
		t.Errorf("delivered %v, want the three events before the suspension", got)
	}
	chain := b.digests("red")
	last := chain[len(chain)-1]
	if !last.Final || len(last.LogFiles) != 1 || last.PreviousDigestSignature != nil && len(chain) == 1 {
		t.Errorf("the final digest is %+v", last)
	}
	head := b.status("red").Head
	if head == nil || !head.Final || head.Object != last.DigestS3Object {
		t.Errorf("the head is %+v, want the final digest", head)
	}

	red.Suspended, red.Generation = false, 3
	b.apply()
	b.post("red", 1)
	b.until("delivery after the resumption", func() bool { return b.status("red").Counts.Delivered == 4 })
	b.clock.Step(time.Hour)
	b.until("the next digest", func() bool { return len(b.digests("red")) == len(chain)+1 })
	next := b.digests("red")[len(chain)]
	if next.PreviousDigestSignature != nil || next.ChainID == last.ChainID || next.DigestSequence != 1 {
		t.Errorf("the chain after a suspension must start anew: %+v", next)
	}
	if next.PreviousChain == nil || next.PreviousChain.Object != last.DigestS3Object || next.PreviousChain.Signature != head.Signature {
		t.Errorf("the new chain is not tied to the old one: %+v", next.PreviousChain)
	}
}

func TestHourlyDigestsWithoutGaps(t *testing.T) {
	b := newBench(t)
	b.trail("red")
	b.apply()
	b.until("the chain to start", func() bool { return b.status("red").Generation == 1 })
	b.post("red", 2)
	b.until("delivery", func() bool { return b.status("red").Counts.Delivered == 2 })
	b.stop()
	b.clock.Step(5 * time.Hour) // five hours are missed
	b.start()
	b.until("the missed digests", func() bool { return len(b.digests("red")) == 5 })
	chain := b.digests("red")
	for i, d := range chain {
		if i == 0 {
			if len(d.LogFiles) != 1 || d.PreviousDigestSignature != nil {
				t.Errorf("first digest: %+v", d)
			}
			continue
		}
		if d.DigestStartTime != chain[i-1].DigestEndTime || len(d.LogFiles) != 0 || *d.PreviousDigestS3Object != chain[i-1].DigestS3Object || d.DigestSequence != int64(i+1) {
			t.Errorf("digest %d does not follow: %+v", i, d)
		}
	}
}

func TestConfigurationHoldsFromItsPosition(t *testing.T) {
	b := newBench(t)
	red := b.trail("red")
	b.apply()
	b.post("red", 2)
	red.Generation, red.Namespace = 2, "other" // selects nothing of red any more
	b.apply()
	b.post("red", 3)
	b.until("delivery", func() bool { return b.status("red").Counts.Delivered == 2 })
	if got := b.status("red").StartPosition; got != 1 {
		t.Errorf("generation 2 starts at %d, want 1", got)
	}
}

func TestForeignObjectUnderOurKeyIsNeverOverwritten(t *testing.T) {
	b := newBench(t)
	b.trail("red")
	b.apply()
	taken := false
	b.bucket("red").SetHook(func(_ context.Context, op objectstore.Op, key string) memory.Fault {
		if op == objectstore.OpPut && record.IsLogFileKey(key) && !taken {
			taken = true
			b.bucket("red").Overwrite(key, []byte("somebody else's"))
		}
		return memory.Fault{}
	})
	b.post("red", 2)
	b.until("delivery under another key and a record of it", func() bool { return b.status("red").Counts.Delivered == 3 })
	foreign := 0
	for _, o := range b.bucket("red").Objects() {
		if string(o.Body) == "somebody else's" {
			foreign++
		}
	}
	if foreign != 1 {
		t.Errorf("the foreign object was touched")
	}
}

func TestDeadBucketExpiresItsOwnFilesOnly(t *testing.T) {
	b := newBench(t)
	b.trail("red")
	b.trail("blue")
	b.p.TrailQuota = 1200
	b.apply()
	b.bucket("red").SetHook(func(context.Context, objectstore.Op, string) memory.Fault {
		return memory.Fault{Refuse: objectstore.ErrUnreachable}
	})
	for i := range 6 {
		b.post("red", 2)
		b.post("blue", 1)
		want := int64(i + 1)
		b.until("blue's delivery", func() bool { return b.status("blue").Counts.Delivered == want })
	}
	b.until("expiry", func() bool { return b.status("red").Counts.Expired > 0 })
	if f := b.status("red").DeliveryError; f == nil || f.Reason != receiverstatus.ReasonUnreachable {
		t.Errorf("the failure is %+v", f)
	}
	if s := b.status("red"); s.LastAttempt == nil || s.LastDelivery != nil || b.clock.Since(*s.LastAttempt) > upload.Backoff(100) {
		t.Errorf("the last attempt was at %v, the last delivery at %v", s.LastAttempt, s.LastDelivery)
	}
	if s := b.status("blue"); s.LastAttempt == nil || s.LastAttempt.Before(*s.LastDelivery) {
		t.Errorf("the last attempt was at %v, the last delivery at %v", s.LastAttempt, s.LastDelivery)
	}
	b.bucket("red").SetHook(nil)
	b.until("red's recovery", func() bool {
		c := b.status("red").Counts
		return c.Pending == 0 && c.Delivered > 0 && c.Accepted == c.Delivered+c.Expired
	})
}

func TestClockSkewHoldsBack(t *testing.T) {
	b := newBench(t)
	b.trail("red")
	b.bucket("red").SetServerTime(10 * time.Minute)
	b.apply()
	b.post("red", 1)
	b.until("the condition", func() bool { return b.status("red").ClockSkewSeconds == 600 && b.status("red").PendingFiles == 1 })
	b.bucket("red").SetServerTime(0)
	b.until("delivery", func() bool { return b.status("red").Counts.Delivered == 1 })
}

func TestOwnEventsReachTheirTrailOnce(t *testing.T) {
	b := newBench(t)
	b.trail("red")
	b.trail("blue")
	b.apply()
	e := record.OwnEvent{ID: "x", Name: record.EventStartLogging, Time: b.clock.Now(), Trails: []string{"uid-red"}}
	for range 3 {
		if err := b.p.Record(context.Background(), e); err != nil {
			t.Fatal(err)
		}
	}
	b.post("blue", 1)
	b.until("delivery", func() bool { return b.status("red").Counts.Delivered == 1 && b.status("blue").Counts.Delivered == 1 })
	if c := b.status("blue").Counts; c.Accepted != 1 {
		t.Errorf("blue saw an event about red: %+v", c)
	}
}
