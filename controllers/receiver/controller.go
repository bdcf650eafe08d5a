// Package receiver keeps the objects that run the receiver as the manager's
// configuration wants them.
package receiver

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/trail-operator/trail-operator/internal/manifests"
)

// Creating cannot be limited by name. Everything else is: the receiver's
// objects all have one name, and its volume claim that of its StatefulSet.
//
// +kubebuilder:rbac:groups=apps,namespace=trail-operator-system,resources=statefulsets,verbs=create
// +kubebuilder:rbac:groups=apps,namespace=trail-operator-system,resources=statefulsets,resourceNames=trail-receiver,verbs=get;list;watch;patch
// +kubebuilder:rbac:groups="",namespace=trail-operator-system,resources=services,verbs=create
// +kubebuilder:rbac:groups="",namespace=trail-operator-system,resources=services,resourceNames=trail-receiver,verbs=get;list;watch;patch
// +kubebuilder:rbac:groups="",namespace=trail-operator-system,resources=serviceaccounts,verbs=create
// +kubebuilder:rbac:groups="",namespace=trail-operator-system,resources=serviceaccounts,resourceNames=trail-receiver,verbs=get;list;watch;patch
// +kubebuilder:rbac:groups=networking.k8s.io,namespace=trail-operator-system,resources=networkpolicies,verbs=create
// +kubebuilder:rbac:groups=networking.k8s.io,namespace=trail-operator-system,resources=networkpolicies,resourceNames=trail-receiver,verbs=get;list;watch;patch;delete
// +kubebuilder:rbac:groups="",namespace=trail-operator-system,resources=persistentvolumeclaims,resourceNames=data-trail-receiver-0,verbs=get;list;watch;patch
// +kubebuilder:rbac:groups=monitoring.coreos.com,namespace=trail-operator-system,resources=servicemonitors,verbs=create
// +kubebuilder:rbac:groups=monitoring.coreos.com,namespace=trail-operator-system,resources=servicemonitors,resourceNames=trail-receiver,verbs=get;patch;delete

// again is how often everything is applied when nothing calls for it:
// ServiceMonitors are not watched, and their kind may come later.
const again = 10 * time.Minute

// Reconciler runs the receiver.
type Reconciler struct {
	// Client caches what Cache lists.
	Client  client.Client
	Objects *manifests.ReceiverWorkload
	// ClusterIP is the address of the receiver's Service.
	ClusterIP string
	Events    events.EventRecorder

	said map[string]string // notes of Events by reason
}

// Cache limits the cache of the objects that the Reconciler reads and watches
// to those of the receiver.
func Cache(namespace string) map[client.Object]cache.ByObject {
	only := func(name string) cache.ByObject {
		return cache.ByObject{Namespaces: map[string]cache.Config{
			namespace: {FieldSelector: fields.OneTermEqualSelector("metadata.name", name)},
		}}
	}
	return map[client.Object]cache.ByObject{
		&appsv1.StatefulSet{}:           only(manifests.ReceiverName),
		&corev1.Service{}:               only(manifests.ReceiverName),
		&corev1.ServiceAccount{}:        only(manifests.ReceiverName),
		&networkingv1.NetworkPolicy{}:   only(manifests.ReceiverName),
		&corev1.PersistentVolumeClaim{}: only(manifests.ReceiverClaim),
	}
}

// SetupWithManager registers the controller. It has one request, which is made
// when it starts and whenever an object of the receiver changes.
func (r *Reconciler) SetupWithManager(mgr ctrl.Manager) error {
	r.said = map[string]string{}
	request := reconcile.Request{NamespacedName: types.NamespacedName{Namespace: r.Objects.Namespace, Name: manifests.ReceiverName}}
	toReceiver := handler.EnqueueRequestsFromMapFunc(func(context.Context, client.Object) []reconcile.Request {
		return []reconcile.Request{request}
	})
	b := ctrl.NewControllerManagedBy(mgr).
		Named("receiver").
		WatchesRawSource(source.Func(func(_ context.Context, q workqueue.TypedRateLimitingInterface[reconcile.Request]) error {
			q.Add(request)
			return nil
		}))
	for o := range Cache(r.Objects.Namespace) {
		b.Watches(o, toReceiver)
	}
	return b.Complete(r)
}

// Reconcile applies the receiver's objects in the order in which they need each
// other. What others have changed of them is set back.
func (r *Reconciler) Reconcile(ctx context.Context, _ ctrl.Request) (ctrl.Result, error) {
	for _, step := range []struct {
		name string
		do   func(context.Context) error
	}{
		{"ServiceAccount", r.serviceAccount},
		{"Service", r.service},
		{"NetworkPolicy", r.networkPolicy},
		{"volume claim", r.volumeClaim},
		{"StatefulSet", r.statefulSet},
		{"ServiceMonitor", r.serviceMonitor},
	} {
		if err := step.do(ctx); err != nil {
			return ctrl.Result{}, fmt.Errorf("%s of the receiver: %w", step.name, err)
		}
	}
	return ctrl.Result{RequeueAfter: again + rand.N(again/10)}, nil //nolint:gosec // chance, not secrecy
}

func (r *Reconciler) apply(ctx context.Context, o runtime.ApplyConfiguration) error {
	return r.Client.Apply(ctx, o, client.FieldOwner(manifests.FieldOwner), client.ForceOwnership)
}
