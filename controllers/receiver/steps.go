package receiver

import (
	"context"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	logf "sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/trail-operator/trail-operator/internal/manifests"
)

func (r *Reconciler) serviceAccount(ctx context.Context) error {
	return r.apply(ctx, r.Objects.ServiceAccount())
}

// service never lets go of the address: API servers know the receiver by it.
func (r *Reconciler) service(ctx context.Context) error {
	err := r.apply(ctx, r.Objects.Service(r.ClusterIP))
	if !apierrors.IsInvalid(err) {
		return r.settled(err, reasonServiceRefused)
	}
	r.warn(ctx, reasonServiceRefused, fmt.Sprintf("The API server refuses the Service %s with the cluster IP %s. "+
		"See the manager's log. Restart the manager to have another address chosen, then connect each API server again.", manifests.ReceiverName, r.ClusterIP))
	return err
}

func (r *Reconciler) networkPolicy(ctx context.Context) error {
	if *r.Objects.Workload.NetworkPolicy.Enabled {
		return r.apply(ctx, r.Objects.NetworkPolicy())
	}
	var present networkingv1.NetworkPolicy
	err := r.Client.Get(ctx, r.key(manifests.ReceiverName), &present)
	if err != nil || !manifests.IsOurs(&present) {
		return client.IgnoreNotFound(err)
	}
	return client.IgnoreNotFound(r.Client.Delete(ctx, &present))
}

// volumeClaim enlarges the claim that the StatefulSet has made. It never makes
// one smaller, moves it to another class or deletes it.
func (r *Reconciler) volumeClaim(ctx context.Context) error {
	var claim corev1.PersistentVolumeClaim
	if err := r.Client.Get(ctx, r.key(manifests.ReceiverClaim), &claim); err != nil {
		return client.IgnoreNotFound(err)
	}
	want := r.Objects.Workload.Storage
	if class := claim.Spec.StorageClassName; want.ClassName != nil && class != nil && *class != *want.ClassName {
		r.warn(ctx, reasonClassKept, fmt.Sprintf("The volume claim %s is of the StorageClass %q and stays there, not %q: "+
			"give the receiver a new volume, as the runbook describes, or set receiver.workload.storage.className back.", claim.Name, *class, *want.ClassName))
	} else {
		delete(r.said, reasonClassKept)
	}
	present := claim.Spec.Resources.Requests[corev1.ResourceStorage]
	switch want.Size.Cmp(present) {
	case 0:
		return r.settled(nil, reasonSizeKept)
	case -1:
		r.warn(ctx, reasonSizeKept, fmt.Sprintf("The volume claim %s asks for %s and stays so large: a volume cannot become smaller. "+
			"Set receiver.workload.storage.size to at least that.", claim.Name, &present))
		return nil
	}
	larger := claim.DeepCopy()
	if larger.Spec.Resources.Requests == nil {
		larger.Spec.Resources.Requests = corev1.ResourceList{}
	}
	larger.Spec.Resources.Requests[corev1.ResourceStorage] = *want.Size
	err := r.Client.Patch(ctx, larger, client.MergeFrom(&claim), client.FieldOwner(manifests.FieldOwner))
	if apierrors.IsForbidden(err) || apierrors.IsInvalid(err) {
		r.warn(ctx, reasonSizeKept, fmt.Sprintf("The volume claim %s asks for %s and cannot be enlarged to %s: its StorageClass does not allow it, or it has no volume yet. "+
			"Give the receiver a new volume, as the runbook describes, or set receiver.workload.storage.size back.", claim.Name, &present, want.Size))
		return nil // the receiver works with the volume that it has
	}
	if err == nil {
		logf.FromContext(ctx).Info("Enlarging the volume claim", "from", present.String(), "to", want.Size.String())
	}
	return r.settled(err, reasonSizeKept)
}

func (r *Reconciler) statefulSet(ctx context.Context) error {
	var present appsv1.StatefulSet
	err := r.Client.Get(ctx, r.key(manifests.ReceiverName), &present)
	switch {
	case apierrors.IsNotFound(err):
		return r.apply(ctx, r.Objects.StatefulSet(nil))
	case err != nil:
		return err
	}
	return r.apply(ctx, r.Objects.StatefulSet(&present))
}

// serviceMonitor is for clusters that know the kind.
func (r *Reconciler) serviceMonitor(ctx context.Context) error {
	kind := manifests.ServiceMonitorKind
	_, err := r.Client.RESTMapper().RESTMapping(kind.GroupKind(), kind.Version)
	switch {
	case meta.IsNoMatchError(err):
		return nil
	case err != nil:
		return err
	case *r.Objects.Workload.ServiceMonitor.Enabled:
		return r.apply(ctx, client.ApplyConfigurationFromUnstructured(r.Objects.ServiceMonitor()))
	}
	u := &unstructured.Unstructured{}
	u.SetGroupVersionKind(kind)
	u.SetNamespace(r.Objects.Namespace)
	u.SetName(manifests.ReceiverName)
	err = r.Client.Get(ctx, r.key(manifests.ReceiverName), u)
	if err != nil || !manifests.IsOurs(u) {
		return client.IgnoreNotFound(err)
	}
	return client.IgnoreNotFound(r.Client.Delete(ctx, u))
}

func (r *Reconciler) key(name string) client.ObjectKey {
	return client.ObjectKey{Namespace: r.Objects.Namespace, Name: name}
}

// Reasons of the Events on the receiver's StatefulSet.
const (
	reasonServiceRefused = "ServiceRefused"
	reasonClassKept      = "StorageClassKept"
	reasonSizeKept       = "VolumeSizeKept"
)

// warn tells the installer something once, in the log and as an Event.
func (r *Reconciler) warn(ctx context.Context, reason, note string) {
	if r.said[reason] == note {
		return
	}
	r.said[reason] = note
	logf.FromContext(ctx).Info(note, "reason", reason)
	set := &appsv1.StatefulSet{}
	if err := r.Client.Get(ctx, r.key(manifests.ReceiverName), set); err != nil {
		set.Namespace, set.Name = r.Objects.Namespace, manifests.ReceiverName
	}
	r.Events.Eventf(set, nil, corev1.EventTypeWarning, reason, "Apply", "%s", note)
}

// settled forgets a warning, so that it is given again when it is due again.
func (r *Reconciler) settled(err error, reason string) error {
	if err == nil {
		delete(r.said, reason)
	}
	return err
}
