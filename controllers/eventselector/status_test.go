package eventselector

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/trail-operator/trail-operator/api/v1alpha1"
)

func TestStatusOf(t *testing.T) {
	then := metav1.NewTime(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC))
	later := metav1.NewTime(then.Add(time.Hour))
	e := &v1alpha1.EventSelector{ObjectMeta: metav1.ObjectMeta{Name: "e", Generation: 3}}
	e.Spec.Basic = []v1alpha1.BasicEventSelector{{ReadWriteType: v1alpha1.WriteOnly}}
	condition := func(kind string, status metav1.ConditionStatus, reason, message string, at metav1.Time) metav1.Condition {
		return metav1.Condition{Type: kind, Status: status, Reason: reason, Message: message, ObservedGeneration: e.Generation, LastTransitionTime: at}
	}
	compare := func(want v1alpha1.EventSelectorStatus) {
		t.Helper()
		if d := cmp.Diff(want, e.Status); d != "" {
			t.Error(d)
		}
	}
	e.Status = statusOf(e, []string{"organizationtrail/all", "audit"}, then)
	compare(v1alpha1.EventSelectorStatus{
		ObservedGeneration: 3, Trails: 2, UsedBy: []string{"audit", "organizationtrail/all"},
		Conditions: []metav1.Condition{condition("Ready", "True", "Compiled", "Selects write management events.", then)},
	})
	e.Generation, e.Spec.Basic = 4, nil
	e.Status = statusOf(e, nil, later)
	const message = "spec: Set exactly one of basic and advanced."
	compare(v1alpha1.EventSelectorStatus{ObservedGeneration: 4, Conditions: []metav1.Condition{
		condition("Ready", "False", "EventSelectorInvalid", message, later),
		condition("Stalled", "True", "EventSelectorInvalid", message, later),
	}})
	e.Generation, e.Spec.Basic = 5, []v1alpha1.BasicEventSelector{{}}
	e.Status = statusOf(e, nil, then)
	compare(v1alpha1.EventSelectorStatus{ObservedGeneration: 5, Conditions: []metav1.Condition{
		condition("Ready", "True", "Compiled", "Selects all management events.", then),
	}})
	e.Status = statusOf(e, nil, later)
	if !e.Status.Conditions[0].LastTransitionTime.Equal(&then) {
		t.Error("the same status has another time of transition")
	}
}

func TestUsedByIsBounded(t *testing.T) {
	var users []string
	for i := range 150 {
		users = append(users, fmt.Sprintf("trail-%03d", 149-i))
	}
	s := statusOf(&v1alpha1.EventSelector{}, users, metav1.Now())
	if s.Trails != 150 || len(s.UsedBy) != maxUsedBy || s.UsedBy[0] != "trail-000" {
		t.Errorf("%d trails, names %v", s.Trails, s.UsedBy)
	}
}
