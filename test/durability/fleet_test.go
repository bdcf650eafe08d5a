package durability

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"path"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"

	"github.com/trail-operator/trail-operator/api/v1alpha1"
	"github.com/trail-operator/trail-operator/internal/objectstore"
	"github.com/trail-operator/trail-operator/internal/receiverconfig"
	"github.com/trail-operator/trail-operator/internal/receiverstatus"
	"github.com/trail-operator/trail-operator/internal/record"
	"github.com/trail-operator/trail-operator/internal/signing"
	"github.com/trail-operator/trail-operator/internal/verify"
	"github.com/trail-operator/trail-operator/test/testenv"
)

// fleet is a world with trails of tenants and of the whole cluster, each with a
// bucket of its own behind one front, and the model of what belongs into each.
type fleet struct {
	*world
	front   *testenv.S3Front
	buckets []objectstore.Store // of each trail, past the front
	trails  []fleetTrail
	keys    []record.PublishedKey
	key     *signing.PrivateKey // the last of keys
	events  model
}

// model knows what each trail has to deliver.
type model struct {
	mu sync.Mutex
	// acked has, for each acknowledged event, a bit for each trail that selects it.
	acked map[string]uint8
	// visible counts the acknowledged events that a trail has to account for.
	visible []int64
	trails  []fleetTrail
	// recording and reads say of each trail what it selects now; they change
	// while nothing is sent.
	recording []bool
	selection []v1alpha1.ReadWriteType
	// again counts bodies that were sent once more after they were acknowledged,
	// cut those whose first try was cut.
	again, cut int
}

// fleetTrail is what a trail of a fleet begins with.
type fleetTrail struct {
	name, namespace string
	selection       v1alpha1.ReadWriteType
}

// mixedTrails are two of the cluster and three of tenants.
var mixedTrails = []fleetTrail{
	{"all", "", v1alpha1.ReadWriteAll},
	{"writes", "", v1alpha1.WriteOnly},
	{"team-00.all", "team-00", v1alpha1.ReadWriteAll},
	{"team-01.reads", "team-01", v1alpha1.ReadOnly},
	{"team-02.all", "team-02", v1alpha1.ReadWriteAll},
}

// newFleet starts a receiver whose trails deliver through a front.
func newFleet(t *testing.T, dataDir string, flags []string, trails []fleetTrail, choose func(*http.Request) testenv.S3Fault) *fleet {
	t.Helper()
	f := &fleet{trails: trails, events: model{acked: map[string]uint8{}}}
	f.front = testenv.NewS3Front(s3, nil, choose)
	t.Cleanup(f.front.Close)
	f.world = newWorldWith(t, dataDir, flags, func(w *world) {
		name := w.trail().Destination.Bucket
		model := *w.trail()
		w.in.Trails = nil
		for i, ft := range trails {
			f.events.trails = append(f.events.trails, ft)
			trail := model
			trail.UID = fmt.Sprintf("00000000-0000-4000-8000-00000000000%x", i+1)
			trail.Name, trail.Namespace = ft.name, ft.namespace
			trail.ARN = record.TrailARN(testenv.Region, testenv.Account, ft.name)
			trail.Destination.Bucket = fmt.Sprintf("%s-%d", name, i)
			trail.Destination.Prefix = strings.ReplaceAll(ft.name, ".", "/")
			trail.Selection = selection(ft.selection)
			direct, err := open(trail.Destination)
			if err != nil {
				t.Fatal(err)
			}
			if err := direct.CreateBucket(w.ctx); err != nil {
				t.Fatal(err)
			}
			f.buckets = append(f.buckets, direct)
			trail.Destination.Endpoint = f.front.Endpoint
			w.in.Trails = append(w.in.Trails, trail)
			f.events.recording = append(f.events.recording, true)
			f.events.selection = append(f.events.selection, ft.selection)
			f.events.visible = append(f.events.visible, 0)
		}
	})
	f.publish(time.Now().Add(-time.Hour), nil)
	return f
}

func selection(of v1alpha1.ReadWriteType) v1alpha1.EventSelection {
	return v1alpha1.EventSelection{Basic: []v1alpha1.BasicEventSelector{{ReadWriteType: of}}}
}

// publish publishes the key that signs from now on.
func (f *fleet) publish(from time.Time, before *signing.PrivateKey) {
	f.t.Helper()
	key, err := signing.Publish(f.in.Key.Public(), from, before)
	if err != nil {
		f.t.Fatal(err)
	}
	f.keys, f.key = append(f.keys, key), f.in.Key
}

