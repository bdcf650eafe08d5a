package chart

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"github.com/trail-operator/trail-operator/internal/managerconfig"
)

var update = flag.Bool("update", false, "write the golden files")

// valuesFiles are the files of testdata, by what they are for.
func valuesFiles(t *testing.T) map[string]string {
	t.Helper()
	paths, err := filepath.Glob("testdata/*.values.yaml")
	if err != nil || len(paths) < 3 {
		t.Fatalf("%d files with values: %v", len(paths), err)
	}
	files := map[string]string{}
	for _, path := range paths {
		files[strings.TrimSuffix(filepath.Base(path), ".values.yaml")] = path
	}
	return files
}

var (
	// versions change with each release, and tell nothing here.
	versions = regexp.MustCompile(`(helm\.sh/chart: trail-operator-|checksum/config: ).*`)
	// rules of RBAC and alerts are copies, which hack/chart tests.
	rules = regexp.MustCompile(`(?m)^( *(?:rules|groups):)\n(?: *- .*\n(?: +.*\n)*)+`)
)

// TestGolden: what the chart renders. CustomResourceDefinitions are compared
// with config in TestKustomize.
func TestGolden(t *testing.T) {
	for name, path := range valuesFiles(t) {
		t.Run(name, func(t *testing.T) {
			got := versions.ReplaceAllString(template(t, "--values", path, "--set", "crds.enabled=false"), "${1}x")
			got = rules.ReplaceAllString(got, "$1 []\n")
			golden := "testdata/" + name + ".golden.yaml"
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(string(want), got); d != "" {
				t.Errorf("(- golden, + rendered; -update writes it)\n%s", d)
			}
		})
	}
}

// configuration is the manager's, as it stands in the rendered ConfigMap.
func configuration(t *testing.T, o objects) *managerconfig.Config {
	t.Helper()
	for key, u := range o {
		if strings.HasPrefix(key, "ConfigMap/trail-operator-manager") {
			data, _ := u.Object["data"].(map[string]any)
			content, _ := data["manager.yaml"].(string)
			c, err := managerconfig.Parse([]byte(content))
			if err != nil {
				t.Fatal(err)
			}
			return c
		}
	}
	t.Fatal("there is no ConfigMap of the manager")
	return nil
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// TestConfiguration: the manager takes what the chart renders, and finds each
// value where it belongs.
func TestConfiguration(t *testing.T) {
	const path = "testdata/full.values.yaml"
	var given map[string]any
	if err := yaml.Unmarshal(read(t, path), &given); err != nil {
		t.Fatal(err)
	}
	for _, own := range []string{"tail", "image", "manager", "metrics", "crds", "rbac", "commonLabels"} {
		delete(given, own)
	}
	for name, v := range map[string]any{
		"apiVersion": managerconfig.APIVersion, "kind": managerconfig.Kind, "namespace": namespace,
		"leaderElection": true, "metricsBindAddress": ":9191",
	} {
		given[name] = v
	}
	given["intake"].(map[string]any)["tail"] = map[string]any{"enabled": true}
	workload := given["receiver"].(map[string]any)["workload"].(map[string]any)
	workload["image"] = "registry.example.com/mirror/audit/receiver@sha256:" + strings.Repeat("1", 64)
	workload["imagePullPolicy"] = "Always"
	workload["imagePullSecrets"] = []any{"registry"}
	workload["labels"].(map[string]any)["owner"] = "security"
	raw, err := json.Marshal(given)
	if err != nil {
		t.Fatal(err)
	}
	want, err := managerconfig.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, configuration(t, parse(t, template(t, "--values", path)))); d != "" {
		t.Errorf("(- given, + rendered)\n%s", d)
	}
}

// TestDefaults: values.yaml repeats the manager's own defaults, and does not
// differ from them.
func TestDefaults(t *testing.T) {
	want, err := managerconfig.Parse([]byte(`
apiVersion: config.trail-operator.io/v1alpha1
kind: ManagerConfig
namespace: trail-operator-system
region: eu-central-1
leaderElection: true
receiver:
  apiServers: [control-plane-1]
  workload: {image: "trail-operator/receiver:dev", imagePullPolicy: IfNotPresent}
`))
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, configuration(t, parse(t, template(t, "--values", "testdata/minimal.values.yaml")))); d != "" {
		t.Errorf("(- the manager's, + the chart's)\n%s", d)
	}
}

