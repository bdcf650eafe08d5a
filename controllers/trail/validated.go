package trail

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/predicate"

	"github.com/trail-operator/trail-operator/api/v1alpha1"
)

// validated wakes a trail when a validation has ended: controllers/validation
// writes what it found, and this controller the condition.
func (r *Reconciler) validated() predicate.Predicate {
	return predicate.Funcs{
		CreateFunc: func(event.CreateEvent) bool { return false }, DeleteFunc: func(event.DeleteEvent) bool { return false },
		GenericFunc: func(event.GenericEvent) bool { return false },
		UpdateFunc: func(e event.UpdateEvent) bool {
			return !equality.Semantic.DeepEqual(lastValidation(e.ObjectOld), lastValidation(e.ObjectNew))
		},
	}
}

func lastValidation(o client.Object) *v1alpha1.LastValidation {
	switch t := o.(type) {
	case *v1alpha1.Trail:
		return t.Status.LastValidation
	case *v1alpha1.OrganizationTrail:
		return t.Status.LastValidation
	}
	return nil
}

// tellValidated sends an Event when a trail turns out not to be valid, or cannot
// be validated, and when that is over.
func (s *scope) tellValidated() {
	old := meta.FindStatusCondition(s.before.Status.Conditions, v1alpha1.ConditionValidated)
	now := meta.FindStatusCondition(s.trail.Status.Conditions, v1alpha1.ConditionValidated)
	if now == nil || old != nil && old.Status == now.Status && old.Reason == now.Reason {
		return
	}
	bad := func(c *metav1.Condition) bool {
		return c != nil && (c.Status == metav1.ConditionFalse || c.Reason == v1alpha1.ReasonValidationFailed || c.Reason == v1alpha1.ReasonInvalidSchedule)
	}
	switch {
	case bad(now):
		s.event(corev1.EventTypeWarning, now.Reason, "Validate", now.Message)
	case bad(old) && now.Status == metav1.ConditionTrue:
		s.event(corev1.EventTypeNormal, now.Reason, "Validate", now.Message)
	}
}