// rotate signs with a new key from now on.
func (f *fleet) rotate() {
	f.t.Helper()
	before := f.key
	key, err := signing.Generate()
	if err != nil {
		f.t.Fatal(err)
	}
	f.in.Key = key
	f.publish(time.Now(), before)
	f.apply()
}

// apply writes the configuration and waits until it is in force.
func (f *fleet) apply() {
	f.t.Helper()
	if err := f.in.Write(); err != nil {
		f.t.Fatal(err)
	}
	f.untilAll("the configuration", patience, func(s *receiverstatus.Status) bool { return s.Generation == f.in.Config.Generation })
}

// change changes one trail, and waits until it is in force. Nothing is sent meanwhile.
func (f *fleet) change(i int, change func(*receiverconfig.Trail)) {
	f.t.Helper()
	t := &f.in.Trails[i]
	change(t)
	t.Generation++
	f.apply()
	f.events.recording[i] = !t.Suspended
	f.events.selection[i] = t.Selection.Basic[0].ReadWriteType
}

// untilAll waits for a status of the receiver.
func (f *fleet) untilAll(what string, atMost time.Duration, holds func(*receiverstatus.Status) bool) *receiverstatus.Status {
	f.t.Helper()
	last := "no status"
	for deadline := time.Now().Add(atMost); time.Now().Before(deadline) && !f.t.Failed(); time.Sleep(50 * time.Millisecond) {
		s, err := f.status()
		switch {
		case err != nil:
			last = err.Error()
		case holds(s):
			return s
		default:
			last = string(record.MustJSON(s))
		}
	}
	f.t.Fatalf("waiting for %s: %s\n%s", what, last, f.log())
	return nil
}

// selects is the rule in its plainest form.
func (m *model) selects(i int, namespace string, read bool) (visible, selected bool) {
	if !m.recording[i] || m.trails[i].namespace != "" && m.trails[i].namespace != namespace {
		return false, false
	}
	switch m.selection[i] {
	case v1alpha1.ReadOnly:
		return true, read
	case v1alpha1.WriteOnly:
		return true, !read
	default:
		return true, true
	}
}

// add notes that the events of a body are acknowledged.
func (m *model) add(body []byte) error {
	var list struct {
		Items []struct {
			AuditID, Verb string
			ObjectRef     struct{ Namespace string }
		}
	}
	if err := json.Unmarshal(body, &list); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, e := range list.Items {
		read, bits := slices.Contains([]string{"get", "list", "watch"}, e.Verb), uint8(0)
		for i := range m.recording {
			visible, selected := m.selects(i, e.ObjectRef.Namespace, read)
			if visible {
				m.visible[i]++
			}
			if selected {
				bits |= 1 << i
			}
		}
		m.acked[e.AuditID] = bits
	}
	return nil
}

func (m *model) size() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.acked)
}

// pace is how a fleet's senders send.
type pace struct {
	senders int
	events  int           // in most bodies
	body    int           // bytes of most events' objects
	pause   time.Duration // on average, after each POST
}

// send begins to send until done holds; the function it returns waits for the end.
func (f *fleet) send(p pace, done func() bool) (wait func()) {
	var g sync.WaitGroup
	for range p.senders {
		seed := seeds.Add(1)
		g.Go(func() {
			if err := f.sendBodies(p, seed, done); err != nil && f.ctx.Err() == nil {
				f.t.Errorf("%v\n%s", err, f.log())
			}
		})
	}
	return g.Wait
}

