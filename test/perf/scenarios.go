package main

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	v1alpha1 "github.com/trail-operator/trail-operator/api/v1alpha1"
	"github.com/trail-operator/trail-operator/internal/receiverconfig"
	"github.com/trail-operator/trail-operator/internal/receiverstatus"
	"github.com/trail-operator/trail-operator/internal/record"
	"github.com/trail-operator/trail-operator/test/testenv"
)

// sizes shows that cost grows with the input and no faster: three lengths of a
// run, and three sizes of events.
func (b *bench) sizes(ctx context.Context) error {
	fmt.Printf("\n%-28s %14s %14s %14s\n", "whole job", "µs CPU/event", "ns CPU/byte", "peak RSS MiB")
	for _, row := range []struct {
		posts, body int
	}{{b.posts / 4, 0}, {b.posts / 2, 0}, {b.posts, 0}, {b.posts / 4, 5000}, {b.posts / 8, 20000}} {
		posts, size := b.lists(max(row.posts, 1), row.body)
		r, err := b.whole(ctx, posts)
		if err != nil {
			return err
		}
		fmt.Printf("%7d events of %6d bytes %13.2f %14.2f %14.0f\n", r.events, size, r.micros(), r.micros()*1000/float64(size), float64(r.peak)/(1<<20))
	}
	return nil
}

// manyTrails compares 1, 5 and 20 trails with different selections: the first
// takes everything, some of the whole cluster choose by field, the others are
// tenants'.
func (b *bench) manyTrails(ctx context.Context) error {
	posts, _ := b.lists(b.posts, 0)
	fmt.Printf("\n%-12s %14s %14s %14s\n", "trails", "µs CPU/event", "against one", "peak RSS MiB")
	var one float64
	for _, n := range []int{1, 5, 20} {
		r, err := b.wholeWith(ctx, posts, variety(n)...)
		if err != nil {
			return err
		}
		if n == 1 {
			one = r.micros()
		}
		fmt.Printf("%-12d %14.2f %14.2f %14.0f\n", n, r.micros(), r.micros()/one, float64(r.peak)/(1<<20))
	}
	return nil
}

// variety returns n trails.
func variety(n int) (trails []func(*testenv.S3Server) receiverconfig.Trail) {
	equals := func(f v1alpha1.Field, values ...string) v1alpha1.EventSelection {
		return v1alpha1.EventSelection{Advanced: []v1alpha1.AdvancedEventSelector{{FieldSelectors: []v1alpha1.FieldSelector{
			{Field: v1alpha1.FieldEventCategory, Equals: []string{record.CategoryManagement}}, {Field: f, Equals: values},
		}}}}
	}
	chosen := []v1alpha1.EventSelection{
		equals(v1alpha1.FieldEventName, "DeletePod", "CreatePod"),
		equals(v1alpha1.FieldResourcesType, "K8S::core::Service"),
		{Advanced: []v1alpha1.AdvancedEventSelector{{FieldSelectors: []v1alpha1.FieldSelector{
			{Field: v1alpha1.FieldEventCategory, Equals: []string{record.CategoryManagement}},
			{Field: v1alpha1.FieldUserIdentityARN, EndsWith: []string{"serviceaccounts/nobody"}},
		}}}},
		{Basic: []v1alpha1.BasicEventSelector{{ReadWriteType: v1alpha1.WriteOnly, ExcludeManagementEventSources: []string{"core.k8s.io"}}}},
	}
	for i := range n {
		trails = append(trails, func(s3 *testenv.S3Server) receiverconfig.Trail {
			t := oneTrail(s3)
			t.UID = fmt.Sprintf("00000000-0000-4000-8000-%012d", i)
			t.Destination.Prefix = fmt.Sprintf("perf-%d", i)
			switch {
			case i == 0:
			case i%5 == 0:
				t.Selection = chosen[i/5%len(chosen)]
			default:
				t.Namespace = fmt.Sprintf("team-%02d", i)
			}
			t.Name = fmt.Sprintf("perf-%d", i)
			if t.Namespace != "" {
				t.Name = t.Namespace + ".perf"
			}
			t.ARN = record.TrailARN(testenv.Region, testenv.Account, t.Name)
			return t
		})
	}
	return trails
}

