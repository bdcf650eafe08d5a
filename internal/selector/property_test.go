package selector_test

import (
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/trail-operator/trail-operator/api/v1alpha1"
	"github.com/trail-operator/trail-operator/internal/record"
	"github.com/trail-operator/trail-operator/internal/selector"
)

// Few letters, so that values are often equal to, or affixes of, each other.
var word = rapid.StringMatching(`[ab/]{1,4}`)

func words(t *rapid.T, label string, most int) []string {
	return rapid.SliceOfNDistinct(word, 0, most, rapid.ID).Draw(t, label)
}

func orNil(values []string) []string {
	if len(values) == 0 {
		return nil
	}
	return values
}

var resourceTypes = []string{"AWS::S3::Object", "AWS::Lambda::Function", "AWS::DynamoDB::Table", "K8S::core::Pod"}

func drawSelection(t *rapid.T) v1alpha1.EventSelection {
	switch rapid.IntRange(0, 2).Draw(t, "form") {
	case 0:
		return v1alpha1.EventSelection{Basic: rapid.SliceOfN(rapid.Custom(drawBasic), 1, 3).Draw(t, "basic")}
	case 1:
		return v1alpha1.EventSelection{Advanced: rapid.SliceOfN(rapid.Custom(drawAdvanced), 1, 3).Draw(t, "advanced")}
	}
	return v1alpha1.EventSelection{}
}

func drawBasic(t *rapid.T) v1alpha1.BasicEventSelector {
	rw := rapid.SampledFrom([]v1alpha1.ReadWriteType{"", v1alpha1.ReadWriteAll, v1alpha1.ReadOnly, v1alpha1.WriteOnly})
	resource := rapid.Custom(func(t *rapid.T) v1alpha1.DataResource {
		value := rapid.OneOf(word, rapid.SampledFrom([]string{"arn:aws:lambda", "arn:aws:dynamodb"}))
		return v1alpha1.DataResource{
			Type:   rapid.SampledFrom(resourceTypes).Draw(t, "type"),
			Values: rapid.SliceOfNDistinct(value, 1, 3, rapid.ID).Draw(t, "values"),
		}
	})
	return v1alpha1.BasicEventSelector{
		ReadWriteType:                 rw.Draw(t, "readWriteType"),
		IncludeManagementEvents:       rapid.Ptr(rapid.Bool(), true).Draw(t, "includeManagementEvents"),
		ExcludeManagementEventSources: words(t, "excluded", 3),
		DataResources:                 rapid.SliceOfN(resource, 0, 3).Draw(t, "dataResources"),
	}
}

func drawAdvanced(t *rapid.T) v1alpha1.AdvancedEventSelector {
	fields := []v1alpha1.FieldSelector{{
		Field:  v1alpha1.FieldEventCategory,
		Equals: []string{rapid.SampledFrom([]string{"Management", "Data"}).Draw(t, "category")},
	}}
	for _, field := range []v1alpha1.Field{
		v1alpha1.FieldReadOnly, v1alpha1.FieldResourcesType, v1alpha1.FieldEventName, v1alpha1.FieldEventSource,
		v1alpha1.FieldEventType, v1alpha1.FieldResourcesARN, v1alpha1.FieldUserIdentityARN,
	} {
		if rapid.Bool().Draw(t, "leave out "+string(field)) {
			continue
		}
		f := v1alpha1.FieldSelector{Field: field}
		switch field {
		case v1alpha1.FieldReadOnly:
			f.Equals = []string{rapid.SampledFrom([]string{"true", "false"}).Draw(t, "readOnly")}
		case v1alpha1.FieldResourcesType:
			f.Equals = rapid.SliceOfNDistinct(rapid.SampledFrom(resourceTypes), 1, 2, rapid.ID).Draw(t, "types")
		default:
			for _, op := range []*[]string{&f.Equals, &f.StartsWith, &f.EndsWith, &f.NotEquals, &f.NotStartsWith, &f.NotEndsWith} {
				if rapid.IntRange(0, 3).Draw(t, "operator") == 0 {
					*op = orNil(words(t, "values", 5))
				}
			}
			if slices.Concat(f.Equals, f.StartsWith, f.EndsWith, f.NotEquals, f.NotStartsWith, f.NotEndsWith) == nil {
				f.NotEquals = []string{"a"}
			}
		}
		fields = append(fields, f)
	}
	return v1alpha1.AdvancedEventSelector{FieldSelectors: fields}
}

