package receiver

import (
	"testing"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/trail-operator/trail-operator/internal/managerconfig"
	"github.com/trail-operator/trail-operator/internal/manifests"
)

// TestForeignServiceMonitor: who switches ours off may have one of their own, by
// the same name.
func TestForeignServiceMonitor(t *testing.T) {
	kind := manifests.ServiceMonitorKind
	for name, labels := range map[string]map[string]string{
		"ours":   {"app.kubernetes.io/managed-by": "trail-operator"},
		"theirs": {"app.kubernetes.io/managed-by": "Helm"},
	} {
		t.Run(name, func(t *testing.T) {
			monitor := &unstructured.Unstructured{}
			monitor.SetGroupVersionKind(kind)
			monitor.SetNamespace("system")
			monitor.SetName(manifests.ReceiverName)
			monitor.SetLabels(labels)
			mapper := meta.NewDefaultRESTMapper([]schema.GroupVersion{kind.GroupVersion()})
			mapper.Add(kind, meta.RESTScopeNamespace)
			scheme := runtime.NewScheme()
			scheme.AddKnownTypeWithName(kind, &unstructured.Unstructured{})
			c := fake.NewClientBuilder().WithScheme(scheme).WithRESTMapper(mapper).WithObjects(monitor).Build()
			r := &Reconciler{Client: c, Objects: &manifests.ReceiverWorkload{
				Namespace: "system",
				Workload:  &managerconfig.Workload{ServiceMonitor: managerconfig.ServiceMonitor{Enabled: ptr.To(false)}},
			}}
			if err := r.serviceMonitor(t.Context()); err != nil {
				t.Fatal(err)
			}
			err := c.Get(t.Context(), client.ObjectKeyFromObject(monitor), monitor.DeepCopy())
			if gone := err != nil; gone != (name == "ours") {
				t.Errorf("it is gone: %v (%v)", gone, err)
			}
		})
	}
}
