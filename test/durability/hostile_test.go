package durability

import (
	"crypto/tls"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/trail-operator/trail-operator/api/v1alpha1"
	"github.com/trail-operator/trail-operator/internal/pki"
	"github.com/trail-operator/trail-operator/internal/receiverconfig"
	"github.com/trail-operator/trail-operator/internal/receiverstatus"
	"github.com/trail-operator/trail-operator/test/testenv"
)

// storeFaults are all that a front can do.
var storeFaults = []testenv.S3Fault{
	testenv.S3Error, testenv.S3SlowDown, testenv.S3SlowDownAfter, testenv.S3TooMany, testenv.S3LostRace, testenv.S3Precondition,
	testenv.S3Denied, testenv.S3Silent, testenv.S3SlowRead, testenv.S3SlowWrite, testenv.S3CutBody, testenv.S3LostAnswer,
	testenv.S3CutAnswer, testenv.S3NoETag, testenv.S3WrongETag, testenv.S3WrongChecksum, testenv.S3Truncated, testenv.S3Dropped,
	testenv.S3Moved, testenv.S3MovedTemporary, testenv.S3Page, testenv.S3GarbageXML, testenv.S3HugeError, testenv.S3HugeHeader,
	testenv.S3SkewedClock,
}

// script is what a front does to the requests of one bucket, in order: to every
// other log file, and to digests.
type script struct {
	files, digests []testenv.S3Fault
	// looks are for the requests that read: they come after some of those that write.
	looks []testenv.S3Fault
	// puts and gets count requests: most are spared, so that something gets on.
	puts, gets int
}

func (s *script) next(r *http.Request) (fault testenv.S3Fault) {
	list := &s.looks
	switch {
	case r.Method == http.MethodPut && strings.Contains(r.URL.Path, "/CloudTrail-Digest/"):
		list = &s.digests
	case r.Method == http.MethodPut:
		if s.puts++; s.puts%2 == 1 {
			return ""
		}
		list = &s.files
	default:
		if s.gets++; s.gets%5 != 4 {
			return ""
		}
	}
	if len(*list) > 0 {
		fault, *list = (*list)[0], (*list)[1:]
	}
	return fault
}

// TestHostileStore has a store, and the network before it, do everything to the
// requests of five trails that they may do, once at least.
func TestHostileStore(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 4))
	var trails []fleetTrail
	var scripts []*script
	for i := range 5 {
		trails = append(trails, fleetTrail{fmt.Sprintf("all-%d", i), "", v1alpha1.ReadWriteAll})
		scripts = append(scripts, &script{})
	}
	deal := func(faults []testenv.S3Fault, to func(*script) *[]testenv.S3Fault) {
		faults = slices.Clone(faults)
		r.Shuffle(len(faults), func(i, j int) { faults[i], faults[j] = faults[j], faults[i] })
		for i, fault := range faults {
			list := to(scripts[i%len(scripts)])
			*list = append(*list, fault)
		}
	}
	// In the long run, each trail meets every fault.
	for range 1 + int(soak()/time.Minute) {
		deal(storeFaults, func(s *script) *[]testenv.S3Fault { return &s.files })
		deal([]testenv.S3Fault{
			testenv.S3Error, testenv.S3SlowDown, testenv.S3Denied, testenv.S3Silent, testenv.S3SlowWrite, testenv.S3CutAnswer,
			testenv.S3Moved, testenv.S3Page, testenv.S3HugeHeader, testenv.S3SkewedClock,
		}, func(s *script) *[]testenv.S3Fault { return &s.looks })
	}
	deal([]testenv.S3Fault{
		testenv.S3Truncated, testenv.S3Dropped, testenv.S3LostAnswer, testenv.S3Precondition, testenv.S3WrongChecksum,
		testenv.S3NoETag, testenv.S3CutAnswer, testenv.S3Moved, testenv.S3LostRace, testenv.S3Page,
	}, func(s *script) *[]testenv.S3Fault { return &s.digests })
	var mu sync.Mutex
	var f *fleet
	choose := func(r *http.Request) testenv.S3Fault {
		mu.Lock()
		defer mu.Unlock()
		bucket, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
		i := int(bucket[len(bucket)-1] - '0')
		return scripts[i].next(r)
	}
	f = newFleet(t, "", nil, trails, choose)
	defer f.stop()
	f.apply()
	over := func() bool {
		mu.Lock()
		defer mu.Unlock()
		return t.Failed() || !slices.ContainsFunc(scripts, func(s *script) bool { return len(s.files) > 0 })
	}
	f.send(pace{senders: 2, events: 8, body: eventBody, pause: 20 * time.Millisecond}, over)()
	f.promise(f.settle(2 * patience))
	done := f.front.Done()
	for _, fault := range storeFaults {
		if done[fault] == 0 {
			t.Errorf("%s was not met", fault)
		}
	}
	t.Logf("%d events; faults: %v", f.events.size(), done)
}

