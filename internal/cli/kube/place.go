package kube

import (
	"context"
	"errors"
	"fmt"
	"regexp"

	"github.com/trail-operator/trail-operator/api/v1alpha1"
	"github.com/trail-operator/trail-operator/internal/manifests"
	"github.com/trail-operator/trail-operator/internal/record"
	"github.com/trail-operator/trail-operator/internal/verify"
)

var trailARN = regexp.MustCompile(`^arn:k8s:cloudtrail:([a-z0-9-]+):(\d{12}):trail/(.+)$`)

// Place says how the keys of a trail's objects are made, and its CloudTrail name.
// The organization ID of an OrganizationTrail stands in the ConfigMap of the
// installation, in operatorNamespace.
func Place(ctx context.Context, c Cluster, t *v1alpha1.Trail, operatorNamespace string) (layout record.Layout, name string, err error) {
	arn := trailARN.FindStringSubmatch(t.Status.TrailARN)
	if arn == nil {
		return record.Layout{}, "", fmt.Errorf("the status of trail %q has no ARN yet; wait for the manager, and see `kubectl trail status %s`", Argument(t), CommandLine(t))
	}
	layout = record.Layout{Prefix: t.Status.Prefix, Account: arn[2], Region: arn[1]}
	if t.IsOrganizationTrail() {
		layout.Organization, err = organizationOf(ctx, c, t, operatorNamespace)
	}
	return layout, arn[3], err
}

// organizationOf is the organization ID in the keys of an OrganizationTrail: that
// of the installation, or, for whoever may not read that, of the newest digest.
func organizationOf(ctx context.Context, c Cluster, t *v1alpha1.Trail, operatorNamespace string) (string, error) {
	cl, err := c.Client()
	if err != nil {
		return "", err
	}
	in, err := ReadInstallation(ctx, cl, operatorNamespace)
	if err == nil {
		return in.Organization, nil
	}
	if ctx.Err() != nil {
		return "", errors.New("interrupted")
	}
	if h := t.Status.Head; h != nil {
		if target, ok := verify.ParseTarget(h.S3Object); ok {
			return target.Layout.Organization, nil
		}
	}
	why := Request{Verb: "get", Resource: "configmaps", Namespace: operatorNamespace, Name: manifests.InstallationName}.Explain(err)
	return "", fmt.Errorf("the organization ID of the installation is not known: %w", why)
}
