package durability

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/trail-operator/trail-operator/api/v1alpha1"
	"github.com/trail-operator/trail-operator/internal/receiverconfig"
	"github.com/trail-operator/trail-operator/internal/receiverstatus"
	"github.com/trail-operator/trail-operator/internal/record"
	"github.com/trail-operator/trail-operator/internal/signing"
	"github.com/trail-operator/trail-operator/test/testenv"
)

// changes is a history of configurations of one trail, and of events that were
// sent while it was made.
type changes struct {
	*fleet
	mu      sync.Mutex
	bodies  []sentBody
	history []receiverconfig.Trail
	inForce atomic.Int32 // the number of the last one that certainly is
	written atomic.Int32 // of the last one that may be
}

// sentBody is a body whose events have one position: one of the configurations
// from first to last was in force there.
type sentBody struct {
	first, last int32
	events      []sentEvent
}

type sentEvent struct {
	id   string
	read bool
}

// selected tells whether a trail with this configuration records an event.
func selected(t *receiverconfig.Trail, read bool) bool {
	if t.Suspended || t.Deleting {
		return false
	}
	switch t.Selection.Basic[0].ReadWriteType {
	case v1alpha1.ReadOnly:
		return read
	case v1alpha1.WriteOnly:
		return !read
	default:
		return true
	}
}

// TestRestartDuringChanges changes what a trail selects, suspends and resumes
// it, rotates the key and deletes it in the end, all under load, and ends the
// receiver at any moment of it: also while it signs a digest. Each event is
// recorded as the configuration says that was in force at its position.
func TestRestartDuringChanges(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 8))
	c := &changes{}
	c.fleet = newFleet(t, "", nil, []fleetTrail{{"all", "", v1alpha1.ReadWriteAll}}, func(*http.Request) testenv.S3Fault { return "" })
	defer c.stop()
	c.apply()
	c.history = append(c.history, *c.trail())
	var over atomic.Bool
	var senders sync.WaitGroup
	for range 3 {
		seed := seeds.Add(1)
		senders.Go(func() {
			for n := 0; !over.Load() && !t.Failed(); n++ {
				if err := c.send(seed, n); err != nil {
					t.Error(err)
				}
			}
		})
	}
	points := []string{"digest/before-write", "digest/before-commit", "digest/after-commit", "digest/after-confirm", "state/before-commit:2", "state/after-commit:2"}
	steps := 10
	if soak() > 0 {
		steps = int(soak() / time.Second)
	}
	for n := range steps {
		c.turn(r, n, points[n%len(points)])
	}
	c.pass()
	over.Store(true)
	senders.Wait()
	c.world.mu.Lock()
	c.kills = nil
	c.world.mu.Unlock()
	c.trail().Deleting = true
	c.trail().Generation++
	if err := c.in.Write(); err != nil {
		t.Fatal(err)
	}
	c.world.kill()
	s := c.untilAll("the trail that is deleted to be flushed", patience, func(s *receiverstatus.Status) bool {
		return len(s.Trails) == 1 && s.Trails[0].Generation == c.trail().Generation && s.Trails[0].Flushed
	})
	c.check(s.Trails[0])
	deleted := c.in.Trails
	c.in.Trails = nil
	c.apply()
	c.world.kill()
	c.untilAll("nothing to be left", patience, func(s *receiverstatus.Status) bool {
		return s.Generation == c.in.Config.Generation && len(s.Trails) == 0
	})
	c.in.Trails = deleted
	t.Logf("%d configurations, %d kills", len(c.history), c.deaths())
}

func (c *changes) pass() { time.Sleep(time.Duration(100+rand.IntN(200)) * time.Millisecond) } // lets events go by

