package pipeline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/trail-operator/trail-operator/internal/receiverconfig"
	"github.com/trail-operator/trail-operator/internal/record"
	"github.com/trail-operator/trail-operator/internal/spool"
	"github.com/trail-operator/trail-operator/internal/spool/pebble"
)

// cluster adds a trail of the whole cluster, with the bucket "cluster".
func (b *bench) cluster() *receiverconfig.Trail {
	t := b.trail("cluster")
	t.Namespace, t.Name = "", "cluster"
	t.ARN = record.TrailARN("lab-1", "123456789012", "cluster")
	return t
}

// ownRecords returns the event names and the text of the records of our own in
// a bucket.
func (b *bench) ownRecords(bucket string) (names []string, text string) {
	b.t.Helper()
	for key, o := range b.bucket(bucket).Objects() {
		if !record.IsLogFileKey(key) {
			continue
		}
		var f struct{ Records []json.RawMessage }
		gunzip(b.t, o.Body, &f)
		for _, raw := range f.Records {
			var r record.Record
			if err := json.Unmarshal(raw, &r); err != nil {
				b.t.Fatal(err)
			}
			if r.EventSource == record.OwnEventSource {
				names = append(names, r.EventName)
				text += string(raw)
			}
		}
	}
	slices.Sort(names)
	return names, text
}

// TestClusterTrailDeliversIndependently: the same event reaches the trail of its
// namespace and that of the cluster, and neither waits for the other's bucket.
func TestClusterTrailDeliversIndependently(t *testing.T) {
	for _, dead := range []string{"red", "cluster"} {
		t.Run(dead+" is away", func(t *testing.T) {
			b := newBench(t)
			b.trail("red")
			b.cluster()
			b.apply()
			b.reachable(dead, false)
			b.post("red", 2)
			b.post("blue", 1) // has no trail
			b.post("", 1)     // cluster-scoped
			want := map[string][]string{"red": {"e-1", "e-2"}, "cluster": {"e-1", "e-2", "e-3", "e-4"}}
			alive := map[string]string{"red": "cluster", "cluster": "red"}[dead]
			b.until("delivery by the other", func() bool { return b.status(alive).Counts.Delivered == int64(len(want[alive])) })
			if n := b.status(dead).Counts.Delivered; n != 0 {
				t.Errorf("%d events were delivered to a bucket that is away", n)
			}
			b.reachable(dead, true)
			b.until("delivery by both", func() bool { return b.status(dead).Counts.Delivered == int64(len(want[dead])) })
			for bucket, ids := range want {
				b.checkExactlyOnce(bucket, ids)
			}
		})
	}
}

// TestOwnEventsReachWhomTheyConcern: what concerns a tenant's trail reaches it
// and those of the cluster, what concerns one of the cluster's no tenant, and
// what concerns everybody everybody.
func TestOwnEventsReachWhomTheyConcern(t *testing.T) {
	b := newBench(t)
	b.trail("red")
	b.trail("blue")
	b.cluster()
	b.apply()
	at := b.clock.Now()
	err := b.p.Record(t.Context(),
		record.OwnEvent{
			ID: "1", Name: record.EventCreateTrail, Time: at, Trails: []string{"uid-red"},
			TrailARN: b.trails[0].ARN, Details: record.MustJSON(map[string]string{"namespace": "red"}),
		},
		record.OwnEvent{ID: "2", Name: record.EventUpdateTrail, Time: at, Trails: []string{"uid-cluster"}, TrailARN: b.trails[2].ARN},
		record.OwnEvent{ID: "3", Name: record.EventEventQuarantined, Time: at},
		record.OwnEvent{ID: "4", Name: record.EventEventsLost, Time: at, Trails: []string{"uid-gone"}, TrailARN: "arn:k8s:cloudtrail:lab-1:123456789012:trail/green.gone"},
	)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string][]string{
		"red":     {"CreateTrail", "EventQuarantined"},
		"blue":    {"EventQuarantined"},
		"cluster": {"CreateTrail", "EventQuarantined", "EventsLost", "UpdateTrail"},
	}
	for bucket, names := range want {
		b.until("delivery to "+bucket, func() bool { return b.status(bucket).Counts.Delivered == int64(len(names)) })
		got, text := b.ownRecords(bucket)
		if diff := cmp.Diff(names, got); diff != "" {
			t.Errorf("%s: %s", bucket, diff)
		}
		for _, other := range []string{"red", "blue", "green", "trail/cluster"} {
			if bucket != "cluster" && other != bucket && strings.Contains(text, other) {
				t.Errorf("%s reads of %s: %s", bucket, other, text)
			}
		}
	}
}

