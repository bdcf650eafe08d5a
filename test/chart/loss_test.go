package chart

import (
	"slices"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// TestMetricsOfAPIServers: who does not want the manager to read them does not
// give it the right to.
func TestMetricsOfAPIServers(t *testing.T) {
	for args, want := range map[string]bool{"lossAccounting.disabled=false": true, "lossAccounting.disabled=true": false} {
		may, rules := false, 0
		for _, u := range parse(t, template(t, "--set", "region=eu-1", "--set", "receiver.apiServers={cp-1}", "--set", args)) {
			if u.GetKind() != "ClusterRole" {
				continue
			}
			var role rbacv1.ClusterRole
			if err := runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, &role); err != nil {
				t.Fatal(err)
			}
			for _, r := range role.Rules {
				rules++
				may = may || slices.Contains(r.NonResourceURLs, "/metrics")
				if len(r.NonResourceURLs)+len(r.Resources) == 0 {
					t.Errorf("%s: the rule %+v of %s is about nothing", args, r, role.Name)
				}
			}
		}
		if may != want || rules < 5 {
			t.Errorf("%s: the manager may read them: %v (%d rules)", args, may, rules)
		}
	}
}
