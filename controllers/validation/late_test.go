package validation

import (
	"context"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/trail-operator/trail-operator/api/v1alpha1"
)

// late is a cache that does not show pods yet.
type late struct{ client.Client }

func (l late) List(ctx context.Context, list client.ObjectList, opts ...client.ListOption) error {
	if _, ok := list.(*corev1.PodList); ok {
		return nil
	}
	return l.Client.List(ctx, list, opts...)
}

// TestLatePod: Jobs and pods are two watches.
func TestLatePod(t *testing.T) {
	w := newWorld(t, audit("shop", "u1"))
	w.step(0)
	w.end(w.job(), valid, 0, "Completed")
	all := w.Client
	w.Scheduler.Client = late{all}
	w.step(5 * time.Second)
	w.Scheduler.Client = all
	w.step(5 * time.Second)
	if v := w.get("shop").Status.LastValidation; v == nil || v.Result != v1alpha1.ValidationValid {
		t.Errorf("%+v", v)
	}
}
