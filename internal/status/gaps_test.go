package status

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/trail-operator/trail-operator/api/v1alpha1"
	"github.com/trail-operator/trail-operator/internal/auditpolicy"
	"github.com/trail-operator/trail-operator/internal/receiverstatus"
)

// The message says what is missing, from where, and what to do.
func TestMissing(t *testing.T) {
	const read, write, secret = receiverstatus.ClassRead, receiverstatus.ClassWrite, receiverstatus.ClassSecret
	const advice = ", which this trail selects: the audit policy leaves them out. Start each with the policy that `kubectl trail audit-policy` prints."
	all := map[receiverstatus.Class]bool{read: true, write: true, secret: true}
	for _, c := range []struct {
		gaps []auditpolicy.Gap
		want string
	}{
		{nil, ""},
		{[]auditpolicy.Gap{{APIServer: "a", Class: read}}, "The API server a sends no reads"},
		{[]auditpolicy.Gap{{APIServer: "a", Class: read}, {APIServer: "a", Class: secret}}, "The API server a sends no reads and no calls on Secrets"},
		{[]auditpolicy.Gap{{APIServer: "a", Class: read}, {APIServer: "b", Class: read}}, "The API servers a and b send no reads"},
		{
			[]auditpolicy.Gap{{APIServer: "a", Class: read}, {APIServer: "b", Class: read}, {APIServer: "b", Class: write}},
			"The API server b sends no changes. The API servers a and b send no reads",
		},
	} {
		o := recording()
		o.Classes, o.Gaps = all, c.gaps
		want := c.want
		if want != "" {
			want += advice
		}
		if got, _ := o.missing(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	o := recording()
	o.Classes = map[receiverstatus.Class]bool{read: false}
	for i := range 100 {
		o.Gaps = append(o.Gaps, auditpolicy.Gap{APIServer: strings.Repeat("x", i), Class: read})
	}
	c := meta.FindStatusCondition(Of(o).Conditions, v1alpha1.ConditionReceiving)
	if !strings.HasPrefix(c.Message, "The receiver records this generation from position 5 on. The API servers ") ||
		!strings.Contains(c.Message, " and 95 more send no reads"+advice) {
		t.Errorf("the message is %q", c.Message)
	}
}