func drawFacts(t *rapid.T) record.Facts {
	resource := rapid.Custom(func(t *rapid.T) record.FactResource {
		return record.FactResource{
			Type: rapid.SampledFrom(resourceTypes).Draw(t, "type"),
			ARN:  rapid.StringMatching(`[ab/]{0,6}`).Draw(t, "arn"),
		}
	})
	return record.Facts{
		Category:    rapid.SampledFrom([]string{"Management", "Data"}).Draw(t, "category"),
		ReadOnly:    rapid.Bool().Draw(t, "readOnly"),
		EventName:   word.Draw(t, "eventName"),
		EventSource: word.Draw(t, "eventSource"),
		EventType:   word.Draw(t, "eventType"),
		UserARN:     rapid.StringMatching(`[ab/]{0,4}`).Draw(t, "userARN"),
		Namespace:   rapid.SampledFrom([]string{"", "a", "b"}).Draw(t, "namespace"),
		Resources:   rapid.SliceOfN(resource, 0, 3).Draw(t, "resources"),
	}
}

// TestTenancy: whatever a tenant selects, it gets no event of another
// namespace, and inside its own a namespace changes nothing.
func TestTenancy(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		sel, f := drawSelection(t), drawFacts(t)
		namespace := rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "namespace of the trail")
		tenant, err := selector.Compile(sel, namespace)
		if err != nil {
			t.Fatal(err)
		}
		cluster, err := selector.Compile(sel, "")
		if err != nil {
			t.Fatal(err)
		}
		if want := f.Namespace == namespace && cluster.Match(&f); tenant.Match(&f) != want {
			t.Fatalf("event of namespace %q: want %v from the selector of %q", f.Namespace, want, namespace)
		}
	})
}

func TestMatchEqualsReference(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		sel, f := drawSelection(t), drawFacts(t)
		s, err := selector.Compile(sel, "")
		if err != nil {
			t.Fatal(err)
		}
		if got, want := s.Match(&f), reference(sel, f); got != want {
			t.Fatalf("want %v, got %v", want, got)
		}
	})
}

// reference evaluates a selection as its documentation reads.
func reference(sel v1alpha1.EventSelection, f record.Facts) bool {
	if sel.Basic == nil && sel.Advanced == nil {
		return f.Category == record.CategoryManagement
	}
	return slices.ContainsFunc(sel.Basic, func(b v1alpha1.BasicEventSelector) bool { return referenceBasic(b, f) }) ||
		slices.ContainsFunc(sel.Advanced, func(a v1alpha1.AdvancedEventSelector) bool { return referenceAdvanced(a, f) })
}

func referenceBasic(b v1alpha1.BasicEventSelector, f record.Facts) bool {
	if b.ReadWriteType == v1alpha1.ReadOnly && !f.ReadOnly || b.ReadWriteType == v1alpha1.WriteOnly && f.ReadOnly {
		return false
	}
	if f.Category == record.CategoryManagement {
		return (b.IncludeManagementEvents == nil || *b.IncludeManagementEvents) &&
			!slices.Contains(b.ExcludeManagementEventSources, f.EventSource)
	}
	for _, want := range b.DataResources {
		for _, r := range f.Resources {
			for _, value := range want.Values {
				var matches bool
				switch want.Type {
				case "AWS::Lambda::Function":
					matches = value == "arn:aws:lambda" || r.ARN == value
				case "AWS::DynamoDB::Table":
					matches = value == "arn:aws:dynamodb" || r.ARN == value
				default:
					matches = strings.HasPrefix(r.ARN, value)
				}
				if matches && r.Type == want.Type {
					return true
				}
			}
		}
	}
	return false
}

func referenceAdvanced(a v1alpha1.AdvancedEventSelector, f record.Facts) bool {
	fields := map[v1alpha1.Field]v1alpha1.FieldSelector{}
	for _, fs := range a.FieldSelectors {
		fields[fs.Field] = fs
	}
	readOnly := "false"
	if f.ReadOnly {
		readOnly = "true"
	}
	for field, value := range map[v1alpha1.Field]string{
		v1alpha1.FieldEventCategory: f.Category, v1alpha1.FieldReadOnly: readOnly, v1alpha1.FieldEventName: f.EventName,
		v1alpha1.FieldEventSource: f.EventSource, v1alpha1.FieldEventType: f.EventType, v1alpha1.FieldUserIdentityARN: f.UserARN,
	} {
		if fs, ok := fields[field]; ok && !(positive(fs, value) && !negative(fs, value)) {
			return false
		}
	}
	types, hasType := fields[v1alpha1.FieldResourcesType]
	arn, hasARN := fields[v1alpha1.FieldResourcesARN]
	var typed []record.FactResource
	for _, r := range f.Resources {
		if !hasType || slices.Contains(types.Equals, r.Type) {
			typed = append(typed, r)
		}
	}
	if hasType && len(typed) == 0 {
		return false
	}
	if !hasARN {
		return true
	}
	if slices.ContainsFunc(typed, func(r record.FactResource) bool { return negative(arn, r.ARN) }) {
		return false
	}
	return arn.Equals == nil && arn.StartsWith == nil && arn.EndsWith == nil ||
		slices.ContainsFunc(typed, func(r record.FactResource) bool { return positive(arn, r.ARN) })
}

