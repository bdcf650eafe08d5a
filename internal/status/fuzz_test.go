package status

import (
	"errors"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/trail-operator/trail-operator/api/v1alpha1"
	"github.com/trail-operator/trail-operator/internal/lossaccount"
	"github.com/trail-operator/trail-operator/internal/objectstore"
	"github.com/trail-operator/trail-operator/internal/receiverstatus"
	"github.com/trail-operator/trail-operator/test/fuzzing"
	"github.com/trail-operator/trail-operator/test/testenv"
)

var words = []string{
	"Manage", "Observe", "SSE-S3", "SSE-KMS", "Enabled", "Disabled", "Governance", "Compliance", "Auto", "Path", "logs", "eu-1", "AccessDenied",
	receiverstatus.ReasonNoBucket, receiverstatus.ReasonBadCredentials, receiverstatus.ReasonProtection, receiverstatus.ReasonOther,
}

// FuzzOf: whatever the spec and the receiver say, there is a status that the API
// server takes, and that people and kstatus can read.
func FuzzOf(f *testing.F) {
	schema, err := fuzzing.StatusOf("../../config/crd/trail-operator.io_trails.yaml")
	if err != nil {
		f.Fatal(err)
	}
	fuzzing.Run(f, 200, func(t *testing.T, s *fuzzing.Source) {
		trail := &v1alpha1.Trail{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "audit", UID: "u", Generation: 1}}
		now := time.Date(2026, 11, 21, 10, 20, 0, 0, time.UTC)
		for range 3 {
			trail.Spec = v1alpha1.TrailSpec{}
			s.Fill(&trail.Spec, words...)
			if len(trail.Spec.Destination.Prefix) > 200 { // the API server takes no longer one
				trail.Spec.Destination.Prefix = "team-a"
			}
			trail.Generation += int64(s.Int(2))
			if s.OneIn(10) {
				trail.DeletionTimestamp = &metav1.Time{Time: now}
			}
			o := Observation{Trail: trail, ARN: "arn:k8s:cloudtrail:eu-1:000000000042:trail/shop.audit", Now: now, Problem: problem(s, trail)}
			o.Claimed, o.Rendered = s.Bool(), s.Bool()
			if s.Bool() {
				o.Receiver = &receiverstatus.Status{}
				s.Fill(o.Receiver, words...)
				for i := range o.Receiver.Trails {
					if s.Bool() {
						o.Receiver.Trails[i].UID = string(trail.UID)
					}
				}
			}
			if s.Bool() {
				trail.Status.StartLoggingTime = &metav1.Time{Time: now}
			}
			if s.Bool() {
				o.Loss = &lossaccount.View{}
				s.Fill(o.Loss, words...)
			}
			before := trail.Status
			trail.Status = Of(o)
			if err := schema.Check(trail.Status, trail.Status.Conditions, trail.Generation); err != nil {
				t.Fatalf("%v\n%+v", err, trail.Status)
			}
			if _, _, err := testenv.KStatusOf(trail); err != nil {
				t.Fatal(err)
			}
			if again := Of(o); Urgent(trail.Status, again) {
				t.Fatal("the same observation gives another status")
			}
			Urgent(before, trail.Status)
			now = now.Add(time.Hour)
		}
	})
}

// problem is none, or one that a step may meet.
func problem(s *fuzzing.Source, trail *v1alpha1.Trail) *Problem {
	said := &objectstore.Error{Op: objectstore.OpGetLifecycle, Code: fuzzing.Pick(s, "", "NoSuchBucket", strings.Repeat("A", 64))}
	switch s.Int(8) {
	case 0:
		return Invalid("The field spec is invalid: %v", s.String(words...))
	case 1:
		said.Err = fuzzing.Pick(s, storeReasons...).err
		return StoreProblem(trail, said)
	case 2:
		said.Err = errors.New("planted")
		return StoreProblem(trail, said)
	case 3:
		return fuzzing.Pick(s,
			NoCredentials(trail), NoBucketObserved(trail), BucketTaken(trail), ProtectionMissing(trail, "objectLock", "encryption"),
			Ignored(trail, v1alpha1.ReasonEncryptionIgnored), Shortening(s.String(), s.String()),
		)
	}
	return nil
}
