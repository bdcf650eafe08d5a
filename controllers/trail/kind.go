package trail

import (
	"context"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/trail-operator/trail-operator/api/v1alpha1"
)

// Kind is what differs between Trails and OrganizationTrails. Everything else
// works on the view as a Trail; that of an OrganizationTrail has no namespace.
type Kind interface {
	// Name of the controller.
	Name() string
	// Object is t as the API server knows it.
	Object(t *v1alpha1.Trail) client.Object
	// Get reads one.
	Get(ctx context.Context, c client.Reader, key client.ObjectKey) (*v1alpha1.Trail, error)
	// List reads all.
	List(ctx context.Context, c client.Reader) ([]*v1alpha1.Trail, error)
}

// Namespaced is the kind Trail.
type Namespaced struct{}

var _ Kind = Namespaced{}

// Name implements Kind.
func (Namespaced) Name() string { return "trail" }

// Object implements Kind.
func (Namespaced) Object(t *v1alpha1.Trail) client.Object { return t }

// Get implements Kind.
func (Namespaced) Get(ctx context.Context, c client.Reader, key client.ObjectKey) (*v1alpha1.Trail, error) {
	var t v1alpha1.Trail
	err := c.Get(ctx, key, &t)
	return &t, err
}

// List implements Kind.
func (Namespaced) List(ctx context.Context, c client.Reader) ([]*v1alpha1.Trail, error) {
	var all v1alpha1.TrailList
	if err := c.List(ctx, &all); err != nil {
		return nil, err
	}
	list := make([]*v1alpha1.Trail, len(all.Items))
	for i := range all.Items {
		list[i] = &all.Items[i]
	}
	return list, nil
}