func positive(fs v1alpha1.FieldSelector, s string) bool {
	return (fs.Equals == nil || slices.Contains(fs.Equals, s)) &&
		(fs.StartsWith == nil || slices.ContainsFunc(fs.StartsWith, func(v string) bool { return strings.HasPrefix(s, v) })) &&
		(fs.EndsWith == nil || slices.ContainsFunc(fs.EndsWith, func(v string) bool { return strings.HasSuffix(s, v) }))
}

func negative(fs v1alpha1.FieldSelector, s string) bool {
	return slices.Contains(fs.NotEquals, s) ||
		slices.ContainsFunc(fs.NotStartsWith, func(v string) bool { return strings.HasPrefix(s, v) }) ||
		slices.ContainsFunc(fs.NotEndsWith, func(v string) bool { return strings.HasSuffix(s, v) })
}

// FuzzCompile: no selection makes Compile or Match panic, and a tenant stays
// in its namespace.
func FuzzCompile(f *testing.F) {
	file, err := os.ReadFile(acceptFile)
	if err != nil {
		f.Fatal(err)
	}
	var cases []acceptCase
	if err := json.Unmarshal(file, &cases); err != nil {
		f.Fatal(err)
	}
	for _, c := range cases {
		f.Add([]byte(c.Selection), "eventName", "shop")
	}
	f.Fuzz(func(t *testing.T, text []byte, value, namespace string) {
		var sel v1alpha1.EventSelection
		if json.Unmarshal(text, &sel) != nil {
			return
		}
		s, err := selector.Compile(sel, "shop")
		if err != nil {
			return
		}
		facts := record.Facts{
			Category: record.CategoryManagement, EventName: value, EventSource: value, EventType: value, UserARN: value,
			Namespace: namespace, Resources: []record.FactResource{{Type: value, ARN: value}},
		}
		for _, facts.Category = range []string{record.CategoryManagement, record.CategoryData} {
			if s.Match(&facts) && namespace != "shop" {
				t.Fatalf("matches an event of namespace %q", namespace)
			}
		}
	})
}

func BenchmarkMatch(b *testing.B) {
	advanced := `{"advanced":[{"fieldSelectors":[{"field":"eventCategory","equals":["Management"]},` +
		`{"field":"eventSource","notEquals":["coordination.k8s.io"]},{"field":"userIdentity.arn","notStartsWith":["arn:k8s:core:eu-west:123456789012:kube-system/"]},` +
		`{"field":"resources.type","equals":["K8S::apps::Deployment"]},{"field":"resources.ARN","startsWith":["arn:k8s:apps:","arn:k8s:core:"],"notEndsWith":["/status"]}]}]}`
	values := make([]string, 100)
	for i := range values {
		values[i] = strings.Repeat("x", i%50) + string(rune('a'+i%26)) + strings.Repeat("y", i)
	}
	field := v1alpha1.FieldSelector{
		Field: v1alpha1.FieldEventName, Equals: values, StartsWith: values, EndsWith: values,
		NotEquals: values, NotStartsWith: values, NotEndsWith: values,
	}
	var worst v1alpha1.EventSelection
	for range 20 {
		s := v1alpha1.AdvancedEventSelector{FieldSelectors: []v1alpha1.FieldSelector{{Field: v1alpha1.FieldEventCategory, Equals: []string{"Management"}}}}
		for _, name := range []v1alpha1.Field{v1alpha1.FieldEventName, v1alpha1.FieldEventSource, v1alpha1.FieldEventType, v1alpha1.FieldResourcesARN, v1alpha1.FieldUserIdentityARN} {
			field.Field, field.Equals, field.StartsWith, field.EndsWith = name, nil, nil, nil
			s.FieldSelectors = append(s.FieldSelectors, field)
		}
		s.FieldSelectors = append(s.FieldSelectors, v1alpha1.FieldSelector{Field: v1alpha1.FieldReadOnly, Equals: []string{"true"}})
		worst.Advanced = append(worst.Advanced, s)
	}
	for i := range worst.Advanced { // the last of everything is what fails
		worst.Advanced[i].FieldSelectors[4].NotEndsWith = []string{"/web"}
		worst.Advanced[i].FieldSelectors[6].Equals = []string{"false"}
	}
	text, err := json.Marshal(worst)
	if err != nil {
		b.Fatal(err)
	}
	for name, selection := range map[string]string{"default": `null`, "advanced": advanced, "largest": string(text)} {
		b.Run(name, func(b *testing.B) {
			s, f := compile(b, selection, "shop"), management("CreateDeployment", false)
			b.ReportAllocs()
			for b.Loop() {
				s.Match(&f)
			}
		})
	}
}

func TestMatchDoesNotAllocate(t *testing.T) {
	s, f := compile(t, basicData("AWS::S3::Object", "arn:aws:s3:::b/"), "shop"), data(true, object("arn:aws:s3:::b/k"))
	if n := testing.AllocsPerRun(100, func() { s.Match(&f) }); n != 0 {
		t.Errorf("want no allocations, got %v", n)
	}
}
