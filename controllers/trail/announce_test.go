package trail

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/trail-operator/trail-operator/api/v1alpha1"
	"github.com/trail-operator/trail-operator/controllers/installation"
	"github.com/trail-operator/trail-operator/internal/receiverstatus"
	"github.com/trail-operator/trail-operator/internal/record"
)

// recorder records each ID once, as the receiver does.
type recorder struct {
	ids   map[string]bool
	names []string
	last  record.OwnEvent
	away  bool
}

func (*recorder) Status(context.Context) (*receiverstatus.Status, error) { return nil, errReceiver }

func (r *recorder) Record(_ context.Context, events ...record.OwnEvent) error {
	if r.away {
		return errReceiver
	}
	for _, e := range events {
		r.last = e
		if !r.ids[e.ID] {
			r.ids[e.ID] = true
			r.names = append(r.names, e.Name)
		}
	}
	return nil
}

// TestEndsAreRecordedOnce: what was handed over, and is again because the order
// to stop could not be written, stands in the trail once, also when the spec
// has changed between.
func TestEndsAreRecordedOnce(t *testing.T) {
	now := time.Date(2026, 11, 21, 10, 20, 0, 0, time.UTC)
	for name, tc := range map[string]struct {
		announce func(*scope, context.Context) error
		suspend  bool
		want     []string
	}{
		"deleted":   {(*scope).announceDelete, false, []string{"StopLogging", "DeleteTrail"}},
		"suspended": {(*scope).announceStop, true, []string{"UpdateTrail", "StopLogging"}},
	} {
		t.Run(name, func(t *testing.T) {
			received := &recorder{ids: map[string]bool{}}
			r := &Reconciler{
				Receiver: received, Clock: clocktesting.NewFakePassiveClock(now),
				Installation: &installation.Installation{}, Poller: &Poller{}, Kind: Namespaced{},
			}
			trail := &v1alpha1.Trail{ObjectMeta: metav1.ObjectMeta{Namespace: "team", UID: "u", Generation: 2}}
			trail.Spec.Suspend = tc.suspend
			trail.Status.RecordedGeneration, trail.Status.StartLoggingTime = 1, &metav1.Time{Time: now}
			for range 3 {
				if err := tc.announce(r.newScope(trail), t.Context()); err != nil {
					t.Fatal(err)
				}
				trail.Generation++
			}
			if d := cmp.Diff(tc.want, received.names); d != "" {
				t.Error(d)
			}
			if trail.Status.IsLogging() {
				t.Error("the status says that it logs")
			}
		})
	}
}
