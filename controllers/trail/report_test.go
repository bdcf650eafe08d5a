package trail

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/trail-operator/trail-operator/controllers/installation"
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
	made := &installation.Installation{}
	r := &Report{Client: c, Namespace: "ns", APIServers: []string{"cp-1"}, Clock: clock, Installation: made}
	var lines []string
	log := funcr.New(func(_, args string) { lines = append(lines, args) }, funcr.Options{})

	status := func(change func(*receiverstatus.Status)) *receiverstatus.Status {
		s := &receiverstatus.Status{Started: now, Generation: 3}
		s.Intake.Sources = []receiverstatus.Source{{Cluster: "c", APIServer: "cp-1", LastPost: clock.Now(), Certificates: used("a")}}
		s.Intake.Forward = &receiverstatus.Forward{Sent: clock.Now().Unix(), Waiting: clock.Now().Second(), WaitingBytes: 9}
		change(s)
		return s
	}
	same := func(*receiverstatus.Status) {}
	certificates := func(names ...string) *receiverstatus.Status {
		return status(func(s *receiverstatus.Status) { s.Intake.Sources[0].Certificates = used(names...) })
	}
	forward := func(dropped int64, failure string) *receiverstatus.Status {
		return status(func(s *receiverstatus.Status) {
			s.Intake.Forward.Dropped = dropped
			if failure != "" {
				s.Intake.Forward.Failure = &receiverstatus.Failure{Since: now, Message: failure}
			}
		})
	}
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
		{2 * time.Second, false, certificates("b", "a"), nil},
		{2 * time.Second, false, certificates("a", "b"), nil},
		{2 * time.Second, false, forward(0, ""), nil},
		{2 * time.Second, false, forward(1, ""), nil},
		{2 * time.Second, false, forward(2, ""), nil},
		{2 * time.Second, false, forward(2, "it is away"), nil},
		{2 * time.Second, false, forward(3, "it is gone"), nil},
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
	if d := cmp.Diff([]int{1, 0, 0, 0, 1, 1, 0, 1, 0, 1, 1, 0, 1, 0, 1, 0, 1}, got); d != "" {
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

	// Certificates are told at once, whoever else is silent.
	end := now.Add(time.Hour)
	made.SetCertificates(&installation.Certificates{Ends: []installation.End{{Secret: "trail-apiserver-cp-1", Time: end, APIServer: "cp-1", Replaced: true}}})
	before := writes
	r.publish(t.Context(), log, nil, errors.New("the receiver does not answer: z"))
	if err := c.Get(t.Context(), client.ObjectKey{Namespace: "ns", Name: manifests.ReceiverReportName}, &cm); err != nil || writes != before+1 {
		t.Fatalf("%d writes, %v", writes-before, err)
	}
	want.Certificates = []manifests.ReportedCertificate{{Secret: "trail-apiserver-cp-1", End: end, APIServer: "cp-1", Replaced: true}}
	if d := cmp.Diff(want, manifests.ReadReceiverReport(&cm)); d != "" {
		t.Error(d)
	}
}

// TestPublishAfterClockAhead: one poll with the clock a day ahead does not keep
// the report as it was for a day.
func TestPublishAfterClockAhead(t *testing.T) {
	right := time.Date(2026, 11, 21, 10, 20, 0, 0, time.UTC)
	clock := clocktesting.NewFakePassiveClock(right.Add(24 * time.Hour))
	c := fake.NewClientBuilder().Build()
	r := &Report{Client: c, Namespace: "ns", APIServers: []string{"cp-1"}, Clock: clock, Installation: &installation.Installation{}}
	publish := func() *manifests.ReceiverReport {
		t.Helper()
		r.publish(t.Context(), logr.Discard(), &receiverstatus.Status{Started: right}, nil)
		var cm corev1.ConfigMap
		if err := c.Get(t.Context(), client.ObjectKey{Namespace: "ns", Name: manifests.ReceiverReportName}, &cm); err != nil {
			t.Fatal(err)
		}
		return manifests.ReadReceiverReport(&cm)
	}
	publish()
	clock.SetTime(right)
	if got := publish(); !got.Time.Equal(right) {
		t.Errorf("the clock is right again, and the report is of %v", got.Time)
	}
	clock.SetTime(right.Add(reportInterval / 2))
	if got := publish(); !got.Time.Equal(right) {
		t.Errorf("a report of times alone was written after %v", got.Time.Sub(right))
	}
}

// used are certificates in the order of their use.
func used(names ...string) (used []receiverstatus.SourceCertificate) {
	for i, name := range names {
		used = append(used, receiverstatus.SourceCertificate{SHA256: name, LastPost: time.Unix(int64(len(names)-i), 0)})
	}
	return used
}