// rates keeps a rate of events, none at first, and shows what that takes and how
// long a POST waits for its answer, which says that its events are durable.
func (b *bench) rates(ctx context.Context) error {
	fmt.Printf("\n%-14s %8s %14s %36s %22s\n", "", "CPU %", "peak RSS MiB", "POST to durable, ms: p50, p99, most", "last POST to bucket, s")
	for _, rate := range []int{0, 1000, 5000} {
		if err := b.rate(ctx, rate); err != nil {
			return err
		}
	}
	return nil
}

// rate posts batches as kube-apiserver does, which takes at most 400 events.
func (b *bench) rate(ctx context.Context, rate int) error {
	s, err := b.startReceiver(ctx, oneTrail)
	if err != nil {
		return err
	}
	defer s.stop()
	const batch = 100
	g := testenv.NewEvents(11)
	var posts [][]byte
	for range rate * b.seconds / batch {
		posts = append(posts, g.List(nil, batch))
	}
	if rate > 0 { // an API server keeps its connection
		if err := post(ctx, s.client, s.url, bytes.NewReader(g.List(nil, batch))); err != nil {
			return err
		}
	}
	start, before := time.Now(), cpuOf(s.receiver.PID())
	var mu sync.Mutex
	var took []time.Duration
	group, gctx := errgroup.WithContext(ctx)
	for i, p := range posts {
		time.Sleep(time.Until(start.Add(time.Duration(i) * batch * time.Second / time.Duration(rate))))
		group.Go(func() error {
			begin := time.Now()
			if err := post(gctx, s.client, s.url, bytes.NewReader(p)); err != nil {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			took = append(took, time.Since(begin))
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	time.Sleep(time.Until(start.Add(time.Duration(b.seconds) * time.Second)))
	percent := 100 * (cpuOf(s.receiver.PID()) - before).Seconds() / time.Since(start).Seconds()
	peak := float64(peakOf(s.receiver.PID())) / (1 << 20)
	if rate == 0 {
		fmt.Printf("%-14s %8.2f %14.0f\n", "idle", percent, peak)
		return nil
	}
	last := time.Now()
	if err := s.wait(ctx, "the last event in the bucket", func(st *receiverstatus.Status) bool {
		return st.Trails[0].Counts.Delivered == int64((len(posts)+1)*batch)
	}); err != nil {
		return err
	}
	slices.Sort(took)
	ms := func(i int) float64 { return took[i].Seconds() * 1000 }
	fmt.Printf("%6d event/s %8.1f %14.0f %15.1f %9.1f %10.1f %22.1f\n", rate, percent, peak,
		ms(len(took)/2), ms(len(took)*99/100), ms(len(took)-1), time.Since(last).Seconds())
	return nil
}

// bucketDown sends at full speed while nobody answers at the bucket's address.
func (b *bench) bucketDown(ctx context.Context) error {
	s, err := b.startReceiver(ctx, oneTrail)
	if err != nil {
		return err
	}
	defer s.stop()
	posts, size := b.lists(2*b.posts, 0)
	s.s3.Stop()
	start, before := time.Now(), cpuOf(s.receiver.PID())
	if err := b.send(ctx, s.client, s.url, posts); err != nil {
		return err
	}
	n := int64(len(posts) * perPost)
	if err := s.wait(ctx, "all events in files", func(st *receiverstatus.Status) bool {
		return st.Intake.Accepted == n && st.Trails[0].Counts.Accepted+st.Trails[0].Counts.Pending >= n
	}); err != nil {
		return err
	}
	cpu := cpuOf(s.receiver.PID()) - before
	fmt.Printf("\nbucket down: %d events (%d MB) kept in %.1f s, %.2f µs CPU/event, peak RSS %d MiB\n", n, int64(size)*n/1_000_000,
		time.Since(start).Seconds(), cpu.Seconds()*1e6/float64(n), peakOf(s.receiver.PID())>>20)
	return nil
}