// TestStoreTroubleIsTold holds a store in trouble until the status says what it
// is, and lets everything go on.
func TestStoreTroubleIsTold(t *testing.T) {
	t.Parallel()
	var now atomic.Value // testenv.S3Fault
	now.Store(testenv.S3Fault(""))
	f := newFleet(t, "", nil, []fleetTrail{{"all", "", v1alpha1.ReadWriteAll}}, func(*http.Request) testenv.S3Fault {
		return now.Load().(testenv.S3Fault)
	})
	defer f.stop()
	f.apply()
	p := pace{senders: 1, events: 50, body: eventBody, pause: time.Millisecond}
	for _, tc := range []struct {
		fault  testenv.S3Fault
		reason string
	}{
		{testenv.S3Denied, receiverstatus.ReasonAccessDenied},
		{testenv.S3SlowDownAfter, receiverstatus.ReasonThrottled},
		{testenv.S3Silent, receiverstatus.ReasonUnreachable},
		{testenv.S3Moved, receiverstatus.ReasonOther},
		{testenv.S3SkewedClock, receiverstatus.ReasonClockSkew},
		{testenv.S3Truncated, receiverstatus.ReasonOther},
	} {
		now.Store(tc.fault)
		sent := f.events.size()
		f.send(p, func() bool { return f.events.size() > sent })()
		s := f.untilAll(string(tc.fault), patience, func(s *receiverstatus.Status) bool {
			return len(s.Trails) > 0 && s.Trails[0].DeliveryError != nil && s.Trails[0].DeliveryError.Reason == tc.reason
		})
		if skew := s.Trails[0].ClockSkewSeconds; (skew != 0) != (tc.fault == testenv.S3SkewedClock) {
			t.Errorf("with %s the clock is said to be %d s off", tc.fault, skew)
		}
		now.Store(testenv.S3Fault(""))
		f.untilAll("delivery after "+string(tc.fault), patience, func(s *receiverstatus.Status) bool {
			return len(s.Trails) > 0 && s.Trails[0].DeliveryError == nil && s.Trails[0].ClockSkewSeconds == 0 && s.Trails[0].PendingFiles == 0
		})
	}
	kept := f.promise(f.settle(patience))
	// A server that keeps half of everything gets a new key now and then, not at once for ever.
	if n := len(kept[0].halved); n == 0 || n > 8 {
		t.Errorf("%d objects were halved", n)
	}
}

// TestCertificateChange changes the certificate of a store to one that the trail
// does not trust, and then what the trail trusts.
func TestCertificateChange(t *testing.T) {
	t.Parallel()
	issue := func() (ca pki.KeyPair, cert tls.Certificate) {
		ca, err := pki.NewCA("store", time.Now())
		if err != nil {
			t.Fatal(err)
		}
		pair, err := ca.IssueServer(time.Now(), "127.0.0.1")
		if err != nil {
			t.Fatal(err)
		}
		if cert, err = tls.X509KeyPair(pair.Cert, pair.Key); err != nil {
			t.Fatal(err)
		}
		return ca, cert
	}
	oldCA, oldCert := issue()
	newCA, newCert := issue()
	front := testenv.NewS3Front(s3, &oldCert, func(*http.Request) testenv.S3Fault { return "" })
	defer front.Close()
	w := newWorldWith(t, "", nil, func(w *world) {
		w.trail().Destination.Endpoint, w.trail().Destination.CA = front.Endpoint, oldCA.Cert
	})
	defer w.stop()
	w.inForce()
	delivers := func(than int64) int64 {
		return w.until("delivery", func(s receiverstatus.Trail) bool {
			return s.Counts.Delivered > than && s.DeliveryError == nil
		}).Counts.Delivered
	}
	w.sendSome()
	before := delivers(0)
	front.SetCertificate(&newCert)
	w.sendSome()
	w.until("the certificate to be refused", func(s receiverstatus.Trail) bool {
		return s.DeliveryError != nil && s.DeliveryError.Reason == receiverstatus.ReasonCertificate
	})
	w.configure(func(t *receiverconfig.Trail) {
		t.Destination.CA = slices.Concat(oldCA.Cert, newCA.Cert)
	})
	delivers(before)
	w.promise()
}