func (f *fleet) sendBodies(p pace, seed uint64, done func() bool) error {
	events := testenv.NewEvents(seed)
	r := rand.New(rand.NewPCG(seed, 3))
	var older [][]byte
	for !done() && f.ctx.Err() == nil {
		events.Body, events.Namespace = p.body, ""
		if n := r.IntN(10); n < 7 { // the first tenant is the loudest
			events.Namespace = []string{"team-00", "team-00", "team-00", "team-00", "team-01", "team-02", "team-02"}[n]
		}
		n := p.events
		if r.IntN(300) == 0 {
			n, events.Body = largeBody, eventBody // several chunks
		}
		body := events.List(nil, n)
		body = bytes.ReplaceAll(body, []byte(`"auditID":"ev-`), fmt.Appendf(nil, `"auditID":"s%d-ev-`, seed))
		again, cut := 0, 0
		if r.IntN(20) == 0 {
			f.postHalf(body)
			cut++
		}
		if err := f.sendAcknowledged(body); err != nil {
			return err
		}
		if err := f.events.add(body); err != nil {
			return err
		}
		if r.IntN(4) == 0 { // as when the answer was lost
			older = append(older, body)
		}
		if n := len(older); n > 0 && r.IntN(4) == 0 { // and not in their order
			i := r.IntN(n)
			if err := f.sendAcknowledged(older[i]); err != nil {
				return err
			}
			older = slices.Delete(older, i, i+1)
			again++
		}
		if len(older) > 4 {
			older = older[1:]
		}
		f.events.mu.Lock()
		f.events.again, f.events.cut = f.events.again+again, f.events.cut+cut
		f.events.mu.Unlock()
		time.Sleep(time.Duration(r.Int64N(int64(2 * p.pause)))) // paces the load
	}
	return nil
}

// settle suspends every trail and waits until all of it is delivered.
func (f *fleet) settle(atMost time.Duration) *receiverstatus.Status {
	f.t.Helper()
	for i := range f.in.Trails {
		f.in.Trails[i].Suspended = true
		f.in.Trails[i].Generation++
	}
	f.apply()
	f.untilAll("everything to be delivered", atMost, func(s *receiverstatus.Status) bool {
		return len(s.Trails) == len(f.in.Trails) && !slices.ContainsFunc(s.Trails, func(t receiverstatus.Trail) bool { return !t.Flushed })
	})
	n := int64(f.events.size())
	return f.untilAll(fmt.Sprintf("intake to count %d events", n), patience, func(s *receiverstatus.Status) bool { return s.Intake.Accepted == n })
}

// kept is what was found in the bucket of one trail.
type kept struct {
	records, own, missing, files, digests int64
	names                                 map[string]int64 // of events of our own
	lost                                  int64            // as EventsLost records say
	halved                                []string
}

// promise checks the promise for every trail: each acknowledged event that it
// selects is in one log file, or is among those that it counts as expired.
func (f *fleet) promise(s *receiverstatus.Status) []kept {
	f.t.Helper()
	var all []kept
	var expired int64
	for i := range f.in.Trails {
		k := f.read(i)
		status := s.Trails[slices.IndexFunc(s.Trails, func(t receiverstatus.Trail) bool { return t.UID == f.in.Trails[i].UID })]
		f.account(i, &k, status.Counts)
		f.validate(i, &k, status)
		expired += status.Counts.Expired
		all = append(all, k)
	}
	for i, k := range all {
		// A trail of the cluster has the losses of all tenants.
		if f.trails[i].namespace == "" && k.lost != expired {
			f.t.Errorf("%s has records of %d lost events, and %d have expired", f.trails[i].name, k.lost, expired)
		}
	}
	if s.Intake.Quarantined != 0 || s.Spool.Damaged != 0 {
		f.t.Errorf("%d items of valid input are in quarantine, %d chunks are damaged", s.Intake.Quarantined, s.Spool.Damaged)
	}
	return all
}

// account compares what the bucket has with the model and with the numbers of the receiver.
func (f *fleet) account(i int, k *kept, c receiverstatus.Counts) {
	f.t.Helper()
	name := f.trails[i].name
	own := c.Accepted - f.events.visible[i] // those that it was given
	if own < k.own {
		f.t.Errorf("%s: %d events of our own are delivered, and it was given %d", name, k.own, own)
	}
	if k.missing+own-k.own != c.Expired {
		f.t.Errorf("%s: %d events and %d of our own are missing, and %d have expired", name, k.missing, own-k.own, c.Expired)
	}
	if k.records+k.own != c.Delivered || c.Pending != 0 || c.Quarantined != 0 {
		f.t.Errorf("%s: %d records are in the bucket, and the receiver counts %+v", name, k.records+k.own, c)
	}
}

