package integration

import (
	"fmt"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/yaml"

	"github.com/trail-operator/trail-operator/api/v1alpha1"
	"github.com/trail-operator/trail-operator/internal/auditpolicy"
)

// receiving is the condition Receiving of a trail as "Status Reason: message".
func receiving(of *v1alpha1.Trail) string {
	c := meta.FindStatusCondition(of.Status.Conditions, v1alpha1.ConditionReceiving)
	if c == nil {
		return ""
	}
	return fmt.Sprintf("%s %s: %s", c.Status, c.Reason, c.Message)
}

// An audit policy that leaves out what a trail asks for is noticed, and so is
// its successor that does not. Nobody else calls the API server meanwhile.
func TestAuditPolicyTooSmall(t *testing.T) {
	w := newWorldOf(t, "", auditpolicy.Minimal)
	w.create(w.credentials(installed))
	apply := func(name, selectors string) *v1alpha1.Trail {
		var o v1alpha1.OrganizationTrail
		if err := yaml.UnmarshalStrict([]byte(fmt.Sprintf(organizationManifest, name, w.s3.Endpoint)+selectors), &o); err != nil {
			t.Fatal(err)
		}
		w.create(&o)
		return o.AsTrail()
	}
	all := apply("everything", "")
	reads := apply("only-reads", "  eventSelectors: {basic: [{readWriteType: ReadOnly}]}\n")
	writes := apply("only-writes", "  eventSelectors: {basic: [{readWriteType: WriteOnly}]}\n")

	const missing = "The API server cp-1 sends no reads, which this trail selects: the audit policy leaves them out. Start each with the policy that `kubectl trail audit-policy` prints."
	reads = w.until(ofCluster, reads, "False AuditPolicyTooSmall")
	if got, want := receiving(reads), "False AuditPolicyTooSmall: "+missing; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	all = w.until(ofCluster, all, "True Recording")
	eventually(t, func() string {
		all = w.until(ofCluster, all, "True Recording")
		if got := receiving(all); !strings.HasPrefix(got, "True ConfigurationInForce: ") || !strings.HasSuffix(got, missing) {
			return "what does not come with the rest: " + got
		}
		return ""
	})
	writes = w.until(ofCluster, writes, "True Recording")
	if got := receiving(writes); strings.Contains(got, "reads") {
		t.Errorf("a trail of writes says %s", got)
	}

	w.connect()
	reads = w.until(ofCluster, reads, "True Recording")
	eventually(t, func() string {
		all = w.until(ofCluster, all, "True Recording")
		if got := receiving(all); strings.Contains(got, "reads") {
			return "the end of " + got
		}
		return ""
	})
	if got := receiving(reads); !strings.HasPrefix(got, "True ConfigurationInForce") {
		t.Error(got)
	}
}
