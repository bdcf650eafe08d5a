package trail

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	logf "sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/trail-operator/trail-operator/api/v1alpha1"
	"github.com/trail-operator/trail-operator/internal/status"
)

// places remembers which trails were given one of the places of their
// namespace. Those that are rendered have one in any case, so what is lost
// with the manager are places of trails that never recorded.
type places struct {
	mu    sync.Mutex
	given map[types.UID]bool
}

func (p *places) forget(uid types.UID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.given, uid)
}

// admit gives the trail a place if its namespace has one left. The oldest come
// first, but nobody loses a place that was given: trails of the same second
// may be seen in another order than their names have.
func (s *scope) admit(ctx context.Context) error {
	if s.rendered != nil || s.trail.IsOrganizationTrail() { // only tenants are limited
		return nil
	}
	all, err := s.inNamespace(ctx, s.trail.Namespace)
	if err != nil {
		return fmt.Errorf("counting the trails of the namespace: %w", err)
	}
	uids, err := s.Installation.Publisher.UIDs(ctx)
	if err != nil {
		return err
	}
	s.places.mu.Lock()
	defer s.places.mu.Unlock()
	rendered := func(uid types.UID) bool {
		_, ok := slices.BinarySearch(uids, string(uid))
		return ok
	}
	before := 0
	for i := range all {
		t := &all[i]
		if t.UID != s.trail.UID && (s.places.given[t.UID] || rendered(t.UID) || older(t, s.trail)) {
			before++
		}
	}
	limit := s.Config.TrailsPerNamespace
	if before >= limit && !s.places.given[s.trail.UID] && !rendered(s.trail.UID) {
		s.retry = recheck // siblings that go wake it
		return &status.Problem{
			Reason: v1alpha1.ReasonTooManyTrails, Stalled: true,
			Message: fmt.Sprintf("The namespace %s may have %d Trails, and others have these places. Delete one of them, or ask the installer of the operator to raise trailsPerNamespace in the configuration of the manager.",
				s.trail.Namespace, limit),
		}
	}
	if s.places.given == nil {
		s.places.given = map[types.UID]bool{}
	}
	s.places.given[s.trail.UID] = true
	return nil
}

// inNamespace lists the trails of a namespace as the cache has them, of which a
// tenant may have made thousands: they must not be changed.
func (r *Reconciler) inNamespace(ctx context.Context, namespace string) ([]v1alpha1.Trail, error) {
	var all v1alpha1.TrailList
	err := r.Client.List(ctx, &all, client.InNamespace(namespace), client.UnsafeDisableDeepCopy)
	return all.Items, err
}

func older(a, b *v1alpha1.Trail) bool {
	return cmp.Or(a.CreationTimestamp.Compare(b.CreationTimestamp.Time), strings.Compare(a.Name, b.Name)) < 0
}

// siblings wakes the trails of a namespace when one of them is gone and has left
// its place.
func (r *Reconciler) siblings() handler.EventHandler {
	return handler.Funcs{DeleteFunc: func(ctx context.Context, e event.DeleteEvent, queue workqueue.TypedRateLimitingInterface[ctrl.Request]) {
		r.places.forget(e.Object.GetUID())
		if e.Object.GetNamespace() == "" {
			return
		}
		all, err := r.inNamespace(ctx, e.Object.GetNamespace())
		if err != nil {
			logf.FromContext(ctx).Error(err, "Cannot list the trails beside one that is gone")
			return
		}
		for i := range all {
			queue.Add(ctrl.Request{NamespacedName: client.ObjectKeyFromObject(&all[i])})
		}
	}}
}
