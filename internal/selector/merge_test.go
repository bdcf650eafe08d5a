package selector_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"pgregory.net/rapid"

	"github.com/trail-operator/trail-operator/api/v1alpha1"
	"github.com/trail-operator/trail-operator/internal/record"
	"github.com/trail-operator/trail-operator/internal/selector"
)

// TestMergeSelectsWhatAnySelects: exactly that, in either form, and a receiver
// can load it.
func TestMergeSelectsWhatAnySelects(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		selections := rapid.SliceOfN(rapid.Custom(drawSelection), 0, 4).Draw(t, "selections")
		f := drawFacts(t)
		m, err := selector.Merge(selections)
		if err != nil {
			t.Fatal(err)
		}
		if (m.Basic == nil) == (m.Advanced == nil) {
			t.Fatalf("not exactly one form: %+v", m)
		}
		if m.Advanced != nil && !slices.ContainsFunc(selections, func(s v1alpha1.EventSelection) bool { return s.Advanced != nil }) {
			t.Fatal("advanced without need")
		}
		s, err := selector.Compile(m, "")
		if err != nil {
			t.Fatal(err)
		}
		want := slices.ContainsFunc(selections, func(sel v1alpha1.EventSelection) bool { return reference(sel, f) })
		if got := s.Match(&f); got != want {
			t.Fatalf("want %v, got %v from %+v", want, got, m)
		}
	})
}

// TestMergeConvertsExactly: beside an advanced selection, a basic one selects
// what it selected alone. The events are near its values, where a wrong
// operator shows.
func TestMergeConvertsExactly(t *testing.T) {
	never := v1alpha1.EventSelection{Advanced: []v1alpha1.AdvancedEventSelector{{FieldSelectors: []v1alpha1.FieldSelector{
		{Field: v1alpha1.FieldEventCategory, Equals: []string{"Management"}}, {Field: v1alpha1.FieldEventName, Equals: []string{"never"}},
	}}}}
	rapid.Check(t, func(t *rapid.T) {
		b := drawBasic(t)
		basic := v1alpha1.EventSelection{Basic: []v1alpha1.BasicEventSelector{b}}
		m, err := selector.Merge([]v1alpha1.EventSelection{basic, never})
		if err != nil {
			t.Fatal(err)
		}
		s, err := selector.Compile(m, "")
		if err != nil {
			t.Fatal(err)
		}
		near := slices.Clone(b.ExcludeManagementEventSources)
		for _, r := range b.DataResources {
			near = append(near, r.Values...)
		}
		for _, v := range append(near, "c") {
			for _, v := range []string{v, v + "c", "c" + v, v[1:]} {
				f := drawFacts(t)
				f.EventSource = v
				f.Resources = append(f.Resources, record.FactResource{Type: rapid.SampledFrom(resourceTypes).Draw(t, "type"), ARN: v})
				if got, want := s.Match(&f), reference(basic, f); got != want {
					t.Fatalf("%+v: want %v, got %v from %+v", f, want, got, m)
				}
			}
		}
	})
}

func values(n int) []string {
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprintf("arn:%d", i)
	}
	return list
}

