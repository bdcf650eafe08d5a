package trail

import (
	"context"
	"encoding/json"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"github.com/trail-operator/trail-operator/api/v1alpha1"
)

// patched keeps the last patch.
type patched struct {
	client.Client
	data []byte
}

func (p *patched) Patch(_ context.Context, o client.Object, patch client.Patch, _ ...client.PatchOption) (err error) {
	p.data, err = patch.Data(o)
	return err
}

// TestFinalizerIsPatchedOnTheVersionThatWasRead: a stale read must not take
// off the finalizers of others.
func TestFinalizerIsPatchedOnTheVersionThatWasRead(t *testing.T) {
	before := &v1alpha1.Trail{ObjectMeta: metav1.ObjectMeta{ResourceVersion: "7", Finalizers: []string{"example.com/other", v1alpha1.Finalizer}}}
	trail := before.DeepCopy()
	controllerutil.RemoveFinalizer(trail, v1alpha1.Finalizer)
	c := &patched{}
	if err := (&Reconciler{Client: c, Kind: Namespaced{}}).patch(t.Context(), trail, before); err != nil {
		t.Fatal(err)
	}
	var sent v1alpha1.Trail
	if err := json.Unmarshal(c.data, &sent); err != nil || sent.ResourceVersion != "7" || len(sent.Finalizers) != 1 {
		t.Errorf("sent %s (%v)", c.data, err)
	}
}
