package integration

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/trail-operator/trail-operator/api/v1alpha1"
	"github.com/trail-operator/trail-operator/internal/manifests"
	"github.com/trail-operator/trail-operator/internal/receiverconfig"
)

// work reads and writes in the namespace shop.
func (w *world) work(user string) {
	w.t.Helper()
	c := w.as(user)
	o := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "settings-" + user}}
	for _, call := range []func() error{
		func() error { return c.Create(w.t.Context(), o) },
		func() error { return c.Get(w.t.Context(), client.ObjectKeyFromObject(o), o) },
		func() error { return c.List(w.t.Context(), &corev1.ConfigMapList{}, client.InNamespace("shop")) },
		func() error { o.Data = map[string]string{"a": "b"}; return c.Update(w.t.Context(), o) },
		func() error { return c.Delete(w.t.Context(), o) },
	} {
		if err := call(); err != nil {
			w.t.Fatal(err)
		}
	}
}

// calls are the IDs of what a user did in the namespace shop with these verbs.
func (w *world) calls(user string, verbs ...string) (ids []string) {
	w.t.Helper()
	for _, e := range w.logged(user) {
		if e.ObjectRef != nil && e.ObjectRef.Namespace == "shop" && slices.Contains(verbs, e.Verb) {
			ids = append(ids, string(e.AuditID))
		}
	}
	if len(ids) < len(verbs) {
		w.t.Errorf("%d calls of %s were logged with %v", len(ids), user, verbs)
	}
	return sorted(ids)
}

// inForce waits until the receiver runs a trail with a selection.
func (w *world) inForce(of *v1alpha1.Trail, s v1alpha1.EventSelection) {
	w.t.Helper()
	eventually(w.t, func() string {
		got, missing := ofTenant.ready(w.t, w.admin, of, "True Recording")
		if missing != "" {
			return missing
		}
		if r := got.Status.RecordedSelection; r == nil || r.SHA256 != receiverconfig.SelectionSHA256(s) {
			return fmt.Sprintf("the selection in force: it is %+v", r)
		}
		return ""
	})
}

// TestEventSelectorDelivery: with a real receiver, a trail delivers exactly what
// its EventSelectors select, whether it refers to them by name or by labels, and
// a change of one takes effect while everything runs.
func TestEventSelectorDelivery(t *testing.T) {
	w := newWorld(t, "")
	w.create(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop"}}, w.credentials("shop"))
	role, binding := manifests.Grant("shop", "bucket", manifests.Subject(managerUser))
	w.create(role, binding)
	selects := func(name, topic string, s v1alpha1.EventSelection) *v1alpha1.EventSelector {
		e := &v1alpha1.EventSelector{
			ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name, Labels: map[string]string{"topic": topic}},
			Spec:       v1alpha1.EventSelectorSpec{EventSelection: s},
		}
		w.create(e)
		return e
	}
	chosen := selects("chosen", "none", writes)
	selects("first", "security", reads)
	trails := map[string]*v1alpha1.Trail{}
	for name, refer := range map[string]func(*v1alpha1.Trail){"by-name": refersTo("chosen"), "by-labels": labeled("security")} {
		of := &v1alpha1.Trail{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name}}
		of.Spec.Destination = v1alpha1.Destination{
			Endpoint: w.s3.Endpoint, Bucket: name, CredentialsSecretRef: &v1alpha1.CredentialsSecretRef{Name: "bucket"},
		}
		refer(of)
		w.create(of)
		trails[name] = of
	}
	w.inForce(trails["by-name"], writes)
	w.inForce(trails["by-labels"], reads)
	w.work("ann")
	w.received()

	chosen.Spec.EventSelection = reads
	if err := w.admin.Update(t.Context(), chosen); err != nil {
		// Its status was written since.
		if err := w.admin.Get(t.Context(), client.ObjectKeyFromObject(chosen), chosen); err != nil {
			t.Fatal(err)
		}
		chosen.Spec.EventSelection = reads
		if err := w.admin.Update(t.Context(), chosen); err != nil {
			t.Fatal(err)
		}
	}
	selects("second", "security", writes)
	w.inForce(trails["by-name"], reads)
	both := v1alpha1.EventSelection{Basic: slices.Concat(reads.Basic, writes.Basic)}
	w.inForce(trails["by-labels"], both)
	w.work("bob")
	w.received()

	changes, looks := []string{"create", "update", "delete"}, []string{"get", "list"}
	want := map[string]map[string][]string{
		"by-name":   {"ann": w.calls("ann", changes...), "bob": w.calls("bob", looks...)},
		"by-labels": {"ann": w.calls("ann", looks...), "bob": w.calls("bob", append(looks, changes...)...)},
	}
	for name, of := range trails {
		w.suspend(ofTenant, of)
		records := w.records(name)
		for user, ids := range want[name] {
			if d := cmp.Diff(ids, requestIDs(records, user)); d != "" {
				t.Errorf("%s has of %s (- selected, + delivered)\n%s", name, user, d)
			}
		}
	}

	// The EventSelectors say who uses them, and that they compile.
	for name, usedBy := range map[string][]string{"chosen": {"by-name"}, "first": {"by-labels"}, "second": {"by-labels"}} {
		e := &v1alpha1.EventSelector{}
		eventually(t, func() string {
			if err := w.admin.Get(t.Context(), client.ObjectKey{Namespace: "shop", Name: name}, e); err != nil {
				return err.Error()
			}
			if len(e.Status.Conditions) != 1 || e.Status.Conditions[0].Reason != v1alpha1.ReasonCompiled {
				return fmt.Sprintf("the condition Ready of %s: %+v", name, e.Status.Conditions)
			}
			return cmp.Diff(usedBy, e.Status.UsedBy)
		})
	}
}
