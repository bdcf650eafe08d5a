package selector

import (
	"fmt"
	"regexp"
	"slices"
	"unicode/utf8"

	"github.com/trail-operator/trail-operator/api/v1alpha1"
)

// The limits are those that the types in api/v1alpha1 carry as markers;
// testdata/accept.json holds both to them.
const (
	maxExcluded      = 50
	maxSourceLength  = 253
	maxDataResources = 50
	maxTypeLength    = 320
	maxDataValues    = 250
	maxNameLength    = 1000
	maxFields        = 10
	maxFieldValues   = 100
	maxValueLength   = 2048
)

// bounds of the lists of a selection.
type bounds struct {
	basic, advanced int
	resources       int // data resources of all basic selectors
}

var (
	// authored is what the API server takes from a user.
	authored = bounds{basic: 5, advanced: 20, resources: 5 * maxDataResources}
	// merged is what Merge makes of several. Data resources are as many as in
	// one: each is looked at for each event.
	merged = bounds{basic: 100, advanced: 100, resources: 5 * maxDataResources}
)

var dataResourceType = regexp.MustCompile(
	`^(AWS::S3::Object|AWS::Lambda::Function|AWS::DynamoDB::Table|K8S::[a-z0-9.-]+::[A-Za-z0-9]+)$`)

// invalid makes an error of the path of a field and a sentence about it.
func invalid(path, format string, args ...any) error {
	return fmt.Errorf("%s: "+format, append([]any{path}, args...)...)
}

// Validate accepts exactly what the API server accepts. Its errors are sentences
// for the author of the selection, with the path of the field.
func Validate(sel v1alpha1.EventSelection) error { return validateWithin(&sel, authored) }

func validateWithin(sel *v1alpha1.EventSelection, most bounds) error {
	switch {
	case sel.Basic != nil && sel.Advanced != nil:
		return invalid("basic", "Set exactly one of basic and advanced.")
	case sel.Basic != nil:
		if n := len(sel.Basic); n < 1 || n > most.basic {
			return invalid("basic", "There must be 1 to %d basic event selectors, not %d.", most.basic, n)
		}
	case sel.Advanced != nil:
		if n := len(sel.Advanced); n < 1 || n > most.advanced {
			return invalid("advanced", "There must be 1 to %d advanced event selectors, not %d.", most.advanced, n)
		}
	}
	resources := 0
	for i := range sel.Basic {
		if resources += len(sel.Basic[i].DataResources); resources > most.resources {
			return invalid("basic", "There may be at most %d data resources in all.", most.resources)
		}
		if err := validateBasic(fmt.Sprintf("basic[%d]", i), &sel.Basic[i]); err != nil {
			return err
		}
	}
	for i := range sel.Advanced {
		if err := validateAdvanced(fmt.Sprintf("advanced[%d]", i), &sel.Advanced[i]); err != nil {
			return err
		}
	}
	return nil
}

func validateBasic(path string, b *v1alpha1.BasicEventSelector) error {
	switch b.ReadWriteType {
	case "", v1alpha1.ReadWriteAll, v1alpha1.ReadOnly, v1alpha1.WriteOnly:
	default:
		return invalid(path+".readWriteType", "The value must be one of All, ReadOnly and WriteOnly.")
	}
	if err := validateValues(path+".excludeManagementEventSources", b.ExcludeManagementEventSources,
		0, maxExcluded, maxSourceLength); err != nil {
		return err
	}
	if n := len(b.DataResources); n > maxDataResources {
		return invalid(path+".dataResources", "There may be at most %d data resources, not %d.", maxDataResources, n)
	}
	for i := range b.DataResources {
		r, path := &b.DataResources[i], fmt.Sprintf("%s.dataResources[%d]", path, i)
		if utf8.RuneCountInString(r.Type) > maxTypeLength || !dataResourceType.MatchString(r.Type) {
			return invalid(path+".type", "The type must be AWS::S3::Object, AWS::Lambda::Function, "+
				"AWS::DynamoDB::Table or K8S::<group>::<Kind>, of at most %d characters.", maxTypeLength)
		}
		if err := validateValues(path+".values", r.Values, 1, maxDataValues, maxValueLength); err != nil {
			return err
		}
	}
	return nil
}

