package kube

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/trail-operator/trail-operator/api/v1alpha1"
)

const (
	allTrailsPath     = "/apis/trail-operator.io/v1alpha1/trails"
	organizationsPath = "/apis/trail-operator.io/v1alpha1/organizationtrails"
)

var organizations = schema.GroupResource{Group: "trail-operator.io", Resource: "organizationtrails"}

func organizationTrail(name string) *v1alpha1.OrganizationTrail {
	return &v1alpha1.OrganizationTrail{
		TypeMeta:   metav1.TypeMeta{APIVersion: "trail-operator.io/v1alpha1", Kind: "OrganizationTrail"},
		ObjectMeta: metav1.ObjectMeta{Name: name},
	}
}

func TestParseTrail(t *testing.T) {
	for arg, want := range map[string]string{
		"audit":                         "audit",
		"trail/audit":                   "audit",
		"trails/audit":                  "audit",
		"trl/audit":                     "audit",
		"trail.trail-operator.io/audit": "audit", // as kubectl -o name prints it
		"otrl/all":                      "organization all",
		"organizationtrail/all":         "organization all",
		"OrganizationTrail/all":         "organization all",
		"organizationtrails/all":        "organization all",
		"organizationtrail.trail-operator.io/all":  "organization all",
		"organizationtrails.trail-operator.io/all": "organization all",
		"otrl":           "otrl", // the name of a Trail
		"pod/audit":      "",
		"trail/":         "",
		"otrl/":          "",
		"/audit":         "",
		"trail/a/b":      "",
		"":               "",
		"x\x1b[2J/audit": "",
	} {
		name, organization, err := parseTrail(arg)
		if organization {
			name = "organization " + name
		}
		if name != want || (err == nil) != (want != "") {
			t.Errorf("%q is %q (%v), want %q", arg, name, err, want)
		}
		if err != nil && (strings.Contains(err.Error(), "\x1b") || !strings.Contains(err.Error(), "organizationtrail/NAME")) {
			t.Errorf("%q: %v", arg, err)
		}
	}
}

func TestOrganizationTrail(t *testing.T) {
	c, _, _ := connect(t, map[string]any{
		organizationsPath + "/all":    organizationTrail("all"),
		organizationsPath + "/absent": apierrors.NewNotFound(organizations, "absent").Status(),
		organizationsPath + "/secret": apierrors.NewForbidden(organizations, "secret", errors.New("raw answer")).Status(),
	})
	got, err := Trail(t.Context(), c, "otrl/all")
	if err != nil || got.Name != "all" || got.Kind != "OrganizationTrail" || !got.IsOrganizationTrail() {
		t.Fatalf("got %v and %v", got, err)
	}
	if Argument(got) != "organizationtrail/all" || CommandLine(got) != "organizationtrail/all" || CommandLine(trail("audit")) != "audit -n shop" {
		t.Error("they are named in another way than they are read")
	}
	for name, want := range map[string]string{
		"absent": "there is no organizationtrail named \"absent\"; look for it with `kubectl get organizationtrails.trail-operator.io`",
		"secret": "you may not get organizationtrails.trail-operator.io; ask for a Role that allows it, and check with `kubectl auth can-i get organizationtrails.trail-operator.io`",
		"nokind": "this cluster does not know the kind OrganizationTrail; install or upgrade Trail Operator",
	} {
		if _, err := Trail(t.Context(), c, "organizationtrail/"+name); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", name, err, want)
		}
	}
}

// Whoever may not see OrganizationTrails can see Trails all the same.
func TestAllTrails(t *testing.T) {
	trails := &v1alpha1.TrailList{Items: []v1alpha1.Trail{*trail("audit")}}
	for name, tc := range map[string]struct {
		answer   any
		want     []string
		withheld string
	}{
		"both":      {&v1alpha1.OrganizationTrailList{Items: []v1alpha1.OrganizationTrail{*organizationTrail("all")}}, []string{"OrganizationTrail all", "Trail audit"}, ""},
		"forbidden": {apierrors.NewForbidden(organizations, "", errors.New("raw answer")).Status(), []string{"Trail audit"}, "you may not list them"},
		"unknown":   {nil, []string{"Trail audit"}, "does not know them"},
	} {
		t.Run(name, func(t *testing.T) {
			answers := map[string]any{allTrailsPath: trails}
			if tc.answer != nil {
				answers[organizationsPath] = tc.answer
			}
			c, _, _ := connect(t, answers)
			list, withheld, err := AllTrails(t.Context(), c)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, item := range list {
				got = append(got, item.Kind+" "+item.Name)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Error(diff)
			}
			if (withheld == nil) != (tc.withheld == "") || withheld != nil && !strings.Contains(withheld.Error(), tc.withheld) {
				t.Errorf("withheld: %v", withheld)
			}
		})
	}
	c, _, _ := connect(t, map[string]any{organizationsPath: apierrors.NewUnauthorized("raw").Status(), allTrailsPath: trails})
	if _, _, err := AllTrails(t.Context(), c); err == nil || !strings.Contains(err.Error(), "log in again") {
		t.Errorf("got %v", err)
	}
}
