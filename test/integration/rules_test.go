package integration

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"
)

// rule is one x-kubernetes-validations rule.
type rule struct{ kind, path, message string }

// rules are those of all kinds in config/crd.
func rules(t *testing.T) map[rule]bool {
	t.Helper()
	files, err := filepath.Glob("../../config/crd/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	all := map[rule]bool{}
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var crd apiextensionsv1.CustomResourceDefinition
		if err := yaml.UnmarshalStrict(raw, &crd); err != nil {
			continue // it is none
		}
		for _, v := range crd.Spec.Versions {
			if v.Schema != nil {
				collect(t, all, crd.Spec.Names.Kind, "", v.Schema.OpenAPIV3Schema)
			}
		}
	}
	return all
}

func collect(t *testing.T, all map[rule]bool, kind, path string, s *apiextensionsv1.JSONSchemaProps) {
	t.Helper()
	if s == nil {
		return
	}
	for _, v := range s.XValidations {
		if v.Message == "" || !strings.HasSuffix(v.Message, ".") {
			t.Errorf("%s %s: the rule %q has no sentence for its message", kind, path, v.Rule)
		}
		r := rule{kind, path, v.Message}
		if all[r] {
			t.Errorf("%v: two rules have one message", r)
		}
		all[r] = true
	}
	for name, p := range s.Properties {
		collect(t, all, kind, strings.TrimPrefix(path+"."+name, "."), &p)
	}
	if s.Items != nil {
		collect(t, all, kind, path+"[]", s.Items.Schema)
	}
	if s.AdditionalProperties != nil {
		collect(t, all, kind, path+"{}", s.AdditionalProperties.Schema)
	}
}

const (
	ruleTrail = `
apiVersion: trail-operator.io/v1alpha1
kind: Trail
metadata: {name: rules, namespace: default}
spec: {destination: {bucket: rules, prefix: a, endpoint: "https://a"}}
`
	ruleOrganizationTrail = `
apiVersion: trail-operator.io/v1alpha1
kind: OrganizationTrail
metadata: {name: rules}
spec: {destination: {bucket: rules, prefix: a, endpoint: "https://a"}}
`
	ruleEventSelector = `
apiVersion: trail-operator.io/v1alpha1
kind: EventSelector
metadata: {name: rules, namespace: default}
spec: {basic: [{}]}
`
)

// violation breaks one rule: a JSON value in the place of a field, or beside
// what the valid object has.
type violation struct {
	field   string // separated by dots
	value   string
	message string // how that of the rule begins
}

// ofSelection are those of a selection, which is at path.
func ofSelection(path string) []violation {
	advanced := func(selectors string) string { return `{"advanced": [{"fieldSelectors": [` + selectors + `]}]}` }
	const management = `{"field": "eventCategory", "equals": ["Management"]}`
	return []violation{
		{path, `{"basic": [{}], "advanced": [{"fieldSelectors": [` + management + `]}]}`, "Set exactly one of basic and advanced."},
		{path, advanced(`{"field": "eventName", "equals": ["x"]}`), "An advanced event selector needs exactly one field selector"},
		{path, advanced(management + `, {"field": "eventName"}`), "A field selector needs at least one operator."},
		{path, advanced(management + `, {"field": "readOnly", "equals": ["true"], "notEquals": ["false"]}`), "The fields eventCategory, readOnly and resources.type take"},
		{path, advanced(`{"field": "eventCategory", "equals": ["Insight"]}`), "The field eventCategory must equal one of"},
		{path, advanced(management + `, {"field": "readOnly", "equals": ["maybe"]}`), "The field readOnly must equal one of"},
	}
}

var ofTrails = append(ofSelection("spec.eventSelectors"), []violation{
	{"metadata.name", `"two--hyphens"`, "The name of "},
	{"spec", `{"destination": {"bucket": "rules"}, "eventSelectorRefs": [{"name": "a"}], "eventSelectorLabels": {}}`, "Set at most one of eventSelectors"},
	{"spec.destination.bucket", `"two..dots"`, "The bucket must be a bucket name"},
	{"spec.destination.ca", `"no certificate"`, "The field ca must hold certificates"},
	{"spec.destination.credentialsSecretRef", `{"name": "other/secret"}`, "The name of the Secret must be"},
	{"spec.logFileValidation.credentialsSecretRef", `{"name": "other/secret"}`, "The name of the Secret must be"},
	{"spec.logFileValidation", `{"mode": "Disabled", "schedule": "30 4 * * *"}`, "The field schedule needs the mode Enabled"},
	{"spec.destination.endpoint", `"https://s3.example.com/path"`, "The endpoint must be http:// or https://"},
	{"spec.destination.prefix", `"a//b"`, "The prefix must be path elements"},
	{"spec.destination.prefix", `"a/AWSLogs"`, "The prefix must not contain the element AWSLogs"},
	{"spec.destination.region", `"eu_1"`, "The region must be lower-case letters"},
	{"spec.destination.encryption", `{"type": "SSE-S3", "kmsKeyID": "key"}`, "The field kmsKeyID is for the type SSE-KMS only."},
	{"spec.destination.encryption", `{"type": "SSE-KMS", "kmsKeyID": "a key"}`, "The kmsKeyID must be a key ID"},
	{"spec.destination.tags", `[{"key": "aws:x"}]`, "Keys of tags must not begin with aws:"},
	{"spec.destination.lifecycle", `{"expireAfterDays": 30, "digestExpireAfterDays": 30}`, "The field digestExpireAfterDays must be more than"},
	{"spec.destination.lifecycle", `{"digestExpireAfterDays": 30}`, "The field digestExpireAfterDays must be more than"},
	{"spec.destination.lifecycle", `{"expireAfterDays": 30, "transitions": [{"storageClass": "GLACIER", "afterDays": 30}]}`, "Every transition must come before"},
	{"spec.destination", `{"bucket": "rules", "objectLock": {"mode": "Governance", "days": 31}, "lifecycle": {"expireAfterDays": 30}}`, "The field lifecycle.expireAfterDays must not be less"},
}...)

