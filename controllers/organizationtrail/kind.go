// Package organizationtrail reconciles OrganizationTrails. All it does is done
// by package trail, which sees an OrganizationTrail as a Trail without a
// namespace.
package organizationtrail

import (
	"context"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/trail-operator/trail-operator/api/v1alpha1"
	"github.com/trail-operator/trail-operator/controllers/trail"
)

// +kubebuilder:rbac:groups=trail-operator.io,resources=organizationtrails,verbs=get;list;watch;patch
// +kubebuilder:rbac:groups=trail-operator.io,resources=organizationtrails/status,verbs=patch

// Kind is the kind OrganizationTrail.
type Kind struct{}

var _ trail.Kind = Kind{}

// Name implements trail.Kind.
func (Kind) Name() string { return "organizationtrail" }

// Object implements trail.Kind.
func (Kind) Object(t *v1alpha1.Trail) client.Object { return t.AsOrganizationTrail() }

// Get implements trail.Kind.
func (Kind) Get(ctx context.Context, c client.Reader, key client.ObjectKey) (*v1alpha1.Trail, error) {
	var t v1alpha1.OrganizationTrail
	err := c.Get(ctx, key, &t)
	return t.AsTrail(), err
}

// List implements trail.Kind.
func (Kind) List(ctx context.Context, c client.Reader) ([]*v1alpha1.Trail, error) {
	var all v1alpha1.OrganizationTrailList
	if err := c.List(ctx, &all); err != nil {
		return nil, err
	}
	list := make([]*v1alpha1.Trail, len(all.Items))
	for i := range all.Items {
		list[i] = all.Items[i].AsTrail()
	}
	return list, nil
}
