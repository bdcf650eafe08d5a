package durability

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/trail-operator/trail-operator/api/v1alpha1"
	"github.com/trail-operator/trail-operator/internal/receiverstatus"
	"github.com/trail-operator/trail-operator/test/testenv"
)

// dead chooses faults for the buckets that are away: those of the trails whose
// bits are set.
func dead(away *atomic.Int32) func(*http.Request) testenv.S3Fault {
	return func(r *http.Request) testenv.S3Fault {
		bucket, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
		if away.Load()&(1<<(bucket[len(bucket)-1]-'0')) != 0 {
			return testenv.S3Error
		}
		return ""
	}
}

// trailOf is the status of one trail of a fleet.
func (f *fleet) trailOf(s *receiverstatus.Status, i int) receiverstatus.Trail {
	for _, t := range s.Trails {
		if t.UID == f.in.Trails[i].UID {
			return t
		}
	}
	return receiverstatus.Trail{}
}

// TestDeadBucketOfTenant lets the bucket of a tenant be away until its quota is
// reached: its own oldest files expire, counted and recorded, and all the others
// deliver what is theirs meanwhile.
func TestDeadBucketOfTenant(t *testing.T) {
	t.Parallel()
	const tenant, quota = 2, 96 << 10
	var away atomic.Int32
	f := newFleet(t, "", []string{"--trail-quota-bytes", strconv.Itoa(quota)}, mixedTrails, dead(&away))
	defer f.stop()
	f.apply()
	away.Store(1 << tenant)
	expired := func() bool {
		s, err := f.status()
		return t.Failed() || f.ctx.Err() != nil || err == nil && f.trailOf(s, tenant).Counts.Expired > 0
	}
	f.send(pace{senders: 2, events: 12, body: 20 << 10, pause: 10 * time.Millisecond}, expired)()
	s := f.untilAll("the others to deliver", patience, func(s *receiverstatus.Status) bool {
		for i := range f.in.Trails {
			if trail := f.trailOf(s, i); i != tenant && (trail.PendingFiles > 0 || trail.DeliveryError != nil) {
				return false
			}
		}
		return true
	})
	if trail := f.trailOf(s, tenant); trail.DeliveryError == nil && trail.DigestError == nil || trail.Counts.Delivered != 0 {
		t.Errorf("the bucket that is away has %+v", trail)
	}
	if trail := f.trailOf(s, 0); trail.Counts.Delivered == 0 || trail.Counts.Expired != 0 {
		t.Errorf("a trail of the cluster counts %+v", trail.Counts)
	}
	away.Store(0)
	s = f.settle(2 * patience)
	for i, k := range f.promise(s) {
		lost := f.trailOf(s, i).Counts.Expired
		if (lost > 0) != (i == tenant) {
			t.Errorf("%s has lost %d events", f.trails[i].name, lost)
		}
		t.Logf("%s: %d records, %d expired, own %v", f.trails[i].name, k.records, lost, k.names)
	}
}

// TestReserveReached lets the bucket of a trail of the cluster be away until its
// files have taken all of the volume but the reserve: events are refused with
// 503, none is lost, a tenant's trail goes on, and so does everything when the
// bucket is back.
func TestReserveReached(t *testing.T) {
	t.Parallel()
	disk := smallDisk(t)
	if disk == "" {
		t.Skip("this takes a small file system")
	}
	var away atomic.Int32
	trails := []fleetTrail{{"all", "", v1alpha1.ReadWriteAll}, {"team-00.all", "team-00", v1alpha1.ReadWriteAll}}
	f := newFleet(t, filepath.Join(disk, "data"), []string{"--reserve-bytes", strconv.Itoa(reserve)}, trails, dead(&away))
	defer f.stop()
	f.waits = 4 * patience
	f.apply()
	f.sendRandom(8, 60) // Pebble takes what it never gives back
	f.untilAll("delivery", patience, func(s *receiverstatus.Status) bool { return f.trailOf(s, 0).Counts.Delivered > 0 })
	away.Store(1)
	leave(t, disk, reserve+24<<20)
	var enough atomic.Bool
	done := make(chan struct{})
	go func() {
		defer close(done)
		for !enough.Load() && !t.Failed() && f.ctx.Err() == nil {
			f.sendRandom(1, 3) // again and again until it is taken; small, so that little room is left
		}
	}()
	defer func() { <-done }()
	defer enough.Store(true)
	// What the spool still had to hand over makes room at first.
	for refused, deadline := 0, time.Now().Add(f.waits); refused < 8; time.Sleep(250 * time.Millisecond) {
		switch status, _, err := f.post(f.probe()); {
		case err != nil || time.Now().After(deadline):
			t.Fatalf("the volume never got full for good: %v\n%s", err, f.log())
		case status == http.StatusServiceUnavailable:
			refused++
		default:
			refused = 0
		}
	}
	enough.Store(true)
	f.wantFull()
	s := f.untilAll("the tenant's trail to deliver", patience, func(s *receiverstatus.Status) bool { return f.trailOf(s, 1).PendingFiles == 0 })
	if c := f.trailOf(s, 0).Counts; c.Expired != 0 || f.trailOf(s, 0).PendingFiles == 0 {
		t.Errorf("the trail of the cluster counts %+v", c)
	}
	away.Store(0)
	<-done // what was refused is taken now
	f.untilAll("events to be taken", patience, func(s *receiverstatus.Status) bool { return !s.Spool.Full })
	s = f.settle(2 * patience)
	f.promise(s)
	for _, trail := range s.Trails {
		if trail.Counts.Expired != 0 {
			t.Errorf("%s has lost %d events", trail.UID, trail.Counts.Expired)
		}
	}
	t.Logf("%d events", f.events.size())
}

const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

// sendRandom sends bodies of events that do not compress, until they are acknowledged.
func (f *fleet) sendRandom(bodies, events int) {
	f.t.Helper()
	const size = 24 << 10
	seed := seeds.Add(1)
	r := rand.New(rand.NewPCG(seed, 7))
	g := testenv.NewEvents(seed)
	g.Body, g.Namespace = 200, "team-00"
	for range bodies {
		body := g.List(nil, events)
		body = bytes.ReplaceAll(body, []byte(`"auditID":"ev-`), fmt.Appendf(nil, `"auditID":"s%d-ev-`, seed))
		parts := bytes.Split(body, []byte(`"LAST"`))
		var random []byte
		for i, part := range parts {
			if i > 0 {
				random = append(random, '"')
				for range size {
					random = append(random, alphabet[r.IntN(len(alphabet))])
				}
				random = append(random, '"')
			}
			random = append(random, part...)
		}
		if err := f.sendAcknowledged(random); err != nil {
			f.t.Error(err)
			return
		}
		if err := f.events.add(random); err != nil {
			f.t.Error(err)
			return
		}
	}
}