func TestMerge(t *testing.T) {
	yes, no := true, false
	field := func(name v1alpha1.Field, equals ...string) v1alpha1.FieldSelector {
		return v1alpha1.FieldSelector{Field: name, Equals: equals}
	}
	management, data := field("eventCategory", "Management"), field("eventCategory", "Data")
	exec := v1alpha1.AdvancedEventSelector{Name: "exec", FieldSelectors: []v1alpha1.FieldSelector{management, field("eventName", "ExecPod")}}
	renamed := exec
	renamed.Name = "another name"
	advanced := func(fields ...v1alpha1.FieldSelector) v1alpha1.AdvancedEventSelector {
		return v1alpha1.AdvancedEventSelector{FieldSelectors: fields}
	}
	basic := func(list ...v1alpha1.BasicEventSelector) v1alpha1.EventSelection {
		return v1alpha1.EventSelection{Basic: list}
	}
	everything := v1alpha1.BasicEventSelector{
		ReadWriteType: v1alpha1.WriteOnly, IncludeManagementEvents: &yes, ExcludeManagementEventSources: []string{"coordination.k8s.io"},
		DataResources: []v1alpha1.DataResource{
			{Type: "AWS::S3::Object", Values: []string{"arn:aws:s3:::b/", "arn:aws:s3:::a/"}},
			{Type: "AWS::Lambda::Function", Values: []string{"arn:f", "arn:aws:lambda"}},
			{Type: "AWS::DynamoDB::Table", Values: []string{"arn:t"}},
			{Type: "AWS::S3::Object", Values: []string{"arn:aws:s3:::a/"}},
		},
	}
	write := field("readOnly", "false")
	for name, tc := range map[string]struct {
		in   []v1alpha1.EventSelection
		want v1alpha1.EventSelection
	}{
		"none":          {nil, basic(v1alpha1.BasicEventSelector{IncludeManagementEvents: &no})},
		"default":       {[]v1alpha1.EventSelection{{}}, basic(v1alpha1.BasicEventSelector{})},
		"basic, once":   {[]v1alpha1.EventSelection{basic(everything), basic(v1alpha1.BasicEventSelector{}, everything)}, basic(everything, v1alpha1.BasicEventSelector{})},
		"advanced once": {[]v1alpha1.EventSelection{{Advanced: []v1alpha1.AdvancedEventSelector{exec}}, {Advanced: []v1alpha1.AdvancedEventSelector{renamed}}}, v1alpha1.EventSelection{Advanced: []v1alpha1.AdvancedEventSelector{exec}}},
		"mixed": {[]v1alpha1.EventSelection{basic(everything), {Advanced: []v1alpha1.AdvancedEventSelector{exec}}}, v1alpha1.EventSelection{Advanced: []v1alpha1.AdvancedEventSelector{
			advanced(management, write, v1alpha1.FieldSelector{Field: "eventSource", NotEquals: []string{"coordination.k8s.io"}}),
			advanced(data, write, field("resources.type", "AWS::S3::Object"), v1alpha1.FieldSelector{Field: "resources.ARN", StartsWith: []string{"arn:aws:s3:::a/", "arn:aws:s3:::b/"}}),
			advanced(data, write, field("resources.type", "AWS::Lambda::Function")),
			advanced(data, write, field("resources.type", "AWS::DynamoDB::Table"), field("resources.ARN", "arn:t")),
			exec,
		}}},
		"nothing and advanced": {[]v1alpha1.EventSelection{basic(v1alpha1.BasicEventSelector{IncludeManagementEvents: &no}), {Advanced: []v1alpha1.AdvancedEventSelector{exec}}}, v1alpha1.EventSelection{Advanced: []v1alpha1.AdvancedEventSelector{exec}}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := selector.Merge(tc.in)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(tc.want, got); d != "" {
				t.Error(d)
			}
		})
	}
}

// TestMergeSplitsLongLists: 250 values of a basic selector are three lists of
// the advanced form, and they still select what they did.
func TestMergeSplitsLongLists(t *testing.T) {
	b := v1alpha1.BasicEventSelector{DataResources: []v1alpha1.DataResource{{Type: "AWS::DynamoDB::Table", Values: values(250)}}}
	m, err := selector.Merge([]v1alpha1.EventSelection{
		{Basic: []v1alpha1.BasicEventSelector{b}},
		{Advanced: []v1alpha1.AdvancedEventSelector{{FieldSelectors: []v1alpha1.FieldSelector{{Field: "eventCategory", Equals: []string{"Management"}}}}}},
	})
	if err != nil || len(m.Advanced) != 4 { // all management events stand in it once
		t.Fatalf("%d selectors, %v", len(m.Advanced), err)
	}
	s, err := selector.Compile(m, "")
	if err != nil {
		t.Fatal(err)
	}
	for _, arn := range values(250) {
		if f := data(true, record.FactResource{Type: "AWS::DynamoDB::Table", ARN: arn}); !s.Match(&f) {
			t.Errorf("%s is lost", arn)
		}
	}
}

