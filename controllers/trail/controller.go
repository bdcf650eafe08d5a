// Package trail reconciles Trails: it checks them, claims their place in the
// bucket, renders them into the receiver's configuration and reads back what
// the receiver makes of them. No byte of audit data passes here.
package trail

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/trail-operator/trail-operator/api/v1alpha1"
	"github.com/trail-operator/trail-operator/controllers/installation"
	"github.com/trail-operator/trail-operator/internal/managerconfig"
	"github.com/trail-operator/trail-operator/internal/objectstore"
	"github.com/trail-operator/trail-operator/internal/receiverstatus"
	"github.com/trail-operator/trail-operator/internal/record"
)

// +kubebuilder:rbac:groups=trail-operator.io,resources=trails,verbs=get;list;watch;patch
// +kubebuilder:rbac:groups=trail-operator.io,resources=trails/status,verbs=patch
// +kubebuilder:rbac:groups=events.k8s.io,resources=events,verbs=create;patch
// +kubebuilder:rbac:groups="",namespace=trail-operator-system,resources=events,verbs=create;patch
// +kubebuilder:rbac:groups=coordination.k8s.io,namespace=trail-operator-system,resources=leases,verbs=create
// +kubebuilder:rbac:groups=coordination.k8s.io,namespace=trail-operator-system,resources=leases,resourceNames=trail-operator-leader,verbs=get;update

const (
	// flushTimeout is how long a deleted trail may take to deliver what is left.
	flushTimeout = 10 * time.Minute
	// pollSecrets is how often a trail is looked at when nothing calls for it:
	// the operator may not watch the Secrets of tenants.
	pollSecrets = time.Minute
	// startWait is how long a trail waits for the receiver's first answer.
	startWait = time.Second
	// workers reconcile at once, so that a bucket that does not answer holds
	// up few others.
	workers = 16
)

// Receiver is the receiver's status API.
type Receiver interface {
	// Status reads the receiver's status.
	Status(ctx context.Context) (*receiverstatus.Status, error)
	// Record hands events of our own over; nil means that they are durable.
	// Handing an event over again, with the same ID, changes nothing.
	Record(ctx context.Context, events ...record.OwnEvent) error
}

// Reconciler reconciles Trails.
type Reconciler struct {
	// Kind of the trails.
	Kind Kind
	// Client must not cache Secrets.
	Client       client.Client
	Config       *managerconfig.Config
	Installation *installation.Installation
	Open         objectstore.ManagedOpener
	Receiver     Receiver
	Events       events.EventRecorder
	Clock        clock.PassiveClock
	// Poller knows the receiver's last answer. It is shared by all kinds.
	Poller *Poller

	places    places
	buckets   bucketChecks
	writes    writes
	deletions deletions
}

// NewAbandoned makes the counter of trails that were given up.
func NewAbandoned() prometheus.Counter {
	return prometheus.NewCounter(prometheus.CounterOpts{
		Name: "trail_abandoned_total",
		Help: "Deleted trails that were given up after ten minutes with records undelivered.",
	})
}

// SetupWithManager registers the controller.
func (r *Reconciler) SetupWithManager(mgr ctrl.Manager) error {
	object := r.Kind.Object(&v1alpha1.Trail{})
	return ctrl.NewControllerManagedBy(mgr).
		Named(r.Kind.Name()).
		For(object, builder.WithPredicates(predicate.Or(predicate.GenerationChangedPredicate{}, predicate.AnnotationChangedPredicate{}, r.validated()))).
		Watches(object, r.siblings()).
		Watches(&v1alpha1.EventSelector{}, r.referrers(), builder.WithPredicates(selectionChanged)).
		WatchesRawSource(source.Channel(r.Poller.subscribe(r.Kind), &handler.EnqueueRequestForObject{})).
		WithOptions(controller.Options{MaxConcurrentReconciles: workers}).
		Complete(r)
}

// Reconcile brings one trail a step further.
func (r *Reconciler) Reconcile(ctx context.Context, req ctrl.Request) (result ctrl.Result, err error) {
	if r.Poller.starting() {
		return ctrl.Result{RequeueAfter: jitter(startWait)}, nil
	}
	t, err := r.Kind.Get(ctx, r.Client, req.NamespacedName)
	if err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	s := r.newScope(t)
	if !t.DeletionTimestamp.IsZero() {
		return s.delete(ctx)
	}
	if controllerutil.AddFinalizer(t, v1alpha1.Finalizer) {
		if err := r.patch(ctx, t, s.before); err != nil {
			return ctrl.Result{}, err
		}
	}
	defer func() {
		wait, statusErr := s.writeStatus(ctx)
		err = errors.Join(err, statusErr)
		switch {
		case err != nil:
			result = ctrl.Result{} // the queue backs off by itself
		case wait > 0:
			result.RequeueAfter = min(result.RequeueAfter, wait)
		}
	}()
	for _, step := range []func(context.Context) error{
		s.validate,
		s.admit,
		s.readCredentials,
		s.settle,
		s.checkBucket,
		s.selectEvents,
		s.announceStop,
		s.render,
		s.announceStart,
		s.announceSelection,
	} {
		if err := step(ctx); err != nil {
			return s.outcome(ctx, err)
		}
	}
	return ctrl.Result{RequeueAfter: jitter(pollSecrets)}, nil
}

// patch writes what differs in the metadata, and leaves status alone. A patch
// replaces the whole list of finalizers, so it must be of the version that was
// read: else it would take off those that others have put there since.
func (r *Reconciler) patch(ctx context.Context, t, before *v1alpha1.Trail) error {
	status := t.Status
	err := r.Client.Patch(ctx, r.Kind.Object(t), client.MergeFromWithOptions(r.Kind.Object(before), client.MergeFromWithOptimisticLock{}))
	t.Status = status
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

// jitter spreads d by a tenth, so that trails do not move in step.
func jitter(d time.Duration) time.Duration {
	return d + rand.N(d/10) //nolint:gosec // chance, not secrecy
}
