package doctor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"slices"
	"strings"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
	"sigs.k8s.io/yaml"

	"github.com/trail-operator/trail-operator/api/v1alpha1"
	"github.com/trail-operator/trail-operator/config/crd"
)

const linkKinds = "kinds"

// resources of our group, as CustomResourceDefinitions are named.
var resources = []string{"trails", "organizationtrails", "eventselectors"}

// reach asks the API server for anything at all: its clock, and whether it
// takes the user. The error is that it does not.
func (d *doctor) reach(ctx context.Context, local clock.PassiveClock) (skew, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	answer, err := d.server.Get(ctx, "/version")
	if err != nil {
		return skew{}, err
	}
	if answer.Status == http.StatusUnauthorized {
		return skew{}, errors.New("the API server does not accept your credentials; log in again, or choose others with --context or --kubeconfig")
	}
	s := skew{known: !answer.Date.IsZero()}
	if s.known {
		s.local = local.Now().Sub(answer.Date)
		// Everything that is compared was written by machines of the cluster.
		d.now = answer.Date
	}
	return s, nil
}

// kinds: the API server serves what users write, as this plugin knows it.
func (d *doctor) kinds(ctx context.Context) []Finding {
	install := "install the CustomResourceDefinitions, of which the chart's value crds.enabled is one way"
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	answer, err := d.server.Get(ctx, "/apis/"+v1alpha1.GroupVersion.String())
	served := &metav1.APIResourceList{}
	switch {
	case err != nil:
		d.failed = err
		return []Finding{{State: Unchecked, Link: linkKinds, Message: err.Error()}}
	case answer.Status == http.StatusForbidden:
		return []Finding{{State: Unchecked, Link: linkKinds, Message: "needs discovery: the ClusterRole system:discovery"}}
	case answer.Status == http.StatusOK:
		if json.Unmarshal(answer.Body, served) != nil {
			served = &metav1.APIResourceList{}
		}
	case answer.Status != http.StatusNotFound:
		d.failed = fmt.Errorf("the API server answered HTTP %d when it was asked for its kinds", answer.Status)
		return []Finding{{State: Unchecked, Link: linkKinds, Message: d.failed.Error()}}
	}
	var missing []string
	for _, want := range resources {
		if !slices.ContainsFunc(served.APIResources, func(r metav1.APIResource) bool { return r.Name == want }) {
			missing = append(missing, want)
		}
	}
	if len(missing) > 0 {
		return []Finding{{State: Problem, Link: linkKinds, Next: install, Message: "the API server does not serve " + strings.Join(missing, ", ") +
			" of " + v1alpha1.GroupVersion.String()}}
	}
	return d.definitions(ctx)
}

// definitions compares the fields that the cluster knows with those that this
// plugin knows.
func (d *doctor) definitions(ctx context.Context) []Finding {
	fine := Finding{State: OK, Link: linkKinds, Message: "the API server serves Trail, OrganizationTrail and EventSelector as this plugin knows them"}
	var differ []string
	for _, r := range resources {
		name := r + "." + v1alpha1.GroupVersion.Group
		var present apiextensionsv1.CustomResourceDefinition
		err := d.get(ctx, "", name, &present)
		if apierrors.IsForbidden(err) {
			fine.Message = "the API server serves Trail, OrganizationTrail and EventSelector; to compare their fields needs get on customresourcedefinitions"
			return []Finding{fine}
		}
		if err != nil {
			return []Finding{d.unread(err, linkKinds, name, "customresourcedefinitions", "")}
		}
		ours, err := definition(name)
		if err != nil {
			d.failed = err
			return []Finding{{State: Unchecked, Link: linkKinds, Message: err.Error()}}
		}
		if !equality.Semantic.DeepEqual(fields(&present), fields(ours)) {
			differ = append(differ, name)
		}
	}
	if len(differ) > 0 {
		return []Finding{{
			State: Warning, Link: linkKinds, Message: strings.Join(differ, ", ") + ": the cluster's fields differ from those of this plugin",
			Next: "use the plugin of the installed version, or upgrade the installation, the CustomResourceDefinitions with it",
		}}
	}
	return []Finding{fine}
}

// definition of this version.
func definition(name string) (*apiextensionsv1.CustomResourceDefinition, error) {
	resource, group, _ := strings.Cut(name, ".")
	b, err := fs.ReadFile(crd.Files, group+"_"+resource+".yaml")
	if err != nil {
		return nil, fmt.Errorf("this plugin lacks the definition of %s: build it again", name)
	}
	c := &apiextensionsv1.CustomResourceDefinition{}
	if err := yaml.Unmarshal(b, c); err != nil {
		return nil, fmt.Errorf("this plugin has a broken definition of %s: build it again", name)
	}
	return c, nil
}

func fields(c *apiextensionsv1.CustomResourceDefinition) *apiextensionsv1.JSONSchemaProps {
	for _, v := range c.Spec.Versions {
		if v.Name == v1alpha1.GroupVersion.Version && v.Schema != nil {
			return v.Schema.OpenAPIV3Schema
		}
	}
	return nil
}
