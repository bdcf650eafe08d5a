package kube

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/trail-operator/trail-operator/api/v1alpha1"
)

// Resources of both kinds of trails, as permissions name them.
const (
	TrailResource             = "trails.trail-operator.io"
	OrganizationTrailResource = "organizationtrails.trail-operator.io"
)

// organizationPrefix stands before the name of an OrganizationTrail.
const organizationPrefix = "organizationtrail/"

// Names of the two kinds in an argument TYPE/NAME, as kubectl takes and prints
// them.
var (
	trailTypes        = []string{"trail", "trails", "trl"}
	organizationTypes = []string{"organizationtrail", "organizationtrails", "otrl"}
)

// parseTrail reads the argument TRAIL: NAME of a Trail, trail/NAME, or
// organizationtrail/NAME of an OrganizationTrail, with their short names too.
func parseTrail(arg string) (name string, organization bool, err error) {
	kind, name, ok := strings.Cut(arg, "/")
	if !ok {
		kind, name = trailTypes[0], arg
	}
	kind = strings.TrimSuffix(strings.ToLower(kind), "."+v1alpha1.GroupVersion.Group)
	organization = slices.Contains(organizationTypes, kind)
	switch {
	case !organization && !slices.Contains(trailTypes, kind):
		return "", false, fmt.Errorf("%q is no kind of trail; write NAME for a Trail of the namespace, or organizationtrail/NAME", oneLine(kind))
	case name == "" || strings.Contains(name, "/"):
		return "", false, fmt.Errorf("%q does not name a trail; write NAME for a Trail of the namespace, or organizationtrail/NAME", oneLine(arg))
	}
	return name, organization, nil
}

// Trail reads the trail that the argument TRAIL of a command names: a Trail of
// the chosen namespace, or an OrganizationTrail, viewed as a Trail.
func Trail(ctx context.Context, c Cluster, arg string) (*v1alpha1.Trail, error) {
	name, organization, err := parseTrail(arg)
	if err != nil {
		return nil, err
	}
	ns := ""
	if !organization {
		if ns, err = c.Namespace(); err != nil {
			return nil, err
		}
	}
	cl, err := c.Client()
	if err != nil {
		return nil, err
	}
	t, r := &v1alpha1.Trail{}, Request{Verb: "get", Resource: TrailResource, Namespace: ns, Name: name}
	if organization {
		var o v1alpha1.OrganizationTrail
		t, r.Resource = o.AsTrail(), OrganizationTrailResource
		err = cl.Get(ctx, client.ObjectKey{Name: name}, &o)
	} else {
		err = cl.Get(ctx, client.ObjectKey{Namespace: ns, Name: name}, t)
	}
	if err != nil {
		return nil, r.Explain(err)
	}
	setKind(t)
	return t, nil
}

// Trails reads the Trails of one namespace.
func Trails(ctx context.Context, c Cluster, namespace string) (*v1alpha1.TrailList, error) {
	cl, err := c.Client()
	if err != nil {
		return nil, err
	}
	list := &v1alpha1.TrailList{}
	if err := cl.List(ctx, list, client.InNamespace(namespace)); err != nil {
		return nil, Request{Verb: "list", Resource: TrailResource, Namespace: namespace}.Explain(err)
	}
	for i := range list.Items {
		setKind(&list.Items[i])
	}
	return list, nil
}

// AllTrails reads all trails of the cluster: OrganizationTrails, viewed as
// Trails, then the Trails of all namespaces. withheld says why there are no
// OrganizationTrails, which are not for everybody's eyes; it is nil if they
// could be read.
func AllTrails(ctx context.Context, c Cluster) (trails []v1alpha1.Trail, withheld, err error) {
	cl, err := c.Client()
	if err != nil {
		return nil, nil, err
	}
	organizations := &v1alpha1.OrganizationTrailList{}
	r := Request{Verb: "list", Resource: OrganizationTrailResource}
	err = cl.List(ctx, organizations)
	switch {
	case apierrors.IsForbidden(err):
		withheld = errors.New("organization trails are not shown: you may not list them")
	case isUnknownResource(err, r):
		withheld = errors.New("organization trails are not shown: this cluster does not know them")
	case err != nil:
		return nil, nil, r.Explain(err)
	}
	for i := range organizations.Items {
		t := organizations.Items[i].AsTrail()
		setKind(t)
		trails = append(trails, *t)
	}
	list, err := Trails(ctx, c, metav1.NamespaceAll)
	if err != nil {
		return nil, nil, err
	}
	return append(trails, list.Items...), withheld, nil
}

// setKind gives a trail its kind: a server may leave it out, output needs it.
func setKind(t *v1alpha1.Trail) {
	kind := "Trail"
	if t.IsOrganizationTrail() {
		kind = "OrganizationTrail"
	}
	t.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind(kind))
}

// Argument is the argument TRAIL that names t.
func Argument(t *v1alpha1.Trail) string {
	if t.IsOrganizationTrail() {
		return organizationPrefix + t.Name
	}
	return t.Name
}

// CommandLine is the argument TRAIL with the namespace, where there is one.
func CommandLine(t *v1alpha1.Trail) string {
	if t.IsOrganizationTrail() {
		return Argument(t)
	}
	return t.Name + " -n " + t.Namespace
}
