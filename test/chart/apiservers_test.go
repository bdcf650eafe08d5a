package chart

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// TestAPIServerRights: the manager may update the Secrets of the API servers
// that are named, and no others.
func TestAPIServerRights(t *testing.T) {
	rendered := parse(t, template(t, "--values", "testdata/minimal.values.yaml", "--set", "receiver.apiServers={cp-1,cp.2}"))
	role := rendered["Role/trail-operator-apiservers"]
	if role == nil {
		t.Fatal("there is no such Role")
	}
	got, _, err := unstructured.NestedSlice(role.Object, "rules")
	if err != nil {
		t.Fatal(err)
	}
	want := []any{map[string]any{
		"apiGroups": []any{""}, "resources": []any{"secrets"}, "verbs": []any{"update"},
		"resourceNames": []any{"trail-apiserver-cp-1", "trail-apiserver-cp.2"},
	}}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}