// TestFullIsFull: the values of TestConfiguration set every value there is, and
// none to its default, so that none can be forgotten in the templates.
func TestFullIsFull(t *testing.T) {
	var presets, full map[string]any
	for path, into := range map[string]*map[string]any{chart + "/values.yaml": &presets, "testdata/full.values.yaml": &full} {
		if err := yaml.Unmarshal(read(t, path), into); err != nil {
			t.Fatal(err)
		}
	}
	unchanged := map[string]bool{
		"crds.enabled": true, "manager.networkPolicy.enabled": true, // off, other values would have no effect
	}
	var compare func(preset, given any, at string)
	compare = func(preset, given any, at string) {
		group, ok := preset.(map[string]any)
		if ok && len(group) > 0 && !strings.HasSuffix(at, "resources") {
			below, _ := given.(map[string]any)
			for name, v := range group {
				compare(v, below[name], strings.TrimPrefix(at+"."+name, "."))
			}
			return
		}
		if given == nil || cmp.Equal(preset, given) && !unchanged[at] {
			t.Errorf("testdata/full.values.yaml does not change %s", at)
		}
	}
	compare(presets, full, "")
}

// TestResourcesOfTheirOwn: none is not the default.
func TestResourcesOfTheirOwn(t *testing.T) {
	c := configuration(t, parse(t, template(t, "--values", "testdata/minimal.values.yaml",
		"--set", "receiver.workload.resources.requests=null,receiver.workload.resources.limits=null")))
	if r := c.Receiver.Workload.Resources; len(r.Limits)+len(r.Requests) > 0 {
		t.Errorf("resources are %+v, want none", r)
	}
}

// TestImages: by tag, by digest, with and without a registry.
func TestImages(t *testing.T) {
	digest := "sha256:" + strings.Repeat("a", 64)
	for name, tc := range map[string]struct{ set, manager, receiver string }{
		"tag of the chart": {"image.registry=", "trail-operator/manager:dev", "trail-operator/receiver:dev"},
		"registry and tag": {"image.registry=r.example.com:5000/,image.tag=v1", "r.example.com:5000/trail-operator/manager:v1", "r.example.com:5000/trail-operator/receiver:v1"},
		"digest": {
			"image.tag=v1,image.manager.digest=" + digest + ",image.receiver.digest=" + digest,
			"trail-operator/manager@" + digest, "trail-operator/receiver@" + digest,
		},
	} {
		t.Run(name, func(t *testing.T) {
			o := parse(t, template(t, "--values", "testdata/minimal.values.yaml", "--set", tc.set))
			if got := configuration(t, o).Receiver.Workload.Image; got != tc.receiver {
				t.Errorf("the receiver runs %s", got)
			}
			for _, key := range []string{"Deployment/trail-manager", "Pod/trail-operator-test"} {
				raw, err := o[key].MarshalJSON()
				if err != nil || !strings.Contains(string(raw), `"image":"`+tc.manager+`"`) {
					t.Errorf("%s does not run %s: %s %v", key, tc.manager, raw, err)
				}
			}
		})
	}
}

// TestRestart: a change of the configuration restarts the manager, a change of
// anything else does not.
func TestRestart(t *testing.T) {
	checksum := func(set string) any {
		o := parse(t, template(t, "--values", "testdata/minimal.values.yaml", "--set", set))
		raw, err := o["Deployment/trail-manager"].MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		return regexp.MustCompile(`checksum/config":"[0-9a-f]{64}"`).FindString(string(raw))
	}
	before := checksum("crds.keep=true")
	if before == "" || before != checksum("crds.keep=false") || before == checksum("trailsPerNamespace=6") {
		t.Error("the checksum of the configuration does not follow the configuration")
	}
}
