package integration

import (
	"context"
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/trail-operator/trail-operator/api/v1alpha1"
	"github.com/trail-operator/trail-operator/internal/receiverstatus"
	"github.com/trail-operator/trail-operator/test/testenv"
)

// kstatus waits until an object is what Flux waits for.
func kstatus(t *testing.T, o client.Object, want testenv.KStatus) {
	t.Helper()
	eventually(t, func() string {
		if err := admin.Get(t.Context(), client.ObjectKeyFromObject(o), o); err != nil {
			return err.Error()
		}
		got, why, err := testenv.KStatusOf(o)
		if err != nil || got != want {
			return fmt.Sprintf("%s: it is %s, %s (%v)", want, got, why, err)
		}
		return ""
	})
}

// TestKStatus follows trails of both kinds through their lives as the API server
// shows them to GitOps tools.
func TestKStatus(t *testing.T) {
	e := newEnv(t)
	ns := tenant(t, "kstatus")
	secret(t, installed)
	t.Cleanup(func() {
		_ = admin.Delete(context.WithoutCancel(t.Context()), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: installed, Name: "bucket"}})
	})
	kinds := map[string]struct {
		trailKind
		meta metav1.ObjectMeta
	}{
		"Trail":             {ofTenant, metav1.ObjectMeta{Namespace: ns, Name: "audit"}},
		"OrganizationTrail": {ofCluster, metav1.ObjectMeta{Name: "kstatus"}},
	}
	objects := map[string]client.Object{}
	for name, k := range kinds { // before there is a manager
		trail := &v1alpha1.Trail{ObjectMeta: k.meta, Spec: v1alpha1.TrailSpec{Destination: v1alpha1.Destination{
			Bucket: "kstatus", Prefix: "of-" + map[bool]string{true: "cluster", false: "tenant"}[k.meta.Namespace == ""],
			CredentialsSecretRef: &v1alpha1.CredentialsSecretRef{Name: "bucket"},
		}}}
		objects[name] = k.Object(trail)
		if err := admin.Create(t.Context(), objects[name]); err != nil {
			t.Fatal(err)
		}
		kstatus(t, objects[name], testenv.KStatusInProgress)
	}
	e.receiver.do(func(r *receiver) { r.away = true })
	start(t, e)
	for name, k := range kinds { // the receiver does not load them
		eventually(t, func() string {
			got, err := k.Get(t.Context(), admin, client.ObjectKeyFromObject(objects[name]))
			if err != nil || got.Status.ObservedGeneration != 1 {
				return fmt.Sprintf("its first observation (%v)", err)
			}
			return ""
		})
		kstatus(t, objects[name], testenv.KStatusInProgress)
	}
	e.receiver.do(func(r *receiver) { r.away = false })
	for name, k := range kinds {
		t.Run(name, func(t *testing.T) {
			o := objects[name]
			uid := string(o.GetUID())
			patch := func(spec string) {
				t.Helper()
				if err := admin.Patch(t.Context(), o, client.RawPatch("application/merge-patch+json", []byte(`{"spec":`+spec+`}`))); err != nil {
					t.Fatal(err)
				}
			}
			kstatus(t, o, testenv.KStatusCurrent)

			e.receiver.set(uid, func(s *receiverstatus.Trail) {
				s.DeliveryError = &receiverstatus.Failure{Code: "AccessDenied", Reason: receiverstatus.ReasonAccessDenied}
			})
			kstatus(t, o, testenv.KStatusInProgress)
			e.receiver.set(uid, func(s *receiverstatus.Trail) { s.DeliveryError = nil })
			kstatus(t, o, testenv.KStatusCurrent)

			patch(`{"destination":{"ca":"-----BEGIN CERTIFICATE-----\nnone\n-----END CERTIFICATE-----\n"}}`)
			kstatus(t, o, testenv.KStatusFailed)
			patch(`{"destination":{"ca":null}}`)
			kstatus(t, o, testenv.KStatusCurrent)

			patch(`{"suspend":true}`)
			kstatus(t, o, testenv.KStatusInProgress)
			e.receiver.set(uid, func(s *receiverstatus.Trail) { s.Flushed = true })
			kstatus(t, o, testenv.KStatusCurrent)
			e.receiver.set(uid, func(s *receiverstatus.Trail) { s.Flushed = false })
			patch(`{"suspend":false}`)
			kstatus(t, o, testenv.KStatusCurrent)

			if err := admin.Delete(t.Context(), o); err != nil {
				t.Fatal(err)
			}
			kstatus(t, o, testenv.KStatusTerminating)
			e.receiver.set(uid, func(s *receiverstatus.Trail) { s.Flushed = true })
			eventually(t, func() string {
				if _, err := k.Get(t.Context(), admin, client.ObjectKeyFromObject(o)); !apierrors.IsNotFound(err) {
					return fmt.Sprintf("its end (%v)", err)
				}
				return ""
			})
		})
	}
	selector := selects(t, ns, "kstatus", "any", writes)
	kstatus(t, selector, testenv.KStatusCurrent)
	change(t, selector, func(s *v1alpha1.EventSelector) { s.Spec.EventSelection = reads })
	kstatus(t, selector, testenv.KStatusCurrent)
}
