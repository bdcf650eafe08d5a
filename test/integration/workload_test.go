package integration

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	networkingv1 "k8s.io/api/networking/v1"
	storagev1 "k8s.io/api/storage/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/trail-operator/trail-operator/internal/managerconfig"
	"github.com/trail-operator/trail-operator/internal/manifests"
)

// workload is a configuration with which the manager runs the receiver.
func workload(t *testing.T, receiver string) *managerconfig.Config {
	t.Helper()
	c, err := managerconfig.Parse([]byte(`
apiVersion: config.trail-operator.io/v1alpha1
kind: ManagerConfig
account: "000000000042"
region: eu-1
namespace: ` + installed + `
receiver: {apiServers: [cp-1], workload: ` + receiver + `}
metricsBindAddress: "0"
healthBindAddress: "127.0.0.1:0"
`))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// object reads one of the receiver's objects.
func object[T client.Object](t *testing.T, o T) (T, error) {
	name := manifests.ReceiverName
	if _, ok := any(o).(*corev1.PersistentVolumeClaim); ok {
		name = manifests.ReceiverClaim
	}
	err := admin.Get(t.Context(), client.ObjectKey{Namespace: installed, Name: name}, o)
	return o, err
}

// made waits for one of the receiver's objects.
func made[T client.Object](t *testing.T, o T) T {
	t.Helper()
	eventually(t, func() string {
		if _, err := object(t, o); err != nil {
			return err.Error()
		}
		return ""
	})
	return o
}

// removeWorkload leaves the namespace as other tests want it.
func removeWorkload(t *testing.T) {
	ctx := context.WithoutCancel(t.Context())
	meta := metav1.ObjectMeta{Namespace: installed, Name: manifests.ReceiverName}
	for _, o := range []client.Object{
		&appsv1.StatefulSet{ObjectMeta: meta}, &corev1.Service{ObjectMeta: meta}, &corev1.ServiceAccount{ObjectMeta: meta},
		&networkingv1.NetworkPolicy{ObjectMeta: meta},
		&corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Namespace: installed, Name: manifests.ReceiverClaim}},
	} {
		if err := admin.Delete(ctx, o); client.IgnoreNotFound(err) != nil {
			t.Error(err)
		}
	}
}