// read reads a bucket back, past the front.
func (f *fleet) read(i int) kept {
	f.t.Helper()
	k := kept{names: map[string]int64{}}
	bucket, name := f.buckets[i], f.trails[i].name
	for _, p := range f.front.Halved() {
		if of, key, _ := strings.Cut(strings.TrimPrefix(p, "/"), "/"); of == f.in.Trails[i].Destination.Bucket {
			k.halved = append(k.halved, key)
		}
	}
	seen, listed, files := map[string]bool{}, map[string]int{}, []string(nil)
	for info, err := range bucket.List(f.ctx, "", "") {
		if err != nil {
			f.t.Fatal(err)
		}
		if slices.Contains(k.halved, info.Key) {
			continue // which is named in a record, and nobody lists
		}
		_, isDigest := record.ParseDigestKey(info.Key)
		switch {
		case isDigest:
			var d record.Digest
			f.decode(bucket, info.Key, &d)
			k.digests++
			for _, file := range d.LogFiles {
				listed[file.S3Object]++
			}
		case record.IsLogFileKey(info.Key):
			files = append(files, info.Key)
			var l soakFile
			f.decode(bucket, info.Key, &l)
			k.files++
			f.match(i, &k, seen, path.Base(info.Key), l)
		default:
			f.t.Errorf("%s: %s is neither a log file nor a digest", name, info.Key)
		}
	}
	for _, key := range files {
		if listed[key] != 1 {
			f.t.Errorf("%s: %s is listed in %d digests", name, key, listed[key])
		}
		delete(listed, key)
	}
	for key := range listed {
		f.t.Errorf("%s: %s is listed and not there", name, key)
	}
	for id, bits := range f.events.acked {
		if bits&(1<<i) != 0 && !seen[id] {
			k.missing++
		}
	}
	return k
}

type soakFile struct {
	Records []struct {
		EventName, EventSource, EventID, RequestID string
		ServiceEventDetails                        struct {
			Records int64
		}
	}
}

// match ticks the records of one log file off.
func (f *fleet) match(i int, k *kept, seen map[string]bool, file string, l soakFile) {
	f.t.Helper()
	for _, r := range l.Records {
		if r.EventSource == record.OwnEventSource {
			if seen[r.EventID] {
				f.t.Errorf("%s: %s holds %s a second time", f.trails[i].name, file, r.EventName)
			}
			seen[r.EventID] = true
			k.own++
			k.names[r.EventName]++
			if r.EventName == record.EventEventsLost {
				k.lost += r.ServiceEventDetails.Records
			}
			continue
		}
		k.records++
		bits, known := f.events.acked[r.RequestID]
		switch {
		case !known:
			f.t.Errorf("%s: %s holds %s, which nobody sent", f.trails[i].name, file, r.RequestID)
		case bits&(1<<i) == 0:
			f.t.Errorf("%s: %s holds %s, which the trail does not select", f.trails[i].name, file, r.RequestID)
		case seen[r.RequestID]:
			f.t.Errorf("%s: %s holds %s a second time", f.trails[i].name, file, r.RequestID)
		}
		seen[r.RequestID] = true
	}
}

func (f *fleet) decode(bucket objectstore.Store, key string, into any) {
	f.t.Helper()
	body, _, err := bucket.Get(f.ctx, key)
	if err != nil {
		f.t.Fatal(err)
	}
	defer body.Close()
	zip, err := gzip.NewReader(body)
	if err == nil {
		err = json.NewDecoder(zip).Decode(into)
	}
	if err != nil {
		f.t.Errorf("%s: %v", key, err)
	}
}

// validate runs the verifier that users run. All it may find are the objects of
// which the front stored half.
func (f *fleet) validate(i int, k *kept, status receiverstatus.Trail) {
	f.t.Helper()
	t := &f.in.Trails[i]
	first, err := signing.Open(f.keys[0])
	if err != nil {
		f.t.Fatal(err)
	}
	o := verify.Options{
		Reader: f.buckets[i], Bucket: t.Destination.Bucket, Trail: t.Name, Keys: f.keys, Trust: first.Trust(),
		Layout: record.Layout{Prefix: t.Destination.Prefix, Account: testenv.Account, Region: testenv.Region},
	}
	if status.Head != nil {
		o.Heads = []record.Head{*status.Head}
	}
	result, err := verify.Run(f.ctx, o)
	if err != nil {
		f.t.Fatal(err)
	}
	for _, finding := range result.Findings {
		if !slices.Contains(k.halved, finding.Key) {
			f.t.Errorf("%s: the verifier finds %+v", t.Name, finding)
		}
	}
	if !result.Valid && len(k.halved) == 0 || !result.HeadChecked || result.LogFiles.Valid != int(k.files) {
		f.t.Errorf("%s is not valid: %s", t.Name, record.MustJSON(result))
	}
	for _, g := range result.Gaps {
		if !g.Closed {
			f.t.Errorf("%s: a chain was cut at %s", t.Name, g.From)
		}
	}
}
