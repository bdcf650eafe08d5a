package status

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/trail-operator/trail-operator/api/v1alpha1"
	"github.com/trail-operator/trail-operator/internal/auditpolicy"
	"github.com/trail-operator/trail-operator/internal/objectstore"
	"github.com/trail-operator/trail-operator/internal/receiverstatus"
	"github.com/trail-operator/trail-operator/internal/record"
)

var now = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func at(d time.Duration) *time.Time { t := now.Add(d); return &t }

// recording is a trail that records and delivers.
func recording() Observation {
	t := &v1alpha1.Trail{
		ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "b", UID: types.UID("u"), Generation: 2},
		Spec:       v1alpha1.TrailSpec{Destination: v1alpha1.Destination{Bucket: "logs"}},
	}
	return Observation{
		Trail: t, ARN: "arn", Claimed: true, Rendered: true, Now: now,
		Receiver: &receiverstatus.Status{
			Intake: receiverstatus.Intake{Received: 1},
			Trails: []receiverstatus.Trail{{
				UID: "u", Generation: 2, StartPosition: 5, LastDelivery: at(-time.Minute), LastDigest: at(-time.Hour),
				Head: &record.Head{Sequence: 1},
			}},
		},
	}
}

func suspended(o *Observation, flushed bool) {
	o.Trail.Spec.Suspend = true
	o.Receiver.Trails[0].Flushed = flushed
}

// summary is each condition as "Status Reason"; absent ones are left out.
func summary(s v1alpha1.TrailStatus) map[string]string {
	out := map[string]string{}
	for _, c := range s.Conditions {
		out[c.Type] = string(c.Status) + " " + c.Reason
	}
	delete(out, v1alpha1.ConditionNoLoss) // TestNoLoss looks at it
	return out
}

