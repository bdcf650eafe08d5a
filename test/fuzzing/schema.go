package fuzzing

import (
	"errors"
	"fmt"
	"os"

	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	structuralschema "k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/defaulting"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/listtype"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/pruning"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/json" // keeps integers apart from floats
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/yaml"
)

// Status is what an API server takes as the status of a kind.
type Status struct {
	structural *structuralschema.Structural
	validator  validation.SchemaValidator
}

// StatusOf reads the schema of the status from the file of a
// CustomResourceDefinition.
func StatusOf(path string) (*Status, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var crd apiextensionsv1.CustomResourceDefinition
	if err := yaml.Unmarshal(raw, &crd); err != nil {
		return nil, err
	}
	v1 := crd.Spec.Versions[0].Schema.OpenAPIV3Schema.Properties["status"]
	var schema apiextensions.JSONSchemaProps
	if err := apiextensionsv1.Convert_v1_JSONSchemaProps_To_apiextensions_JSONSchemaProps(&v1, &schema, nil); err != nil {
		return nil, err
	}
	s := &Status{}
	if s.structural, err = structuralschema.NewStructural(&schema); err != nil {
		return nil, err
	}
	s.validator, _, err = validation.NewSchemaValidator(&schema)
	return s, err
}

// Check says why an API server would not take status, which encodes to JSON,
// or would not keep all of it; or why its conditions are not those of
// generation.
func (s *Status) Check(status any, conditions []metav1.Condition, generation int64) error {
	raw, err := json.Marshal(status)
	if err != nil {
		return err
	}
	var content map[string]any
	if err := json.Unmarshal(raw, &content); err != nil {
		return err
	}
	defaulting.PruneNonNullableNullsWithoutDefaults(content, s.structural)
	if unknown := pruning.PruneWithOptions(content, s.structural, false, structuralschema.UnknownFieldPathOptions{TrackUnknownFieldPaths: true}); len(unknown) > 0 {
		return fmt.Errorf("unknown fields %v", unknown)
	}
	errs := validation.ValidateCustomResource(field.NewPath("status"), content, s.validator)
	errs = append(errs, listtype.ValidateListSetsAndMaps(field.NewPath("status"), s.structural, content)...)
	if len(errs) > 0 {
		return errs.ToAggregate()
	}
	return checkConditions(conditions, generation)
}

// checkConditions requires what kstatus reads, and that all conditions speak of
// generation.
func checkConditions(conditions []metav1.Condition, generation int64) error {
	exceptional := 0
	for _, c := range conditions {
		if c.ObservedGeneration != generation {
			return fmt.Errorf("the condition %s is of generation %d, the object of %d", c.Type, c.ObservedGeneration, generation)
		}
		if c.Type == "Reconciling" || c.Type == "Stalled" {
			if c.Status != metav1.ConditionTrue {
				return fmt.Errorf("%s is %s: it must be true or absent", c.Type, c.Status)
			}
			exceptional++
		}
		if c.LastTransitionTime.IsZero() {
			return fmt.Errorf("the condition %s has no time", c.Type)
		}
		if len(c.Message) > 32768 {
			return fmt.Errorf("the message of %s has %d bytes", c.Type, len(c.Message))
		}
	}
	if exceptional > 1 {
		return errors.New("it is reconciling and stalled at once")
	}
	return nil
}
