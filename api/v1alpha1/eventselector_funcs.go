package v1alpha1

import (
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// RefersToEventSelectors reports whether EventSelectors take the place of the
// selection of the spec.
func (t *Trail) RefersToEventSelectors() bool {
	return len(t.Spec.EventSelectorRefs) > 0 || t.Spec.EventSelectorLabels != nil
}

// RefersTo reports whether the trail refers, by name or by labels, to e, which
// is in the namespace where the trail looks for EventSelectors.
func (t *Trail) RefersTo(e *EventSelector) bool {
	if by := t.Spec.EventSelectorLabels; by != nil {
		chosen, err := metav1.LabelSelectorAsSelector(by)
		return err == nil && chosen.Matches(labels.Set(e.Labels))
	}
	return slices.ContainsFunc(t.Spec.EventSelectorRefs, func(r EventSelectorRef) bool { return r.Name == e.Name })
}