func TestConditions(t *testing.T) {
	problem := func(stalled bool) *Problem { return &Problem{Reason: "Conflict", Message: "m", Stalled: stalled} }
	failure := &receiverstatus.Failure{Reason: receiverstatus.ReasonUnreachable, Code: "X"}
	// What differs from a trail that records and delivers.
	for name, tc := range map[string]struct {
		change func(*Observation)
		want   map[string]string
	}{
		"recording": {func(*Observation) {}, nil},
		"newborn": {
			func(o *Observation) { o.Claimed, o.Rendered, o.Receiver.Trails = false, false, nil },
			map[string]string{
				"Ready": "Unknown Pending", "BucketReady": "Unknown Pending", "Receiving": "Unknown Pending",
				"Delivering": "Unknown Pending", "DigestsCurrent": "Unknown Pending", "Reconciling": "True ConfigurationSent",
			},
		},
		"no reads, which it asks for": {
			func(o *Observation) {
				o.Classes = map[receiverstatus.Class]bool{receiverstatus.ClassRead: true}
				o.Gaps = []auditpolicy.Gap{{APIServer: "cp-1", Class: receiverstatus.ClassRead}}
			},
			map[string]string{"Ready": "False AuditPolicyTooSmall", "Receiving": "False AuditPolicyTooSmall"},
		},
		"no reads, which come with the rest": {
			func(o *Observation) {
				o.Classes = map[receiverstatus.Class]bool{receiverstatus.ClassRead: false, receiverstatus.ClassWrite: true}
				o.Gaps = []auditpolicy.Gap{{APIServer: "cp-1", Class: receiverstatus.ClassRead}}
			},
			nil,
		},
		"no reads, which it does not select": {
			func(o *Observation) {
				o.Classes = map[receiverstatus.Class]bool{receiverstatus.ClassWrite: true}
				o.Gaps = []auditpolicy.Gap{{APIServer: "cp-1", Class: receiverstatus.ClassRead}}
			},
			nil,
		},
		"no file yet": {
			func(o *Observation) { o.Receiver.Trails[0].LastDelivery, o.Receiver.Trails[0].LastDigest = nil, nil },
			map[string]string{"Delivering": "Unknown NothingToDeliver", "DigestsCurrent": "Unknown FirstDigestPending"},
		},
		"stalled before it recorded": {
			func(o *Observation) {
				o.Problem, o.Claimed, o.Rendered, o.Receiver.Trails = problem(true), false, false, nil
			},
			map[string]string{
				"Ready": "False Conflict", "BucketReady": "False Conflict", "Receiving": "Unknown Pending",
				"Delivering": "Unknown Pending", "DigestsCurrent": "Unknown Pending", "Stalled": "True Conflict",
			},
		},
		"bucket fails while recording": {
			func(o *Observation) { o.Problem, o.Claimed = problem(false), false },
			map[string]string{"Ready": "False Conflict", "BucketReady": "False Conflict", "Reconciling": "True Retrying"},
		},
		"too large": {
			func(o *Observation) { o.Problem = &Problem{Reason: "ConfigurationTooLarge", Message: "m"} },
			map[string]string{"Ready": "False ConfigurationTooLarge", "Receiving": "False ConfigurationTooLarge", "Reconciling": "True Retrying"},
		},
		"too many": {
			func(o *Observation) {
				o.Problem = &Problem{Reason: "TooManyTrails", Message: "m", Stalled: true}
				o.Claimed, o.Rendered, o.Receiver.Trails = false, false, nil
			},
			map[string]string{
				"Ready": "False TooManyTrails", "BucketReady": "Unknown Pending", "Receiving": "False TooManyTrails",
				"Delivering": "Unknown Pending", "DigestsCurrent": "Unknown Pending", "Stalled": "True TooManyTrails",
			},
		},
		"receiver away": {
			func(o *Observation) { o.Receiver = nil },
			map[string]string{
				"Ready": "Unknown ReceiverUnreachable", "Receiving": "Unknown ReceiverUnreachable",
				"Delivering": "Unknown ReceiverUnreachable", "DigestsCurrent": "Unknown ReceiverUnreachable",
				"Reconciling": "True ConfigurationSent",
			},
		},
		"older generation in force": {
			func(o *Observation) { o.Receiver.Trails[0].Generation = 1 },
			map[string]string{"Ready": "Unknown ConfigurationSent", "Receiving": "Unknown ConfigurationSent", "Reconciling": "True ConfigurationSent"},
		},
		"configuration refused": {
			func(o *Observation) { o.Receiver.Trails[0].Generation, o.Receiver.ConfigError = 1, "planted" },
			map[string]string{"Ready": "False ConfigurationRefused", "Receiving": "False ConfigurationRefused", "Reconciling": "True ConfigurationSent"},
		},
		"refused, but not this trail's": {func(o *Observation) { o.Receiver.ConfigError = "planted" }, nil},
		"spool full": {
			func(o *Observation) { o.Receiver.Spool.Full = true },
			map[string]string{"Ready": "False SpoolFull", "Receiving": "False SpoolFull"},
		},
		"no API server": {
			func(o *Observation) { o.Receiver.Intake.Received = 0 },
			map[string]string{"Ready": "False NoAPIServer", "Receiving": "False NoAPIServer"},
		},
		"certificate expired": {
			func(o *Observation) { o.Expired = "do this" },
			map[string]string{"Ready": "False CertificateExpired", "Receiving": "False CertificateExpired"},
		},
		"certificate expires": {
			func(o *Observation) { o.Expiring = "do this" },
			map[string]string{"CertificateExpiring": "True CertificateExpiring"},
		},
		"delivery fails": {
			func(o *Observation) { o.Receiver.Trails[0].DeliveryError = failure },
			map[string]string{"Ready": "False EndpointUnreachable", "Delivering": "False EndpointUnreachable"},
		},
		"clock skew": {
			func(o *Observation) { o.Receiver.Trails[0].ClockSkewSeconds = -400 },
			map[string]string{"Ready": "False ClockSkew", "Delivering": "False ClockSkew"},
		},
		"digest fails": {
			func(o *Observation) { o.Receiver.Trails[0].DigestError = failure },
			map[string]string{"Ready": "False EndpointUnreachable", "DigestsCurrent": "False EndpointUnreachable"},
		},
		"digest late": {
			func(o *Observation) { o.Receiver.Trails[0].LastDigest = at(-91 * time.Minute) },
			map[string]string{"Ready": "False DigestLate", "DigestsCurrent": "False DigestLate"},
		},
		"no digest after hours": {
			func(o *Observation) {
				o.Receiver.Trails[0].LastDigest = nil
				o.Trail.Status.StartLoggingTime = &metav1.Time{Time: *at(-91 * time.Minute)}
			},
			map[string]string{"Ready": "False DigestLate", "DigestsCurrent": "False DigestLate"},
		},
		"resumed after days": {
			func(o *Observation) {
				o.Receiver.Trails[0].LastDigest, o.Receiver.Trails[0].Head.Final = at(-99*time.Hour), true
			},
			map[string]string{"DigestsCurrent": "Unknown FirstDigestPending"},
		},
		"digests off": {
			func(o *Observation) {
				o.Trail.Spec.LogFileValidation.Mode = v1alpha1.ValidationDisabled
				o.Receiver.Trails[0].DigestError = failure
			},
			map[string]string{"DigestsCurrent": "False ValidationDisabled"},
		},
		"suspending": {
			func(o *Observation) { suspended(o, false) },
			map[string]string{"Ready": "False Suspending", "Receiving": "False Suspended", "Reconciling": "True Suspending"},
		},
		"suspending, and the bucket fails": {
			func(o *Observation) { suspended(o, false); o.Receiver.Trails[0].DeliveryError = failure },
			map[string]string{
				"Ready": "False EndpointUnreachable", "Receiving": "False Suspended",
				"Delivering": "False EndpointUnreachable", "Reconciling": "True Suspending",
			},
		},
		"suspended": {
			func(o *Observation) { suspended(o, true); o.Receiver.Trails[0].LastDigest = at(-99 * time.Hour) },
			map[string]string{"Ready": "True Suspended", "Receiving": "False Suspended"},
		},
		"suspended, not told yet": {
			func(o *Observation) { suspended(o, true); o.Receiver.Trails[0].Generation = 1 },
			map[string]string{"Ready": "Unknown ConfigurationSent", "Receiving": "Unknown ConfigurationSent", "Reconciling": "True ConfigurationSent"},
		},
		"deleting": {
			func(o *Observation) { o.Trail.DeletionTimestamp = &metav1.Time{Time: now} },
			map[string]string{"Ready": "False Deleting", "Receiving": "False Suspended", "Reconciling": "True Deleting"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			o := recording()
			tc.change(&o)
			want := map[string]string{
				"Ready": "True Recording", "BucketReady": "True PrefixClaimed", "Receiving": "True ConfigurationInForce",
				"Delivering": "True Delivered", "DigestsCurrent": "True DigestDelivered",
			}
			for k, v := range tc.want {
				want[k] = v
			}
			s := Of(o)
			if d := cmp.Diff(want, summary(s)); d != "" {
				t.Error(d)
			}
			checkConditions(t, s, o.Trail.Generation)
			// The status of one moment computed again is the same.
			o.Trail.Status = s
			o.Now = now.Add(time.Minute)
			if again := Of(o); name != "digest late" && Urgent(s, again) {
				t.Errorf("it flaps: %s", cmp.Diff(s, again))
			}
		})
	}
}

