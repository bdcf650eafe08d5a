package selector

import (
	"fmt"
	"slices"
	"strings"

	"github.com/trail-operator/trail-operator/api/v1alpha1"
	"github.com/trail-operator/trail-operator/internal/record"
)

// Bounds of a description: selectors, values of a list, and characters of a value.
const (
	maxDescribed      = 6
	maxDescribedList  = 5
	maxDescribedValue = 100
)

// Describe says in one sentence what a valid selection selects.
func Describe(sel v1alpha1.EventSelection) string {
	var parts []string
	add := func(part string) {
		if !slices.Contains(parts, part) {
			parts = append(parts, part)
		}
	}
	if sel.Basic == nil && sel.Advanced == nil {
		add("all management events")
	}
	for i := range sel.Basic {
		for _, part := range describeBasic(&sel.Basic[i]) {
			add(part)
		}
	}
	for i := range sel.Advanced {
		add(describeAdvanced(&sel.Advanced[i]))
	}
	switch more := len(parts) - maxDescribed; {
	case len(parts) == 0:
		add("no events")
	case more == 1:
		parts = append(parts[:maxDescribed], "what one more selector selects")
	case more > 1:
		parts = append(parts[:maxDescribed], fmt.Sprintf("what %d more selectors select", more))
	}
	return "Selects " + strings.Join(parts, "; ") + "."
}

func describeBasic(b *v1alpha1.BasicEventSelector) []string {
	which, category := "all ", ""
	switch b.ReadWriteType {
	case v1alpha1.ReadOnly:
		which = "read "
	case v1alpha1.WriteOnly:
		which = "write "
	}
	var parts []string
	if b.IncludeManagementEvents == nil || *b.IncludeManagementEvents {
		category = which + "management events"
		if len(b.ExcludeManagementEventSources) > 0 {
			category += " but those of " + enumerate(b.ExcludeManagementEventSources)
		}
		parts = append(parts, category)
	}
	var types []string
	for _, r := range byType(b.DataResources) {
		types = append(types, r.Type)
	}
	if len(types) > 0 {
		parts = append(parts, which+"data events of chosen resources of the type "+enumerate(types))
	}
	return parts
}

func describeAdvanced(a *v1alpha1.AdvancedEventSelector) string {
	which, category, types := "", "", ""
	var conditions []string
	for i := range a.FieldSelectors {
		switch f := &a.FieldSelectors[i]; f.Field {
		case v1alpha1.FieldEventCategory:
			category = "management events"
			if slices.Contains(f.Equals, record.CategoryData) {
				category = "data events"
			}
		case v1alpha1.FieldReadOnly:
			which = "write "
			if slices.Contains(f.Equals, "true") {
				which = "read "
			}
		case v1alpha1.FieldResourcesType:
			types = " of the type " + enumerate(f.Equals)
		default:
			conditions = append(conditions, string(f.Field))
		}
	}
	if which == "" && types == "" && conditions == nil {
		which = "all "
	}
	part := which + category + types
	if conditions != nil {
		slices.Sort(conditions)
		part += " chosen by " + enumerate(conditions)
	}
	if a.Name != "" {
		part += " (" + shortened(a.Name) + ")"
	}
	return part
}

// enumerate makes a bounded list in words.
func enumerate(values []string) string {
	var words []string
	for _, v := range values[:min(len(values), maxDescribedList)] {
		words = append(words, shortened(v))
	}
	switch more := len(values) - len(words); {
	case more > 0:
		return fmt.Sprintf("%s and %d more", strings.Join(words, ", "), more)
	case len(words) > 1:
		return strings.Join(words[:len(words)-1], ", ") + " and " + words[len(words)-1]
	}
	return strings.Join(words, "")
}

// shortened makes one bounded line of what a user wrote.
func shortened(s string) string {
	s = strings.Join(strings.Fields(s), " ")
	if runes := []rune(s); len(runes) > maxDescribedValue {
		return string(runes[:maxDescribedValue-1]) + "…"
	}
	return s
}
