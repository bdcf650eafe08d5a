package status

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/trail-operator/trail-operator/api/v1alpha1"
	"github.com/trail-operator/trail-operator/internal/receiverstatus"
)

// TestNoLossNewLeader: a manager that has not looked yet does not take back what
// the one before has said.
func TestNoLossNewLeader(t *testing.T) {
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	tr := &v1alpha1.Trail{}
	tr.UID = "u"
	tr.Status.StartLoggingTime = &metav1.Time{Time: now.Add(-time.Hour)}
	tr.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionNoLoss, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonNothingLost, Message: "m"}}
	o := &Observation{Trail: tr, Now: now, Receiver: &receiverstatus.Status{Trails: []receiverstatus.Trail{{UID: "u"}}}}
	if s := o.noLoss(); s.status != metav1.ConditionTrue || s.message != "m" {
		t.Errorf("%+v", s)
	}
}
