package trail

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/trail-operator/trail-operator/api/v1alpha1"
)

// tellLoss sends an Event when NoLoss has become False.
func (s *scope) tellLoss() {
	now := meta.FindStatusCondition(s.trail.Status.Conditions, v1alpha1.ConditionNoLoss)
	if now == nil || now.Status != metav1.ConditionFalse || meta.IsStatusConditionFalse(s.before.Status.Conditions, v1alpha1.ConditionNoLoss) {
		return
	}
	s.event(corev1.EventTypeWarning, now.Reason, "Reconcile", now.Message)
}