func validateAdvanced(path string, a *v1alpha1.AdvancedEventSelector) error {
	if utf8.RuneCountInString(a.Name) > maxNameLength {
		return invalid(path+".name", "The name may have at most %d characters.", maxNameLength)
	}
	if n := len(a.FieldSelectors); n < 1 || n > maxFields {
		return invalid(path+".fieldSelectors", "There must be 1 to %d field selectors, not %d.", maxFields, n)
	}
	seen := make(map[v1alpha1.Field]bool, len(a.FieldSelectors))
	for i := range a.FieldSelectors {
		f := &a.FieldSelectors[i]
		if seen[f.Field] {
			return invalid(fmt.Sprintf("%s.fieldSelectors[%d]", path, i), "There may be one field selector for each field.")
		}
		seen[f.Field] = true
		if err := validateField(fmt.Sprintf("%s.fieldSelectors[%d]", path, i), f); err != nil {
			return err
		}
	}
	if !seen[v1alpha1.FieldEventCategory] {
		return invalid(path, "An advanced event selector needs exactly one field selector for eventCategory.")
	}
	return nil
}

func validateField(path string, f *v1alpha1.FieldSelector) error {
	operators := 0
	for _, op := range []struct {
		name   string
		values []string
	}{
		{"equals", f.Equals},
		{"startsWith", f.StartsWith},
		{"endsWith", f.EndsWith},
		{"notEquals", f.NotEquals},
		{"notStartsWith", f.NotStartsWith},
		{"notEndsWith", f.NotEndsWith},
	} {
		if op.values == nil {
			continue
		}
		operators++
		if err := validateValues(path+"."+op.name, op.values, 1, maxFieldValues, maxValueLength); err != nil {
			return err
		}
	}
	if operators == 0 {
		return invalid(path, "A field selector needs at least one operator.")
	}
	equalsOnly := operators == 1 && f.Equals != nil
	switch f.Field {
	case v1alpha1.FieldEventName, v1alpha1.FieldEventSource, v1alpha1.FieldEventType,
		v1alpha1.FieldResourcesARN, v1alpha1.FieldUserIdentityARN:
		return nil
	case v1alpha1.FieldEventCategory, v1alpha1.FieldReadOnly, v1alpha1.FieldResourcesType:
		if !equalsOnly {
			return invalid(path, "The fields eventCategory, readOnly and resources.type take the operator equals only.")
		}
	default:
		return invalid(path+".field", "The field must be one of eventCategory, readOnly, eventName, eventSource, "+
			"eventType, resources.type, resources.ARN and userIdentity.arn.")
	}
	if f.Field == v1alpha1.FieldEventCategory && !oneOf(f.Equals, "Management", "Data") {
		return invalid(path, "The field eventCategory must equal one of Management and Data.")
	}
	if f.Field == v1alpha1.FieldReadOnly && !oneOf(f.Equals, "true", "false") {
		return invalid(path, "The field readOnly must equal one of true and false.")
	}
	return nil
}

func oneOf(values []string, allowed ...string) bool {
	return len(values) == 1 && slices.Contains(allowed, values[0])
}

// validateValues checks a list of distinct, bounded, non-empty strings.
// Lengths are in characters, as in an OpenAPI schema.
func validateValues(path string, values []string, least, most, length int) error {
	if n := len(values); n < least || n > most {
		return invalid(path, "There must be %d to %d values, not %d.", least, most, n)
	}
	for i, v := range values {
		if n := utf8.RuneCountInString(v); n < 1 || n > length {
			return invalid(fmt.Sprintf("%s[%d]", path, i), "The value must have 1 to %d characters, not %d.", length, n)
		}
		if slices.Contains(values[:i], v) {
			return invalid(fmt.Sprintf("%s[%d]", path, i), "The value stands in the list twice.")
		}
	}
	return nil
}