func TestMergeIsBounded(t *testing.T) {
	selections := func(n int, one func(i int) v1alpha1.EventSelection) (list []v1alpha1.EventSelection) {
		for i := range n {
			list = append(list, one(i))
		}
		return list
	}
	name := func(i int, of string) []string { return []string{fmt.Sprintf("%s%d", of, i)} }
	one := func(i int) v1alpha1.EventSelection {
		return v1alpha1.EventSelection{Advanced: []v1alpha1.AdvancedEventSelector{{FieldSelectors: []v1alpha1.FieldSelector{
			{Field: "eventCategory", Equals: []string{"Management"}}, {Field: "eventName", Equals: name(i, "Event")},
		}}}}
	}
	long := func(i int) v1alpha1.EventSelection {
		s := one(i)
		s.Advanced[0].FieldSelectors[1].Equals = name(i, strings.Repeat("x", 2040))
		s.Advanced[0].FieldSelectors[1].NotEquals = name(i, strings.Repeat("y", 2040))
		return s
	}
	source := func(i int) v1alpha1.EventSelection {
		return v1alpha1.EventSelection{Basic: []v1alpha1.BasicEventSelector{{ExcludeManagementEventSources: name(i, "source")}}}
	}
	tables := func(i int) v1alpha1.EventSelection {
		b := v1alpha1.BasicEventSelector{}
		for j := range 50 {
			b.DataResources = append(b.DataResources, v1alpha1.DataResource{Type: fmt.Sprintf("K8S::g%d::Kind", j), Values: name(i, "v")})
		}
		return v1alpha1.EventSelection{Basic: []v1alpha1.BasicEventSelector{b}}
	}
	for caption, tc := range map[string]struct {
		in   []v1alpha1.EventSelection
		want string
	}{
		"a hundred advanced":    {selections(100, one), ""},
		"too many advanced":     {selections(101, one), "1 to 100 advanced event selectors"},
		"a hundred basic":       {selections(100, source), ""},
		"too many basic":        {selections(101, source), "1 to 100 basic event selectors"},
		"250 data resources":    {selections(5, tables), ""},
		"too many of them":      {selections(6, tables), "at most 250 data resources in all"},
		"too many for advanced": {append(selections(2, tables), one(0)), "1 to 100 advanced event selectors"},
		"too long":              {selections(70, long), "at most 262144 are possible"},
	} {
		t.Run(caption, func(t *testing.T) {
			m, err := selector.Merge(tc.in)
			if tc.want != "" {
				if err == nil || !strings.Contains(err.Error(), tc.want) || !strings.HasSuffix(err.Error(), ".") || len(err.Error()) > 300 {
					t.Errorf("got %v, want %q", err, tc.want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if _, err := selector.Compile(m, ""); err != nil {
				t.Error(err)
			}
		})
	}
}

func eventSelector(name, kind string, sel v1alpha1.EventSelection) v1alpha1.EventSelector {
	return v1alpha1.EventSelector{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "shop", Labels: map[string]string{"kind": kind}},
		Spec:       v1alpha1.EventSelectorSpec{EventSelection: sel},
	}
}

func TestEffective(t *testing.T) {
	reads := v1alpha1.BasicEventSelector{ReadWriteType: v1alpha1.ReadOnly}
	writes := v1alpha1.BasicEventSelector{ReadWriteType: v1alpha1.WriteOnly}
	basic := func(list ...v1alpha1.BasicEventSelector) v1alpha1.EventSelection {
		return v1alpha1.EventSelection{Basic: list}
	}
	present := []v1alpha1.EventSelector{
		eventSelector("writes", "a", basic(writes)), eventSelector("reads", "a", basic(reads)),
		eventSelector("broken", "b", basic(v1alpha1.BasicEventSelector{ReadWriteType: "Both"})),
		eventSelector("empty", "c", v1alpha1.EventSelection{}),
	}
	for i := range 21 {
		present = append(present, eventSelector(fmt.Sprintf("many-%d", i), "many", basic(reads)))
	}
	refs := func(names ...string) (s v1alpha1.TrailSpec) {
		for _, n := range names {
			s.EventSelectorRefs = append(s.EventSelectorRefs, v1alpha1.EventSelectorRef{Name: n})
		}
		return s
	}
	labels := func(kind string) v1alpha1.TrailSpec {
		return v1alpha1.TrailSpec{EventSelectorLabels: &metav1.LabelSelector{MatchLabels: map[string]string{"kind": kind}}}
	}
	inline := basic(v1alpha1.BasicEventSelector{ReadWriteType: "Both"})
	for name, tc := range map[string]struct {
		spec  v1alpha1.TrailSpec
		want  v1alpha1.EventSelection
		fails string
	}{
		"nothing set":       {v1alpha1.TrailSpec{}, basic(v1alpha1.BasicEventSelector{}), ""},
		"inline":            {v1alpha1.TrailSpec{EventSelectors: &present[0].Spec.EventSelection}, basic(writes), ""},
		"invalid inline":    {v1alpha1.TrailSpec{EventSelectors: &inline}, basic(), "readWriteType"},
		"one name":          {refs("writes"), basic(writes), ""},
		"names in order":    {refs("writes", "reads"), basic(reads, writes), ""},
		"the other order":   {refs("reads", "writes"), basic(reads, writes), ""},
		"missing name":      {refs("writes", "absent"), basic(), "There is no EventSelector absent in the namespace shop. Create it"},
		"labels":            {labels("a"), basic(reads, writes), ""},
		"nothing labeled":   {labels("z"), basic(), "No EventSelector in the namespace shop has the labels"},
		"too many labeled":  {labels("many"), basic(), "21 EventSelectors in the namespace shop have these labels"},
		"invalid":           {refs("broken"), basic(), "the EventSelector broken is invalid: basic[0].readWriteType"},
		"without any":       {labels("c"), basic(), "the EventSelector empty is invalid: spec: Set exactly one"},
		"no label selector": {v1alpha1.TrailSpec{EventSelectorLabels: &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "k", Operator: "Near"}}}}, basic(), "This is no label selector"},
		"too many names":    {refs(values(21)...), basic(), "at most 20 references"},
	} {
		t.Run(name, func(t *testing.T) {
			trail := &v1alpha1.Trail{Spec: tc.spec}
			got, err := selector.Effective(trail, "shop", present)
			if tc.fails != "" {
				if err == nil || !strings.Contains(err.Error(), tc.fails) || !strings.HasSuffix(err.Error(), ".") {
					t.Errorf("got %v, want %q", err, tc.fails)
				}
				return
			}
			if d := cmp.Diff(tc.want, got); err != nil || d != "" {
				t.Error(err, d)
			}
		})
	}
}