// TestWorkload: the manager, with its own rights, makes what runs the receiver,
// connects itself with its address, and sets back what others change.
func TestWorkload(t *testing.T) {
	t.Cleanup(func() { removeWorkload(t) })
	e := newEnv(t)
	stop := startWith(t, e, workload(t, `{image: "receiver:1"}`))
	set := made(t, &appsv1.StatefulSet{})
	service := made(t, &corev1.Service{})
	policy := made(t, &networkingv1.NetworkPolicy{})
	account := made(t, &corev1.ServiceAccount{})

	for _, o := range []client.Object{set, service, policy, account} {
		if refs := o.GetOwnerReferences(); len(refs) > 0 {
			t.Errorf("%T goes with another object, and recording with it: %v", o, refs)
		}
		if o.GetLabels()["app.kubernetes.io/managed-by"] != "trail-operator" {
			t.Errorf("%T has the labels %v", o, o.GetLabels())
		}
	}
	ip := service.Spec.ClusterIP
	identity := func() map[string]string {
		var cm corev1.ConfigMap
		if err := admin.Get(t.Context(), client.ObjectKey{Namespace: installed, Name: manifests.InstallationName}, &cm); err != nil {
			t.Fatal(err)
		}
		return cm.Data
	}
	if url := identity()[manifests.InstallationReceiverURL]; url != "https://"+ip+":8443" {
		t.Errorf("API servers are told %s, the Service has %s", url, ip)
	}
	if cert := certificate(t, installed, manifests.ServerCertName); cert.VerifyHostname(ip) != nil || cert.VerifyHostname("trail-receiver.trail-operator-system.svc") != nil {
		t.Errorf("the certificate is good for %v and %v", cert.DNSNames, cert.IPAddresses)
	}

	// Drift is set back.
	generation := set.Generation
	set.Spec.Replicas = ptr.To(int32(3))
	set.Spec.Template.Spec.Containers[0].Image = "another"
	service.Spec.PublishNotReadyAddresses = false
	policy.Spec.Ingress = nil
	for _, o := range []client.Object{set, service, policy} {
		if err := admin.Update(t.Context(), o); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, func() string {
		set, _ = object(t, &appsv1.StatefulSet{})
		service, _ = object(t, &corev1.Service{})
		policy, _ = object(t, &networkingv1.NetworkPolicy{})
		if *set.Spec.Replicas != 1 || set.Spec.Template.Spec.Containers[0].Image != "receiver:1" ||
			!service.Spec.PublishNotReadyAddresses || len(policy.Spec.Ingress) != 2 {
			return "the repair"
		}
		return ""
	})
	if set.Generation != generation+2 {
		t.Errorf("the StatefulSet is of generation %d after one change and one repair of %d: it is written again and again", set.Generation, generation)
	}

	// A Service that was deleted comes again with its address.
	if err := admin.Delete(t.Context(), service); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() string {
		if s, err := object(t, &corev1.Service{}); err != nil || s.UID == service.UID {
			return fmt.Sprint("the Service: ", err)
		}
		return ""
	})
	if s := made(t, &corev1.Service{}); s.Spec.ClusterIP != ip {
		t.Errorf("the address was %s and is %s", ip, s.Spec.ClusterIP)
	}

	// Also when no manager has run since.
	stop()
	if err := admin.Delete(t.Context(), made(t, &corev1.Service{})); err != nil {
		t.Fatal(err)
	}
	stop = startWith(t, e, workload(t, `{image: "receiver:2", networkPolicy: {enabled: false}}`))
	if s := made(t, &corev1.Service{}); s.Spec.ClusterIP != ip {
		t.Errorf("the address was %s and is %s", ip, s.Spec.ClusterIP)
	}
	eventually(t, func() string {
		set, _ = object(t, &appsv1.StatefulSet{})
		if set.Spec.Template.Spec.Containers[0].Image != "receiver:2" {
			return "the new image"
		}
		if _, err := object(t, &networkingv1.NetworkPolicy{}); !apierrors.IsNotFound(err) {
			return "the end of the NetworkPolicy"
		}
		return ""
	})
	if url := identity()[manifests.InstallationReceiverURL]; url != "https://"+ip+":8443" {
		t.Errorf("API servers are told %s", url)
	}
	stop()

	// The address may be taken by then: the receiver gets another.
	if err := admin.Delete(t.Context(), made(t, &corev1.Service{})); err != nil {
		t.Fatal(err)
	}
	thief := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "thief"}, Spec: corev1.ServiceSpec{
		ClusterIP: ip, Ports: []corev1.ServicePort{{Port: 1}},
	}}
	if err := admin.Create(t.Context(), thief); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = admin.Delete(context.WithoutCancel(t.Context()), thief) })
	startWith(t, e, workload(t, `{image: "receiver:2"}`))
	other := made(t, &corev1.Service{}).Spec.ClusterIP
	if other == ip || identity()[manifests.InstallationReceiverURL] != "https://"+other+":8443" {
		t.Errorf("the receiver is at %s, API servers are told %v", other, identity())
	}
}