// checkConditions holds what kstatus and the API conventions ask of any status.
func checkConditions(t *testing.T, s v1alpha1.TrailStatus, generation int64) {
	t.Helper()
	if s.ObservedGeneration != generation {
		t.Errorf("observedGeneration %d", s.ObservedGeneration)
	}
	for _, c := range s.Conditions {
		if c.ObservedGeneration != generation || c.Message == "" || c.LastTransitionTime.IsZero() {
			t.Errorf("incomplete condition %+v", c)
		}
		if abnormal := c.Type == "Reconciling" || c.Type == "Stalled"; abnormal && c.Status != metav1.ConditionTrue {
			t.Errorf("%s is %s", c.Type, c.Status)
		}
		if !strings.HasSuffix(strings.TrimSpace(c.Message), ".") && c.Message != "m" && c.Message != "do this" {
			t.Errorf("no sentence: %q", c.Message)
		}
		if strings.Contains(c.Message, "planted") { // it may name other tenants
			t.Errorf("what the receiver says stands in a condition: %q", c.Message)
		}
	}
}

func TestTransitionTimes(t *testing.T) {
	o := recording()
	o.Trail.Status = Of(o)
	o.Now = now.Add(time.Hour)
	o.Receiver.Spool.Full = true
	s := Of(o)
	if c := meta.FindStatusCondition(s.Conditions, "Receiving"); !c.LastTransitionTime.Time.Equal(o.Now) {
		t.Errorf("Receiving changed at %v", c.LastTransitionTime)
	}
	if c := meta.FindStatusCondition(s.Conditions, "BucketReady"); !c.LastTransitionTime.Time.Equal(now) {
		t.Errorf("BucketReady changed at %v", c.LastTransitionTime)
	}
}

func TestUrgent(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(*receiverstatus.Trail)
		want   bool
	}{
		"nothing":        {func(*receiverstatus.Trail) {}, false},
		"counts":         {func(e *receiverstatus.Trail) { e.Counts.Delivered++; e.DeliveredBytesDay++ }, false},
		"delivery":       {func(e *receiverstatus.Trail) { e.LastDelivery, e.LastObject = at(0), "k" }, false},
		"attempt":        {func(e *receiverstatus.Trail) { e.LastAttempt = at(0) }, false},
		"head":           {func(e *receiverstatus.Trail) { e.Head = &record.Head{Sequence: 2} }, true},
		"delivery error": {func(e *receiverstatus.Trail) { e.DeliveryError = &receiverstatus.Failure{Code: "X"} }, true},
		"generation":     {func(e *receiverstatus.Trail) { e.Generation = 1 }, true},
	} {
		o := recording()
		before := Of(o)
		o.Trail.Status = before
		tc.change(&o.Receiver.Trails[0])
		if got := Urgent(before, Of(o)); got != tc.want {
			t.Errorf("%s: urgent %v", name, got)
		}
	}
}

func TestStoreProblem(t *testing.T) {
	trail := recording().Trail
	trail.Spec.Destination.CredentialsSecretRef = &v1alpha1.CredentialsSecretRef{Name: "bucket"}
	for _, s := range storeReasons {
		p := StoreProblem(trail, &objectstore.Error{Op: objectstore.OpPut, Code: "Code", Err: fmt.Errorf("planted: %w", s.err)})
		if p.Reason != s.reason || p.Stalled || strings.Contains(p.Message, "planted") || strings.Contains(p.Message, "not understood") {
			t.Errorf("%v: %+v", s.err, p)
		}
	}
	p := StoreProblem(trail, errors.New("planted"))
	if p.Reason != v1alpha1.ReasonDeliveryFailed || strings.Contains(p.Message, "planted") {
		t.Errorf("%+v", p)
	}
}

func TestReceiverReasonsHaveAdvice(t *testing.T) {
	o := recording()
	for _, reason := range receiverReasons {
		if got := advice(o.Trail, reason, ""); strings.Contains(got, "not understood") {
			t.Errorf("%s has no advice", reason)
		}
	}
}
