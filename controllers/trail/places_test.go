package trail

import (
	"context"
	"errors"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	clocktesting "k8s.io/utils/clock/testing"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/trail-operator/trail-operator/api/v1alpha1"
	"github.com/trail-operator/trail-operator/controllers/installation"
	"github.com/trail-operator/trail-operator/internal/managerconfig"
	"github.com/trail-operator/trail-operator/internal/status"
)

// listing is an API server with trails and without Secrets.
type listing struct {
	client.Client
	trails []v1alpha1.Trail
}

func (l *listing) List(_ context.Context, into client.ObjectList, options ...client.ListOption) error {
	o := (&client.ListOptions{}).ApplyOptions(options)
	if !ptr.Deref(o.UnsafeDisableDeepCopy, false) {
		return errors.New("a tenant may have thousands of trails: they must not be copied")
	}
	into.(*v1alpha1.TrailList).Items = l.trails
	return nil
}

func (*listing) Get(_ context.Context, key client.ObjectKey, _ client.Object, _ ...client.GetOption) error {
	return apierrors.NewNotFound(corev1.Resource("secrets"), key.Name)
}

// TestAdmit: the oldest come first, and a place that was given stays given when
// a trail of the same second turns up whose name comes first.
func TestAdmit(t *testing.T) {
	now := time.Date(2026, 11, 21, 10, 20, 0, 0, time.UTC)
	trail := func(name string, age time.Duration) v1alpha1.Trail {
		return v1alpha1.Trail{ObjectMeta: metav1.ObjectMeta{
			Namespace: "team", Name: name, UID: types.UID(name), CreationTimestamp: metav1.NewTime(now.Add(-age)),
		}}
	}
	api := &listing{}
	r := &Reconciler{
		Client: api, Config: &managerconfig.Config{TrailsPerNamespace: 2}, Clock: clocktesting.NewFakePassiveClock(now),
		Installation: &installation.Installation{Publisher: installation.NewPublisher(api, "system")}, Poller: &Poller{}, Kind: Namespaced{},
	}
	admitted := func(name string) bool {
		t.Helper()
		for i := range api.trails {
			if api.trails[i].Name != name {
				continue
			}
			err := r.newScope(&api.trails[i]).admit(t.Context())
			var p *status.Problem
			if err != nil && (!errors.As(err, &p) || p.Reason != v1alpha1.ReasonTooManyTrails || !p.Stalled) {
				t.Fatal(err)
			}
			return err == nil
		}
		t.Fatalf("there is no %s", name)
		return false
	}
	check := func(want map[string]bool) {
		t.Helper()
		for name, want := range want {
			if got := admitted(name); got != want {
				t.Errorf("%s admitted: %v", name, got)
			}
		}
	}
	api.trails = []v1alpha1.Trail{trail("y", 0), trail("z", 0), trail("old", time.Hour)}
	check(map[string]bool{"old": true, "y": true, "z": false})
	api.trails = append(api.trails, trail("a", 0))
	check(map[string]bool{"old": true, "y": true, "z": false, "a": false})
	// The manager forgets with its end who has a place and was never rendered.
	r.places.given = nil
	check(map[string]bool{"old": true, "a": true, "y": false, "z": false})
}
