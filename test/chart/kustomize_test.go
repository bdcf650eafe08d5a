package chart

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// TestKustomize: the chart renders what config/default holds, for the same
// settings. Only labels, the namespace, which Helm makes by itself, and what
// restarts the manager differ.
func TestKustomize(t *testing.T) {
	kustomized := parse(t, kubectl(t, nil, "kustomize", "../../config/default"))
	rendered := parse(t, template(t, "--values", "testdata/minimal.values.yaml", "--skip-tests",
		"--set", "manager.networkPolicy.enabled=false"))

	ours, theirs := configuration(t, kustomized), configuration(t, rendered)
	theirs.Receiver.Workload.ImagePullPolicy = ours.Receiver.Workload.ImagePullPolicy
	theirs.Validation.ImagePullPolicy = ours.Validation.ImagePullPolicy
	if d := cmp.Diff(ours, theirs); d != "" {
		t.Errorf("the manager's configuration (- config, + chart)\n%s", d)
	}
	if kustomized["Namespace/"+namespace] == nil {
		t.Error("config/default makes no namespace")
	}
	delete(kustomized, "Namespace/"+namespace)

	plain(t, kustomized)
	plain(t, rendered)
	if d := cmp.Diff(slices.Sorted(maps.Keys(kustomized)), slices.Sorted(maps.Keys(rendered))); d != "" {
		t.Fatalf("(- config, + chart)\n%s", d)
	}
	for key, want := range kustomized {
		if d := cmp.Diff(want.Object, rendered[key].Object); d != "" {
			t.Errorf("%s (- config, + chart)\n%s", key, d)
		}
	}
	if len(kustomized) < 12 {
		t.Errorf("only %d objects were compared", len(kustomized))
	}
}

// plain removes what may differ. Labels that grant rights stay.
func plain(t *testing.T, o objects) {
	t.Helper()
	for key, u := range o {
		if strings.HasPrefix(key, "ConfigMap/") {
			delete(o, key) // compared by content
			continue
		}
		plainMetadata(u.Object)
		if template, ok, _ := unstructured.NestedMap(u.Object, "spec", "template"); ok {
			plainMetadata(template)
			name := "trail-operator-manager"
			volumes, _, _ := unstructured.NestedSlice(template, "spec", "volumes")
			if got, _, _ := unstructured.NestedString(volumes[0].(map[string]any), "configMap", "name"); !strings.HasPrefix(got, name) {
				t.Errorf("%s mounts the ConfigMap %q", key, got)
			}
			volumes[0] = map[string]any{"name": "config", "configMap": map[string]any{"name": name}}
			if err := unstructured.SetNestedSlice(template, volumes, "spec", "volumes"); err != nil {
				t.Fatal(err)
			}
			containers, _, _ := unstructured.NestedSlice(template, "spec", "containers")
			delete(containers[0].(map[string]any), "imagePullPolicy")
			if err := unstructured.SetNestedSlice(template, containers, "spec", "containers"); err != nil {
				t.Fatal(err)
			}
			if err := unstructured.SetNestedMap(u.Object, template, "spec", "template"); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func plainMetadata(o map[string]any) {
	for _, field := range []string{"labels", "annotations"} {
		entries, _, _ := unstructured.NestedMap(o, "metadata", field)
		for k := range entries {
			if strings.HasPrefix(k, "app.kubernetes.io/") || strings.HasPrefix(k, "helm.sh/") || k == "checksum/config" {
				delete(entries, k)
			}
		}
		if len(entries) == 0 {
			unstructured.RemoveNestedField(o, "metadata", field)
			continue
		}
		_ = unstructured.SetNestedMap(o, entries, "metadata", field)
	}
}
