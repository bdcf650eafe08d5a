package receiver

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"unicode/utf8"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/trail-operator/trail-operator/internal/managerconfig"
	"github.com/trail-operator/trail-operator/internal/manifests"
	"github.com/trail-operator/trail-operator/test/fuzzing"
)

// notes takes Events with the bounds of the API server.
type notes struct{ t *testing.T }

func (n notes) Eventf(_, _ runtime.Object, _, reason, action, format string, args ...any) {
	if note := fmt.Sprintf(format, args...); reason == "" || action == "" || len(note) > 1024 || !utf8.ValidString(note) {
		n.t.Fatalf("an Event %q with %d bytes: %q", reason, len(note), note)
	}
}

// manager is a configuration that asks for all there is, of those that are valid.
func manager(t testing.TB) *managerconfig.Workload {
	t.Helper()
	c, err := managerconfig.Parse([]byte(`
apiVersion: config.trail-operator.io/v1alpha1
kind: ManagerConfig
region: eu-1
namespace: system
receiver:
  apiServers: [cp-1]
  workload: {image: "receiver:1", storage: {size: 30Gi, className: fast}}
`))
	if err != nil {
		t.Fatal(err)
	}
	return c.Receiver.Workload
}

// FuzzReconcile: whatever is there under the names of the receiver's objects,
// and whatever the API server answers, nothing panics.
func FuzzReconcile(f *testing.F) {
	scheme := runtime.NewScheme()
	if err := clientgoscheme.AddToScheme(scheme); err != nil {
		f.Fatal(err)
	}
	workload := manager(f)
	gr := schema.GroupResource{Resource: "any"}
	fuzzing.Run(f, 60, func(t *testing.T, s *fuzzing.Source) {
		set, service, claim, policy := &appsv1.StatefulSet{}, &corev1.Service{}, &corev1.PersistentVolumeClaim{}, &networkingv1.NetworkPolicy{}
		s.Fill(&set.Spec, "receiver", "data", "config")
		s.Fill(&set.Labels, "app.kubernetes.io/managed-by", "trail-operator")
		s.Fill(&service.Spec, "ClusterIP", "None", "10.0.0.10")
		s.Fill(&policy.Spec)
		s.Fill(&policy.Labels, "app.kubernetes.io/managed-by", "trail-operator")
		s.Fill(&claim.Spec, "fast", "slow")
		if s.Bool() {
			claim.Spec.Resources.Requests = corev1.ResourceList{
				corev1.ResourceStorage: fuzzing.Pick(s, resource.MustParse("1Gi"), resource.MustParse("40Gi"), resource.Quantity{}),
			}
		}
		var objects []client.Object
		for _, o := range []client.Object{set, service, policy} {
			o.SetName(manifests.ReceiverName)
			objects = append(objects, o)
		}
		claim.SetName(manifests.ReceiverClaim)
		objects = append(objects, claim)
		var present []client.Object
		for _, o := range objects {
			o.SetNamespace("system")
			if s.Int(4) > 0 {
				present = append(present, o)
			}
		}
		wild := fuzzing.Pick(s, 0, 0, 10, 3)
		refusal := func() error {
			if wild == 0 || !s.OneIn(wild) {
				return nil
			}
			return fuzzing.Pick[error](s, apierrors.NewInvalid(schema.GroupKind{Kind: "Any"}, "any", nil), apierrors.NewForbidden(gr, "any", errors.New("no")),
				apierrors.NewNotFound(gr, "any"), apierrors.NewConflict(gr, "any", errors.New("no")), errors.New("connection refused"))
		}
		c := fake.NewClientBuilder().WithScheme(scheme).WithObjects(present...).WithInterceptorFuncs(interceptor.Funcs{
			Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
				if err := refusal(); err != nil {
					return err
				}
				return c.Get(ctx, key, o, opts...)
			},
			Apply: func(context.Context, client.WithWatch, runtime.ApplyConfiguration, ...client.ApplyOption) error {
				return refusal()
			},
			Patch: func(context.Context, client.WithWatch, client.Object, client.Patch, ...client.PatchOption) error {
				return refusal()
			},
		}).Build()
		r := &Reconciler{
			Client: c, Objects: &manifests.ReceiverWorkload{Namespace: "system", Workload: workload}, ClusterIP: "10.0.0.10",
			Events: notes{t}, said: map[string]string{},
		}
		for range 3 {
			_, _ = r.Reconcile(t.Context(), ctrl.Request{}) // an error is tried again
		}
	})
}
