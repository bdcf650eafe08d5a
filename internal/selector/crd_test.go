package selector_test

import (
	"encoding/json"
	"os"
	"testing"

	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	structuralschema "k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/listtype"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
	"sigs.k8s.io/yaml"
)

const trailCRD = "../../config/crd/trail-operator.io_trails.yaml"

// TestAPIServerAccepts checks the other half of acceptFile: that the schema of
// the custom resource definition agrees with it, as the API server evaluates it.
func TestAPIServerAccepts(t *testing.T) {
	schema := selectionSchema(t)
	structural, err := structuralschema.NewStructural(schema)
	if err != nil {
		t.Fatal(err)
	}
	openAPI, _, err := validation.NewSchemaValidator(schema)
	if err != nil {
		t.Fatal(err)
	}
	rules := cel.NewValidator(structural, false, celconfig.PerCallLimit)

	data, err := os.ReadFile(acceptFile)
	if err != nil {
		t.Fatal(err)
	}
	var cases []acceptCase
	if err := json.Unmarshal(data, &cases); err != nil {
		t.Fatal(err)
	}
	for _, tc := range cases {
		if string(tc.Selection) == "null" { // a field that is not set is not validated
			continue
		}
		t.Run(tc.Name, func(t *testing.T) {
			var selection map[string]any
			if err := json.Unmarshal(tc.Selection, &selection); err != nil {
				t.Fatal(err)
			}
			errs := validation.ValidateCustomResource(nil, selection, openAPI)
			errs = append(errs, listtype.ValidateListSetsAndMaps(nil, structural, selection)...)
			if len(errs) == 0 { // as the API server does
				errs, _ = rules.Validate(t.Context(), field.NewPath("eventSelectors"), structural, selection, nil, celconfig.RuntimeCELCostBudget)
			}
			if valid := len(errs) == 0; valid != tc.Valid {
				t.Errorf("valid: want %v, got %v: %v", tc.Valid, valid, errs.ToAggregate())
			}
		})
	}
}

// selectionSchema returns the schema of spec.eventSelectors.
func selectionSchema(t *testing.T) *apiextensions.JSONSchemaProps {
	t.Helper()
	data, err := os.ReadFile(trailCRD)
	if err != nil {
		t.Fatal(err)
	}
	var crd apiextensionsv1.CustomResourceDefinition
	if err := yaml.Unmarshal(data, &crd); err != nil {
		t.Fatal(err)
	}
	v1 := crd.Spec.Versions[0].Schema.OpenAPIV3Schema.Properties["spec"].Properties["eventSelectors"]
	var schema apiextensions.JSONSchemaProps
	if err := apiextensionsv1.Convert_v1_JSONSchemaProps_To_apiextensions_JSONSchemaProps(&v1, &schema, nil); err != nil {
		t.Fatal(err)
	}
	return &schema
}
