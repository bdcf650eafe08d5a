package trail

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/go-logr/logr/funcr"
	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/trail-operator/trail-operator/internal/manifests"
	"github.com/trail-operator/trail-operator/internal/receiverstatus"
)

// TestPublish: news are written at once, times once a minute, and a write that
// fails is tried again.
func TestPublish(t *testing.T) {
	now := time.Date(2026, 11, 21, 10, 20, 0, 0, time.UTC)
	clock := clocktesting.NewFakePassiveClock(now)
	writes, refuse := 0, false
	scheme := runtime.NewScheme()
	if err := corev1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	c := interceptor.NewClient(fake.NewClientBuilder().WithScheme(scheme).Build(), interceptor.Funcs{
		Apply: func(ctx context.Context, c client.WithWatch, o runtime.ApplyConfiguration, opts ...client.ApplyOption) error {
			if refuse {
				return errors.New("away")
			}
			writes++
			return c.Apply(ctx, o, opts...)
		},
	})
	r := &Report{Client: c, Namespace: "ns", APIServers: []string{"cp-1"}, Clock: clock}
	var lines []string
	log := funcr.New(func(_, args string) { lines = append(lines, args) }, funcr.Options{})

	status := func(change func(*receiverstatus.Status)) *receiverstatus.Status {
		s := &receiverstatus.Status{Started: now, Generation: 3}
		s.Intake.Sources = []receiverstatus.Source{{Cluster: "c", APIServer: "cp-1", LastPost: clock.Now()}}
		change(s)
		return s
	}
	same := func(*receiverstatus.Status) {}
	var got []int
	for _, step := range []struct {
		after  time.Duration
		refuse bool
		s      *receiverstatus.Status
		err    error
	}{
		{0, false, status(same), nil},
		{2 * time.Second, false, status(func(s *receiverstatus.Status) { s.Generation, s.Intake.Quarantined = 9, 0 }), nil},
		{2 * time.Second, true, status(func(s *receiverstatus.Status) { s.Spool.Full = true }), nil},
		{2 * time.Second, true, status(func(s *receiverstatus.Status) { s.Spool.Full = true }), nil},
		{2 * time.Second, false, status(func(s *receiverstatus.Status) { s.Spool.Full = true }), nil},
		{2 * time.Second, false, status(func(s *receiverstatus.Status) { s.Intake.Quarantined = 1 }), nil},
		{2 * time.Second, false, status(func(s *receiverstatus.Status) { s.Intake.Quarantined = 2 }), nil},
		{2 * time.Second, false, nil, errors.New("the receiver does not answer: x")},
		{2 * time.Second, false, nil, errors.New("the receiver does not answer: y")},
		{time.Minute, false, nil, errors.New("the receiver does not answer: z")},
	} {
		clock.SetTime(clock.Now().Add(step.after))
		refuse = step.refuse
		before := writes
		r.publish(t.Context(), log, step.s, step.err)
		got = append(got, writes-before)
	}
	if d := cmp.Diff([]int{1, 0, 0, 0, 1, 1, 0, 1, 0, 1}, got); d != "" {
		t.Errorf("writes per poll: %s", d)
	}
	if len(lines) != 1 {
		t.Errorf("a write that fails twice is logged as %q", lines)
	}
	var cm corev1.ConfigMap
	if err := c.Get(t.Context(), client.ObjectKey{Namespace: "ns", Name: manifests.ReceiverReportName}, &cm); err != nil {
		t.Fatal(err)
	}
	want := &manifests.ReceiverReport{Time: clock.Now(), APIServers: []string{"cp-1"}, Unreachable: "the receiver does not answer: z"}
	if d := cmp.Diff(want, manifests.ReadReceiverReport(&cm)); d != "" {
		t.Error(d)
	}
	cm.Data["status.json"] = "{"
	if manifests.ReadReceiverReport(&cm) != nil {
		t.Error("what is no report was read")
	}
	(*Report)(nil).publish(t.Context(), log, nil, nil)
}