func TestDescribe(t *testing.T) {
	for selection, want := range map[string]string{
		`null`:           "Selects all management events.",
		`{"basic":[{}]}`: "Selects all management events.",
		`{"basic":[{"readWriteType":"WriteOnly"}]}`:     "Selects write management events.",
		`{"basic":[{"includeManagementEvents":false}]}`: "Selects no events.",
		`{"basic":[{"readWriteType":"ReadOnly","dataResources":[{"type":"AWS::S3::Object","values":["a"]},{"type":"K8S::g::K","values":["b"]}]}]}`: "Selects read management events; read data events of chosen resources of the type AWS::S3::Object and K8S::g::K.",
		`{"basic":[{"excludeManagementEventSources":["a","b","c","d","e","f","g"]}]}`:                                                              "Selects all management events but those of a, b, c, d, e and 2 more.",
		`{"advanced":[{"fieldSelectors":[{"field":"eventCategory","equals":["Data"]}]}]}`:                                                          "Selects all data events.",
		`{"advanced":[{"name":"execs\nand more","fieldSelectors":[{"field":"eventCategory","equals":["Management"]},{"field":"readOnly","equals":["false"]},` +
			`{"field":"resources.type","equals":["K8S::core::Pod"]},{"field":"userIdentity.arn","notEquals":["x"]},{"field":"eventName","equals":["ExecPod"]}]}]}`: "Selects write management events of the type K8S::core::Pod chosen by eventName and userIdentity.arn (execs and more).",
	} {
		if got := selector.Describe(parse(t, selection)); got != want {
			t.Errorf("%s:\n got %s\nwant %s", selection, got, want)
		}
	}
}

// TestDescribeIsBounded: one sentence, whatever is selected.
func TestDescribeIsBounded(t *testing.T) {
	var many v1alpha1.EventSelection
	for i := range 20 {
		many.Advanced = append(many.Advanced, v1alpha1.AdvancedEventSelector{
			Name: strings.Repeat(fmt.Sprintf("ä%d", i), 300),
			FieldSelectors: []v1alpha1.FieldSelector{
				{Field: "eventCategory", Equals: []string{"Data"}}, {Field: "resources.type", Equals: values(100)},
			},
		})
	}
	got := selector.Describe(many)
	if len(got) > 4096 || strings.ContainsAny(got, "\n") || !strings.HasSuffix(got, "; what 14 more selectors select.") {
		t.Errorf("%d bytes: %s", len(got), got)
	}
	rapid.Check(t, func(t *rapid.T) {
		if got := selector.Describe(drawSelection(t)); !strings.HasPrefix(got, "Selects ") || len(got) > 4096 {
			t.Errorf("%s", got)
		}
	})
}
