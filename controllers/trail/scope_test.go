package trail

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/trail-operator/trail-operator/api/v1alpha1"
	"github.com/trail-operator/trail-operator/controllers/installation"
)

// withoutGrant is an API server that does not let the manager read Secrets.
type withoutGrant struct{ client.Client }

func (withoutGrant) Get(_ context.Context, key client.ObjectKey, _ client.Object, _ ...client.GetOption) error {
	return apierrors.NewForbidden(corev1.Resource("secrets"), key.Name, nil)
}

// TestMissingGrantIsLookedForOften: a tenant who has just been told to apply a
// grant does not wait long for it to count; one who never does costs little.
func TestMissingGrantIsLookedForOften(t *testing.T) {
	now := time.Date(2026, 11, 21, 10, 20, 0, 0, time.UTC)
	for name, tc := range map[string]struct {
		created, changed, want time.Duration // the first two before now
	}{
		"just created":               {time.Second, 0, retryNow},
		"old":                        {time.Hour, time.Hour, retrySoon},
		"old, and not ready of late": {time.Hour, time.Second, retryNow},
	} {
		t.Run(name, func(t *testing.T) {
			trail := &v1alpha1.Trail{ObjectMeta: metav1.ObjectMeta{Namespace: "team", CreationTimestamp: metav1.NewTime(now.Add(-tc.created))}}
			if tc.changed > 0 {
				trail.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionReady, LastTransitionTime: metav1.NewTime(now.Add(-tc.changed))}}
			}
			trail.Spec.Destination.CredentialsSecretRef = &v1alpha1.CredentialsSecretRef{Name: "bucket"}
			r := &Reconciler{
				Client: withoutGrant{}, Clock: clocktesting.NewFakePassiveClock(now),
				Installation: &installation.Installation{}, Poller: &Poller{}, Kind: Namespaced{},
			}
			s := r.newScope(trail)
			result, err := s.outcome(t.Context(), s.readCredentials(t.Context()))
			if err != nil || result.RequeueAfter < tc.want || result.RequeueAfter > tc.want+tc.want/10 {
				t.Errorf("looked at again after %s (%v), want about %s", result.RequeueAfter, err, tc.want)
			}
		})
	}
}

// notes keeps the last note of an Event.
type notes struct{ last string }

func (n *notes) Eventf(_, _ runtime.Object, _, _, _, format string, args ...any) {
	n.last = fmt.Sprintf(format, args...)
}

// TestLongNote: events.k8s.io refuses a note of more than 1024 bytes.
func TestLongNote(t *testing.T) {
	n := &notes{}
	s := &scope{Reconciler: &Reconciler{Kind: Namespaced{}, Events: n}, trail: &v1alpha1.Trail{}}
	s.event(corev1.EventTypeWarning, v1alpha1.ReasonBucketRepaired, "Reconcile", strings.Repeat("€", 400))
	if len(n.last) > 1024 || !strings.HasSuffix(n.last, "€...") {
		t.Errorf("the note has %d bytes and ends with %q", len(n.last), n.last[len(n.last)-6:])
	}
}