// TestVolumeClaim: a claim is enlarged where that is allowed, and else the
// installer learns it; nothing is deleted.
func TestVolumeClaim(t *testing.T) {
	t.Cleanup(func() { removeWorkload(t) })
	e := newEnv(t)
	stop := startWith(t, e, workload(t, `{image: "receiver:1", storage: {size: 20Gi, className: fixed}}`))
	made(t, &appsv1.StatefulSet{})
	stop()

	for name, allowed := range map[string]bool{"fixed": false, "growing": true} {
		c := &storagev1.StorageClass{ObjectMeta: metav1.ObjectMeta{Name: name}, Provisioner: "example.com/disk", AllowVolumeExpansion: &allowed}
		if err := admin.Create(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = admin.Delete(context.WithoutCancel(t.Context()), c) })
	}
	claim := func(class string) { // what the StatefulSet controller and a provisioner do
		c := &corev1.PersistentVolumeClaim{
			ObjectMeta: metav1.ObjectMeta{Namespace: installed, Name: manifests.ReceiverClaim},
			Spec: corev1.PersistentVolumeClaimSpec{
				StorageClassName: &class, AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce}, VolumeName: "pv",
				Resources: corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("20Gi")}},
			},
		}
		if err := admin.Create(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		c.Status.Phase = corev1.ClaimBound
		c.Status.Capacity = c.Spec.Resources.Requests
		if err := admin.Status().Update(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
	size := func() string {
		c, err := object(t, &corev1.PersistentVolumeClaim{})
		if err != nil {
			t.Fatal(err)
		}
		return c.Spec.Resources.Requests.Storage().String()
	}

	claim("fixed")
	stop = startWith(t, e, workload(t, `{image: "receiver:1", storage: {size: 40Gi, className: growing}}`))
	warned(t, "VolumeSizeKept", "cannot be enlarged to 40Gi")
	warned(t, "StorageClassKept", `of the StorageClass "fixed" and stays there`)
	if size() != "20Gi" {
		t.Errorf("the claim asks for %s", size())
	}
	// Everything else is applied all the same.
	eventually(t, func() string {
		if s, _ := object(t, &appsv1.StatefulSet{}); s.Spec.Template.Spec.Containers[0].Image != "receiver:1" {
			return "the image"
		}
		return ""
	})
	stop()

	if err := admin.Delete(t.Context(), made(t, &corev1.PersistentVolumeClaim{})); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() string { // nobody takes the finalizer off here
		c, err := object(t, &corev1.PersistentVolumeClaim{})
		if apierrors.IsNotFound(err) {
			return ""
		}
		c.Finalizers = nil
		return fmt.Sprint("the end of the claim: ", admin.Update(t.Context(), c))
	})
	claim("growing")
	stop = startWith(t, e, workload(t, `{image: "receiver:1", storage: {size: 40Gi, className: growing}}`))
	eventually(t, func() string {
		if s := size(); s != "40Gi" {
			return "the larger claim, it asks for " + s
		}
		return ""
	})
	stop()
	startWith(t, e, workload(t, `{image: "receiver:1", storage: {size: 30Gi}}`))
	warned(t, "VolumeSizeKept", "asks for 40Gi and stays so large")
}

// warned waits for a Warning Event on the receiver's StatefulSet.
func warned(t *testing.T, reason, says string) {
	t.Helper()
	eventually(t, func() string {
		var list eventsv1.EventList
		if err := admin.List(t.Context(), &list, client.InNamespace(installed)); err != nil {
			return err.Error()
		}
		for _, e := range list.Items {
			if e.Reason == reason && e.Type == corev1.EventTypeWarning && strings.Contains(e.Note, says) {
				return ""
			}
		}
		return fmt.Sprintf("the Event %s %q among %d", reason, says, len(list.Items))
	})
}

// TestServiceMonitor: it is made where the cluster knows the kind.
func TestServiceMonitor(t *testing.T) {
	t.Cleanup(func() { removeWorkload(t) })
	crd := &apiextensionsv1.CustomResourceDefinition{}
	if err := json.Unmarshal([]byte(`{"metadata": {"name": "servicemonitors.monitoring.coreos.com"}, "spec": {
		"group": "monitoring.coreos.com", "scope": "Namespaced", "names": {"kind": "ServiceMonitor", "plural": "servicemonitors"},
		"versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}}]}}`), crd); err != nil {
		t.Fatal(err)
	}
	if err := admin.Create(t.Context(), crd); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = admin.Delete(context.WithoutCancel(t.Context()), crd) })
	monitor := func() error {
		u := &unstructured.Unstructured{}
		u.SetGroupVersionKind(manifests.ServiceMonitorKind)
		_, err := object(t, u)
		return err
	}
	eventually(t, func() string {
		if err := monitor(); !apierrors.IsNotFound(err) || strings.Contains(err.Error(), "page not found") {
			return fmt.Sprint("the kind: ", err)
		}
		return ""
	})
	e := newEnv(t)
	stop := startWith(t, e, workload(t, `{image: "receiver:1"}`))
	eventually(t, func() string {
		if err := monitor(); err != nil {
			return err.Error()
		}
		return ""
	})
	stop()
	startWith(t, e, workload(t, `{image: "receiver:1", serviceMonitor: {enabled: false}}`))
	eventually(t, func() string {
		if err := monitor(); !apierrors.IsNotFound(err) {
			return fmt.Sprint("the end of the ServiceMonitor: ", err)
		}
		return ""
	})
}
