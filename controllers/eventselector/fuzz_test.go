package eventselector

import (
	"context"
	"fmt"
	"testing"
	"time"
	"unicode/utf8"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clocktesting "k8s.io/utils/clock/testing"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/trail-operator/trail-operator/api/v1alpha1"
	"github.com/trail-operator/trail-operator/test/fuzzing"
)

// notes takes Events with the bounds of the API server.
type notes struct{ t *testing.T }

func (n notes) Eventf(_, _ runtime.Object, _, reason, action, format string, args ...any) {
	if note := fmt.Sprintf(format, args...); reason == "" || action == "" || len(note) > 1024 || !utf8.ValidString(note) {
		n.t.Fatalf("an Event %q with %d bytes: %q", reason, len(note), note)
	}
}

// FuzzReconcile: whatever an EventSelector and the trails beside it are, its
// status is one that the API server takes, and is not written twice.
func FuzzReconcile(f *testing.F) {
	schema, err := fuzzing.StatusOf("../../config/crd/trail-operator.io_eventselectors.yaml")
	if err != nil {
		f.Fatal(err)
	}
	words := []string{
		"All", "ReadOnly", "WriteOnly", "Management", "Data", "eventCategory", "eventName", "eventSource", "readOnly", "resources.type", "resources.ARN",
		"userIdentity.arn", "AWS::S3::Object", "true", "chosen", "topic", "security", "Exists", "In", "NotIn", "DoesNotExist", "core.k8s.io",
	}
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		f.Fatal(err)
	}
	fuzzing.Run(f, 200, func(t *testing.T, s *fuzzing.Source) {
		e := &v1alpha1.EventSelector{ObjectMeta: metav1.ObjectMeta{Namespace: "system", Name: "chosen", Generation: 1}}
		s.Fill(&e.Spec, words...)
		if s.Bool() && len(e.Spec.Advanced) > 0 {
			e.Spec.Basic = nil
		}
		s.Fill(&e.Labels, words...)
		objects := []client.Object{e}
		for i := range s.Int(5) {
			tr := &v1alpha1.Trail{ObjectMeta: metav1.ObjectMeta{Namespace: "system", Name: fmt.Sprintf("t-%d", i)}}
			s.Fill(&tr.Spec, words...)
			o := client.Object(tr)
			if s.Bool() {
				tr.Namespace = ""
				o = tr.AsOrganizationTrail()
			}
			objects = append(objects, o)
		}
		writes := 0
		c := fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).WithStatusSubresource(e).WithInterceptorFuncs(interceptor.Funcs{
			SubResourcePatch: func(ctx context.Context, c client.Client, _ string, o client.Object, p client.Patch, opts ...client.SubResourcePatchOption) error {
				writes++
				e := o.(*v1alpha1.EventSelector)
				if err := schema.Check(e.Status, e.Status.Conditions, e.Generation); err != nil {
					t.Fatalf("%v\n%+v", err, e.Spec)
				}
				return c.Status().Patch(ctx, o, p, opts...)
			},
		}).Build()
		r := &Reconciler{
			Client: c, Namespace: "system", Events: notes{t},
			Clock: clocktesting.NewFakePassiveClock(time.Date(2026, 11, 21, 10, 20, 0, 0, time.UTC)),
		}
		for range 2 {
			if _, err := r.Reconcile(t.Context(), ctrl.Request{NamespacedName: client.ObjectKeyFromObject(e)}); err != nil {
				t.Fatal(err)
			}
		}
		if writes != 1 {
			t.Errorf("the status was written %d times", writes)
		}
		for _, o := range objects[1:] {
			r.usedBy(t.Context(), o)
		}
	})
}
