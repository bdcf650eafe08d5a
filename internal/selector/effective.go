package selector

import (
	"cmp"
	"fmt"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/trail-operator/trail-operator/api/v1alpha1"
)

// MaxReferences is how many EventSelectors one trail may use.
const MaxReferences = 20

// NotFoundError says which EventSelectors a trail refers to are missing.
type NotFoundError struct{ sentence string }

func (e *NotFoundError) Error() string { return e.sentence }

// Effective returns the selection that a trail runs with: that of its spec, or
// what the EventSelectors that it refers to select together. present are those
// of namespace, where the trail looks for them; others than it refers to change
// nothing. Errors are sentences for the author of the trail: a *NotFoundError,
// or what is wrong with the selections.
func Effective(t *v1alpha1.Trail, namespace string, present []v1alpha1.EventSelector) (v1alpha1.EventSelection, error) {
	if !t.RefersToEventSelectors() {
		return t.Selection(), Validate(t.Selection())
	}
	used, err := referredTo(t, namespace, present)
	if err != nil {
		return v1alpha1.EventSelection{}, err
	}
	// In the order of their names, so that the same selection has the same form.
	slices.SortFunc(used, func(a, b *v1alpha1.EventSelector) int { return cmp.Compare(a.Name, b.Name) })
	selections := make([]v1alpha1.EventSelection, 0, len(used))
	for _, e := range used {
		if err := ValidateEventSelector(e); err != nil {
			return v1alpha1.EventSelection{}, fmt.Errorf("the EventSelector %s is invalid: %w", e.Name, err)
		}
		selections = append(selections, e.Spec.EventSelection)
	}
	return Merge(selections)
}

// ValidateEventSelector accepts what the API server accepts as an EventSelector.
func ValidateEventSelector(e *v1alpha1.EventSelector) error {
	if s := e.Spec; s.Basic == nil && s.Advanced == nil {
		return invalid("spec", "Set exactly one of basic and advanced.")
	}
	return Validate(e.Spec.EventSelection)
}

func referredTo(t *v1alpha1.Trail, namespace string, present []v1alpha1.EventSelector) ([]*v1alpha1.EventSelector, error) {
	if t.Spec.EventSelectorLabels != nil {
		return labeled(t.Spec.EventSelectorLabels, namespace, present)
	}
	if n := len(t.Spec.EventSelectorRefs); n > MaxReferences {
		return nil, invalid("spec.eventSelectorRefs", "There may be at most %d references, not %d.", MaxReferences, n)
	}
	var used []*v1alpha1.EventSelector
	for _, ref := range t.Spec.EventSelectorRefs {
		i := slices.IndexFunc(present, func(e v1alpha1.EventSelector) bool { return e.Name == ref.Name })
		if i < 0 {
			return nil, &NotFoundError{fmt.Sprintf("There is no EventSelector %s in the namespace %s. Create it, or correct spec.eventSelectorRefs.", ref.Name, namespace)}
		}
		used = append(used, &present[i])
	}
	return used, nil
}

func labeled(by *metav1.LabelSelector, namespace string, present []v1alpha1.EventSelector) ([]*v1alpha1.EventSelector, error) {
	chosen, err := metav1.LabelSelectorAsSelector(by)
	if err != nil {
		return nil, invalid("spec.eventSelectorLabels", "This is no label selector. Use matchLabels, or matchExpressions with the operators In, NotIn, Exists and DoesNotExist.")
	}
	var used []*v1alpha1.EventSelector
	for i := range present {
		if chosen.Matches(labels.Set(present[i].Labels)) {
			used = append(used, &present[i])
		}
	}
	switch n := len(used); {
	case n == 0:
		return nil, &NotFoundError{fmt.Sprintf("No EventSelector in the namespace %s has the labels of spec.eventSelectorLabels. Label one, or correct the field.", namespace)}
	case n > MaxReferences:
		return nil, invalid("spec.eventSelectorLabels", "%d EventSelectors in the namespace %s have these labels, and a trail may use at most %d.", n, namespace, MaxReferences)
	}
	return used, nil
}