// turn makes one change and ends the receiver during it.
func (c *changes) turn(r *rand.Rand, n int, point string) {
	c.t.Helper()
	c.pass()
	t := c.trail()
	switch kinds := []v1alpha1.ReadWriteType{v1alpha1.ReadWriteAll, v1alpha1.ReadOnly, v1alpha1.WriteOnly}; {
	case t.Suspended:
		t.Suspended = false
	case n%3 == 2:
		t.Suspended = true
	case n%5 == 4:
		c.newKey()
	default:
		t.Selection = selection(kinds[(slices.Index(kinds, t.Selection.Basic[0].ReadWriteType)+1+r.IntN(2))%3])
	}
	t.Generation++
	c.mu.Lock()
	c.history = append(c.history, *t)
	c.mu.Unlock()
	c.written.Add(1)
	c.world.mu.Lock()
	c.kills = append(c.kills, point)
	c.world.mu.Unlock()
	if err := c.in.Write(); err != nil {
		c.t.Fatal(err)
	}
	time.Sleep(time.Duration(r.IntN(1200)) * time.Millisecond) // any moment
	if n%4 == 3 {
		c.terminate()
	} else {
		c.world.kill()
	}
	c.untilAll("the change", patience, func(s *receiverstatus.Status) bool {
		return s.Generation == c.in.Config.Generation && len(s.Trails) == 1 && s.Trails[0].Generation == t.Generation
	})
	c.inForce.Add(1)
}

// newKey makes a key that signs once the configuration is written.
func (c *changes) newKey() {
	c.t.Helper()
	before := c.key
	key, err := signing.Generate()
	if err != nil {
		c.t.Fatal(err)
	}
	c.in.Key = key
	c.publish(time.Now(), before)
}

// send sends one body until it is acknowledged, and sometimes once more.
func (c *changes) send(seed uint64, n int) error {
	g := testenv.NewEvents(seed<<32 + uint64(n))
	g.Body = 8 << 10
	body := g.List(nil, 10)
	body = bytes.ReplaceAll(body, []byte(`"auditID":"ev-`), fmt.Appendf(nil, `"auditID":"s%d-%d-ev-`, seed, n))
	var list struct {
		Items []struct{ AuditID, Verb string }
	}
	if err := json.Unmarshal(body, &list); err != nil {
		return err
	}
	first := c.inForce.Load()
	if err := c.sendAcknowledged(body); err != nil {
		return err
	}
	sent := sentBody{first: first, last: c.written.Load()}
	for _, e := range list.Items {
		sent.events = append(sent.events, sentEvent{e.AuditID, e.Verb == "get" || e.Verb == "list"})
	}
	c.mu.Lock()
	c.bodies = append(c.bodies, sent)
	c.mu.Unlock()
	if n%4 == 0 {
		return c.sendAcknowledged(body)
	}
	return nil
}

// check compares the bucket with what the configurations say.
func (c *changes) check(s receiverstatus.Trail) {
	c.t.Helper()
	found := map[string]bool{}
	for info, err := range c.buckets[0].List(c.ctx, "", "") {
		if err != nil {
			c.t.Fatal(err)
		}
		if record.IsLogFileKey(info.Key) {
			var l soakFile
			c.decode(c.buckets[0], info.Key, &l)
			for _, r := range l.Records {
				found[r.RequestID] = true
			}
		}
	}
	open := 0
	for _, b := range c.bodies {
		agrees := false
		for i := b.first; i <= b.last && !agrees; i++ {
			agrees = !slices.ContainsFunc(b.events, func(e sentEvent) bool { return found[e.id] != selected(&c.history[i], e.read) })
		}
		if !agrees {
			c.t.Errorf("a body with %s was sent between configurations %d and %d, and is recorded as none of them says", b.events[0].id, b.first, b.last)
		}
		if b.first < b.last {
			open++
		}
		for _, e := range b.events {
			c.events.acked[e.id] = 0
			if found[e.id] {
				c.events.acked[e.id] = 1
			}
		}
	}
	k := c.read(0)
	if n := s.Counts; n.Delivered != k.records+k.own || n.Accepted != n.Delivered+n.SelectedOut || n.Expired+n.Quarantined+n.Pending != 0 {
		c.t.Errorf("%d records are in the bucket, and the account is %+v", k.records+k.own, n)
	}
	c.validate(0, &k, s)
	c.t.Logf("%d records of %d bodies, of which %d came while a change was made", k.records, len(c.bodies), open)
}