// ofUpdates break rules about changes.
var ofUpdates = []violation{
	{"spec.destination.bucket", `"another"`, "The field bucket cannot be changed"},
	{"spec.destination.prefix", `"b"`, "The field prefix cannot be changed"},
	{"spec.destination.prefix", ``, "The field prefix cannot be changed"},
	{"spec.destination.endpoint", `"https://b"`, "The field endpoint cannot be changed"},
	{"spec.destination.endpoint", ``, "The field endpoint cannot be changed"},
}

// change sets a field of an object; no value removes it.
func (v violation) change(t *testing.T, o *unstructured.Unstructured) *unstructured.Unstructured {
	t.Helper()
	o, path := o.DeepCopy(), strings.Split(v.field, ".")
	if v.value == "" {
		unstructured.RemoveNestedField(o.Object, path...)
		return o
	}
	// Its own decoder makes whole numbers of whole numbers.
	var holder unstructured.Unstructured
	if err := json.Unmarshal([]byte(`{"apiVersion": "v1", "kind": "x", "value": `+v.value+`}`), &holder); err != nil {
		t.Fatal(err)
	}
	if err := unstructured.SetNestedField(o.Object, holder.Object["value"], path...); err != nil {
		t.Fatal(err)
	}
	return o
}

var index = regexp.MustCompile(`\[\d+\]`)

// causes are the rules that a refusal names.
func causes(kind string, err error, known map[rule]bool) (list []rule) {
	var status apierrors.APIStatus
	if !errors.As(err, &status) || status.Status().Details == nil {
		return nil
	}
	for _, c := range status.Status().Details.Causes {
		for r := range known {
			path := index.ReplaceAllString(c.Field, "[]")
			if path == "<nil>" { // the object itself
				path = ""
			}
			if r.kind == kind && r.path == path && strings.HasSuffix(c.Message, r.message) {
				list = append(list, r)
			}
		}
	}
	return list
}

// TestEveryRuleRefuses: the API server refuses something for every rule of the
// CustomResourceDefinitions. A rule that is added has to get a line above.
func TestEveryRuleRefuses(t *testing.T) {
	known, seen := rules(t), map[rule]bool{}
	if len(known) < 50 {
		t.Fatalf("only %d rules were found", len(known))
	}
	for _, kind := range []struct {
		manifest         string
		creates, updates []violation
	}{
		{ruleTrail, ofTrails, ofUpdates},
		{ruleOrganizationTrail, ofTrails, ofUpdates},
		{ruleEventSelector, ofSelection("spec"), nil},
	} {
		valid := parse(t, kind.manifest)
		if err := admin.Create(t.Context(), valid.DeepCopy(), client.DryRunAll, client.FieldValidation("Strict")); err != nil {
			t.Fatal(err)
		}
		check := func(v violation, err error) {
			t.Helper()
			got := causes(valid.GetKind(), err, known)
			for _, r := range got {
				seen[r] = true
			}
			if !slices.ContainsFunc(got, func(r rule) bool { return strings.HasPrefix(r.message, v.message) }) {
				t.Errorf("%s with %s %s: want %q, got %v", valid.GetKind(), v.field, v.value, v.message, err)
			}
		}
		for _, v := range kind.creates {
			check(v, admin.Create(t.Context(), v.change(t, valid), client.DryRunAll))
		}
		if len(kind.updates) == 0 {
			continue
		}
		stored := valid.DeepCopy()
		if err := admin.Create(t.Context(), stored); err != nil {
			t.Fatal(err)
		}
		for _, v := range kind.updates {
			check(v, admin.Update(t.Context(), v.change(t, stored), client.DryRunAll))
		}
		if err := admin.Delete(t.Context(), stored, &client.DeleteOptions{GracePeriodSeconds: new(int64)}); err != nil {
			t.Error(err)
		}
	}
	for r := range known {
		if !seen[r] {
			t.Errorf("nothing was refused for the rule of %s at %q: %s", r.kind, r.path, r.message)
		}
	}
}
