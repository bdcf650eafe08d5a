package selector

import (
	"fmt"
	"slices"

	"github.com/trail-operator/trail-operator/api/v1alpha1"
	"github.com/trail-operator/trail-operator/internal/record"
)

// maxMergedBytes bounds the JSON of a merged selection: the receiver's file of
// a trail has room for twice as much.
const maxMergedBytes = 256 << 10

// Merge returns a selection that selects an event exactly when one of the given
// ones does; of none, it selects nothing. If all are basic the result is, else
// it is advanced. It may have more selectors than the API server takes from a
// user, up to what Compile takes; beyond that there is an error, a sentence for
// the author of the trail. The given selections must be valid.
func Merge(selections []v1alpha1.EventSelection) (v1alpha1.EventSelection, error) {
	m := merger{present: map[string]bool{}}
	m.advanced = slices.ContainsFunc(selections, func(s v1alpha1.EventSelection) bool { return s.Advanced != nil })
	for i := range selections {
		m.add(&selections[i])
	}
	if err := validateWithin(&m.out, merged); err != nil {
		return v1alpha1.EventSelection{}, fmt.Errorf("together the selections are too large: %w", err)
	}
	if n := len(record.MustJSON(m.out)); n > maxMergedBytes {
		return v1alpha1.EventSelection{}, invalid("together the selections are too large", "They have %d bytes, and at most %d are possible.", n, maxMergedBytes)
	}
	if m.out.Basic == nil && m.out.Advanced == nil {
		none := false
		m.out.Basic = []v1alpha1.BasicEventSelector{{IncludeManagementEvents: &none}}
	}
	return m.out, nil
}

// merger collects selectors, each once.
type merger struct {
	advanced bool // the form of out
	present  map[string]bool
	out      v1alpha1.EventSelection
}

func (m *merger) add(s *v1alpha1.EventSelection) {
	basic := s.Basic
	if basic == nil && s.Advanced == nil { // the default
		basic = []v1alpha1.BasicEventSelector{{}}
	}
	for i := range basic {
		switch {
		case m.advanced:
			m.addAdvanced(asAdvanced(&basic[i]))
		case m.isNew(record.MustJSON(basic[i])):
			m.out.Basic = append(m.out.Basic, basic[i])
		}
	}
	m.addAdvanced(s.Advanced)
}

func (m *merger) addAdvanced(list []v1alpha1.AdvancedEventSelector) {
	for i := range list {
		if m.isNew(record.MustJSON(list[i].FieldSelectors)) { // whatever its name
			m.out.Advanced = append(m.out.Advanced, list[i])
		}
	}
}

func (m *merger) isNew(identity []byte) bool {
	key := string(identity)
	known := m.present[key]
	m.present[key] = true
	return !known
}

// asAdvanced returns advanced selectors that together select what b does.
func asAdvanced(b *v1alpha1.BasicEventSelector) []v1alpha1.AdvancedEventSelector {
	var list []v1alpha1.AdvancedEventSelector
	add := func(category string, more ...v1alpha1.FieldSelector) {
		fields := []v1alpha1.FieldSelector{{Field: v1alpha1.FieldEventCategory, Equals: []string{category}}}
		switch b.ReadWriteType {
		case v1alpha1.ReadOnly:
			fields = append(fields, v1alpha1.FieldSelector{Field: v1alpha1.FieldReadOnly, Equals: []string{"true"}})
		case v1alpha1.WriteOnly:
			fields = append(fields, v1alpha1.FieldSelector{Field: v1alpha1.FieldReadOnly, Equals: []string{"false"}})
		}
		list = append(list, v1alpha1.AdvancedEventSelector{FieldSelectors: append(fields, more...)})
	}
	if b.IncludeManagementEvents == nil || *b.IncludeManagementEvents {
		if excluded := b.ExcludeManagementEventSources; len(excluded) > 0 {
			add(record.CategoryManagement, v1alpha1.FieldSelector{Field: v1alpha1.FieldEventSource, NotEquals: excluded})
		} else {
			add(record.CategoryManagement)
		}
	}
	for _, r := range byType(b.DataResources) {
		ofType := v1alpha1.FieldSelector{Field: v1alpha1.FieldResourcesType, Equals: []string{r.Type}}
		every, whole := everyResource[r.Type]
		if whole && slices.Contains(r.Values, every) {
			add(record.CategoryData, ofType)
			continue
		}
		for values := range slices.Chunk(r.Values, maxFieldValues) {
			arn := v1alpha1.FieldSelector{Field: v1alpha1.FieldResourcesARN}
			if whole {
				arn.Equals = values
			} else {
				arn.StartsWith = values
			}
			add(record.CategoryData, ofType, arn)
		}
	}
	return list
}

// byType joins the values of data resources of one type.
func byType(list []v1alpha1.DataResource) []v1alpha1.DataResource {
	var joined []v1alpha1.DataResource
	for _, r := range list {
		i := slices.IndexFunc(joined, func(j v1alpha1.DataResource) bool { return j.Type == r.Type })
		if i < 0 {
			i = len(joined)
			joined = append(joined, v1alpha1.DataResource{Type: r.Type})
		}
		joined[i].Values = append(joined[i].Values, r.Values...)
	}
	for i := range joined {
		slices.Sort(joined[i].Values)
		joined[i].Values = slices.Compact(joined[i].Values)
	}
	return joined
}
