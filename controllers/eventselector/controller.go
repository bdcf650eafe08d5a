// Package eventselector reconciles EventSelectors: it says whether each
// compiles, what it selects, and which trails use it. What trails make of them
// is decided in package trail.
package eventselector

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	logf "sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/predicate"

	"github.com/trail-operator/trail-operator/api/v1alpha1"
)

// +kubebuilder:rbac:groups=trail-operator.io,resources=eventselectors,verbs=get;list;watch
// +kubebuilder:rbac:groups=trail-operator.io,resources=eventselectors/status,verbs=patch
// +kubebuilder:rbac:groups=trail-operator.io,resources=trails;organizationtrails,verbs=get;list;watch
// +kubebuilder:rbac:groups=events.k8s.io,resources=events,verbs=create;patch

// Reconciler reconciles EventSelectors.
type Reconciler struct {
	Client client.Client
	// Namespace is that of the operator, where OrganizationTrails look.
	Namespace string
	Events    events.EventRecorder
	Clock     clock.PassiveClock
}

// SetupWithManager registers the controller.
func (r *Reconciler) SetupWithManager(mgr ctrl.Manager) error {
	changed := predicate.GenerationChangedPredicate{}
	return ctrl.NewControllerManagedBy(mgr).
		Named("eventselector").
		For(&v1alpha1.EventSelector{}, builder.WithPredicates(predicate.Or[client.Object](changed, predicate.LabelChangedPredicate{}))).
		Watches(&v1alpha1.Trail{}, handler.EnqueueRequestsFromMapFunc(r.usedBy), builder.WithPredicates(changed)).
		Watches(&v1alpha1.OrganizationTrail{}, handler.EnqueueRequestsFromMapFunc(r.usedBy), builder.WithPredicates(changed)).
		Complete(r)
}

// usedBy enqueues the EventSelectors that a trail refers to. When a trail
// changes, it is asked for what the trail was and for what it is.
func (r *Reconciler) usedBy(ctx context.Context, o client.Object) []ctrl.Request {
	var t *v1alpha1.Trail
	switch o := o.(type) {
	case *v1alpha1.Trail:
		t = o
	case *v1alpha1.OrganizationTrail:
		t = o.AsTrail()
	}
	if t == nil || !t.RefersToEventSelectors() {
		return nil
	}
	var list v1alpha1.EventSelectorList
	if err := r.Client.List(ctx, &list, client.InNamespace(r.homeOf(t))); err != nil {
		logf.FromContext(ctx).Error(err, "Cannot list the EventSelectors that a trail may use", "trail", client.ObjectKeyFromObject(t))
		return nil
	}
	var requests []ctrl.Request
	for i := range list.Items {
		if t.RefersTo(&list.Items[i]) {
			requests = append(requests, ctrl.Request{NamespacedName: client.ObjectKeyFromObject(&list.Items[i])})
		}
	}
	return requests
}

// homeOf is the namespace where the trail looks for EventSelectors.
func (r *Reconciler) homeOf(t *v1alpha1.Trail) string {
	if t.IsOrganizationTrail() {
		return r.Namespace
	}
	return t.Namespace
}

// Reconcile writes the status of one EventSelector, if it has changed.
func (r *Reconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	var e v1alpha1.EventSelector
	if err := r.Client.Get(ctx, req.NamespacedName, &e); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	if !e.DeletionTimestamp.IsZero() {
		return ctrl.Result{}, nil
	}
	users, err := r.users(ctx, &e)
	if err != nil {
		return ctrl.Result{}, err
	}
	before := e.DeepCopy()
	e.Status = statusOf(&e, users, metav1.Time{Time: r.Clock.Now().UTC()})
	if equality.Semantic.DeepEqual(before.Status, e.Status) {
		return ctrl.Result{}, nil
	}
	if err := r.Client.Status().Patch(ctx, &e, client.MergeFrom(before)); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	r.tell(before, &e)
	return ctrl.Result{}, nil
}

// users are the trails that refer to e, as its status names them.
func (r *Reconciler) users(ctx context.Context, e *v1alpha1.EventSelector) ([]string, error) {
	var names []string
	var trails v1alpha1.TrailList
	if err := r.Client.List(ctx, &trails, client.InNamespace(e.Namespace)); err != nil {
		return nil, err
	}
	for i := range trails.Items {
		if trails.Items[i].RefersTo(e) {
			names = append(names, trails.Items[i].Name)
		}
	}
	if e.Namespace != r.Namespace {
		return names, nil
	}
	var organization v1alpha1.OrganizationTrailList
	if err := r.Client.List(ctx, &organization); err != nil {
		return nil, err
	}
	for i := range organization.Items {
		if t := organization.Items[i].AsTrail(); t.RefersTo(e) {
			names = append(names, "organizationtrail/"+t.Name)
		}
	}
	return names, nil
}

// tell sends an Event when Ready has changed, or what it says.
func (r *Reconciler) tell(before, e *v1alpha1.EventSelector) {
	old := meta.FindStatusCondition(before.Status.Conditions, v1alpha1.ConditionReady)
	now := meta.FindStatusCondition(e.Status.Conditions, v1alpha1.ConditionReady)
	if old != nil && old.Status == now.Status && old.Message == now.Message {
		return
	}
	kind := corev1.EventTypeNormal
	if now.Status != metav1.ConditionTrue {
		kind = corev1.EventTypeWarning
	}
	r.Events.Eventf(e, nil, kind, now.Reason, "Reconcile", "%s", v1alpha1.Cut(now.Message, v1alpha1.MaxNote))
}
