package eventselector

import (
	"slices"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/trail-operator/trail-operator/api/v1alpha1"
	"github.com/trail-operator/trail-operator/internal/selector"
)

const (
	// maxUsedBy is how many names a status holds.
	maxUsedBy = 100
)

// statusOf computes the status of an EventSelector that these trails use.
func statusOf(e *v1alpha1.EventSelector, users []string, now metav1.Time) v1alpha1.EventSelectorStatus {
	s := *e.Status.DeepCopy()
	s.ObservedGeneration = e.Generation
	slices.Sort(users)
	s.Trails = int32(min(len(users), 1<<31-1))
	s.UsedBy = users[:min(len(users), maxUsedBy)]
	ready := metav1.Condition{
		Type: v1alpha1.ConditionReady, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonCompiled,
		ObservedGeneration: e.Generation, LastTransitionTime: now,
	}
	if err := selector.ValidateEventSelector(e); err != nil {
		ready.Status, ready.Reason, ready.Message = metav1.ConditionFalse, v1alpha1.ReasonEventSelectorInvalid, err.Error()
		stalled := ready
		stalled.Type, stalled.Status = v1alpha1.ConditionStalled, metav1.ConditionTrue
		meta.SetStatusCondition(&s.Conditions, stalled)
	} else {
		ready.Message = selector.Describe(e.Spec.EventSelection)
		meta.RemoveStatusCondition(&s.Conditions, v1alpha1.ConditionStalled)
	}
	meta.SetStatusCondition(&s.Conditions, ready)
	return s
}