// TestLossOfTenantIsToldToCluster: what expires because a tenant's bucket is
// away stands in the trail of the cluster too, and in no other tenant's.
func TestLossOfTenantIsToldToCluster(t *testing.T) {
	b := newBench(t)
	b.trail("red")
	b.trail("blue")
	b.cluster()
	b.p.TrailQuota = 1
	b.apply()
	b.reachable("red", false)
	b.post("red", 2)
	b.post("blue", 1)
	b.until("the record of the cluster", func() bool {
		names, _ := b.ownRecords("cluster")
		return slices.Contains(names, record.EventEventsLost)
	})
	// With such a quota blue may lose files of its own.
	if _, text := b.ownRecords("blue"); strings.Contains(text, "red") {
		t.Errorf("blue reads %s", text)
	}
}

// TestDeadBucketOfClusterHoldsIntake: files of a trail of the cluster never
// expire. When they have filled the volume up to the reserve, the spool takes
// no more; when their bucket is back it does, and nothing is lost to anybody.
func TestDeadBucketOfClusterHoldsIntake(t *testing.T) {
	const capacity, reserve = 40_000, 10_000
	for name, healthy := range map[string]bool{"the tenant's bucket answers": true, "the tenant's bucket is away for a moment": false} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			free := func() (int64, error) { return capacity - b.used(), nil }
			b.stop()
			b.disk = func(o *pebble.Options) { o.ReserveBytes, o.FreeBytes = reserve, free }
			b.space = func(o *Options) {
				o.ReserveBytes, o.FreeBytes, o.VolumeBytes, o.TrailQuota = reserve, free, capacity, 15_000
			}
			b.start()
			b.trail("red").MaxFileAgeSeconds = 10
			b.cluster().MaxFileAgeSeconds = 10
			b.apply()
			b.reachable("cluster", false)
			var want []string
			accepted := 0
			for {
				c := b.chunk("red", 60)
				_, err := b.spool.Append(context.Background(), []spool.Chunk{c})
				if errors.Is(err, spool.ErrFull) {
					b.events -= 60 // they come again
					break
				}
				if err != nil {
					t.Fatal(err)
				}
				for i := range 60 {
					want = append(want, fmt.Sprintf("e-%d", accepted+i+1))
				}
				accepted += 60
				if accepted > 20_000 {
					t.Fatalf("intake takes events without end; the outbox holds %d bytes", b.used())
				}
				b.until("the events in files", func() bool {
					return b.status("cluster").Counts.Accepted >= int64(accepted) && b.status("red").Counts.Delivered >= int64(accepted)
				})
			}
			if !healthy {
				b.reachable("red", false)
			}
			if files := b.status("cluster").PendingFiles; files < 2 {
				t.Errorf("the volume is full with %d files", files)
			}
			b.reachable("cluster", true)
			b.reachable("red", true)
			b.until("intake", func() bool {
				_, err := b.spool.Append(context.Background(), []spool.Chunk{b.chunk("red", 1)})
				if err != nil {
					b.events--
					return false
				}
				accepted++
				want = append(want, fmt.Sprintf("e-%d", b.events))
				return true
			})
			for _, bucket := range []string{"red", "cluster"} {
				b.until("delivery to "+bucket, func() bool { return b.status(bucket).Counts.Delivered == int64(accepted) })
				if n := b.status(bucket).Counts.Expired; n != 0 {
					t.Errorf("%s lost %d events", bucket, n)
				}
				b.checkExactlyOnce(bucket, want)
			}
		})
	}
}

// TestDeadBucketOfTenantNeverHoldsIntake: whatever a tenant's bucket does, it
// costs that tenant alone.
func TestDeadBucketOfTenantNeverHoldsIntake(t *testing.T) {
	const capacity, reserve = 40_000, 10_000
	b := newBench(t)
	free := func() (int64, error) { return capacity - b.used(), nil }
	b.stop()
	b.disk = func(o *pebble.Options) { o.ReserveBytes, o.FreeBytes = reserve, free }
	b.space = func(o *Options) {
		o.ReserveBytes, o.FreeBytes, o.VolumeBytes, o.TrailQuota = reserve, free, capacity, math.MaxInt64
	}
	b.start()
	b.trail("red").MaxFileAgeSeconds = 10
	b.trail("blue").MaxFileAgeSeconds = 10
	b.cluster().MaxFileAgeSeconds = 10
	b.apply()
	b.reachable("red", false)
	posted := int64(0)
	for range 40 {
		b.post("red", 60) // fails the test where the spool refuses
		b.post("blue", 1)
		posted++
		b.until("delivery to the others", func() bool {
			return b.status("blue").Counts.Delivered >= posted && b.status("cluster").Counts.Delivered >= 61*posted
		})
	}
	if b.status("red").Counts.Expired == 0 {
		t.Error("nothing of red expired: the volume was not full")
	}
	for _, other := range []string{"blue", "cluster"} {
		if n := b.status(other).Counts.Expired; n != 0 {
			t.Errorf("%s lost %d events", other, n)
		}
	}
}
