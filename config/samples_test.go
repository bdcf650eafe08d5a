package config_test

import (
	"bytes"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/trail-operator/trail-operator/internal/managerconfig"
	"github.com/trail-operator/trail-operator/test/testenv"
)

// sample is what every sample has.
type sample struct {
	Kind     string
	Metadata struct{ Namespace string }
}

// samples are the documents of config/samples, by file.
func samples(t *testing.T) map[string][]sample {
	t.Helper()
	files := map[string][]sample{}
	err := filepath.WalkDir("samples", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		if filepath.Ext(path) != ".yaml" {
			t.Errorf("%s is no sample", path)
			return nil
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for document := range strings.SplitSeq(string(content), "\n---\n") {
			var s sample
			if err := yaml.Unmarshal([]byte(document), &s); err != nil {
				t.Errorf("%s: %v", path, err)
			}
			files[path] = append(files[path], s)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// TestSamples: a real API server takes every sample without a warning, and the
// manager takes the one of its own configuration. There is one of each kind.
func TestSamples(t *testing.T) {
	cp, err := testenv.StartControlPlane(t.Context(), testenv.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cp.Stop() })
	kubeconfig := t.TempDir() + "/kubeconfig"
	if err := cp.WriteKubeconfig(kubeconfig, "admin", "system:masters"); err != nil {
		t.Fatal(err)
	}
	kubectl := func(args ...string) {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), cp.Kubectl(), append(args, "--kubeconfig", kubeconfig)...)
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		if err := cmd.Run(); err != nil || stderr.Len() > 0 {
			t.Errorf("kubectl %s: %v\n%s", strings.Join(args, " "), err, &stderr)
		}
	}
	kubectl("apply", "--server-side", "-k", "crd")
	kubectl("wait", "--for=condition=Established", "--timeout=30s", "crd", "--all")

	kinds, namespaces := map[string]bool{}, map[string]bool{}
	for path, list := range samples(t) {
		for _, s := range list {
			kinds[s.Kind] = true
			if ns := s.Metadata.Namespace; ns != "" && !namespaces[ns] {
				namespaces[ns] = true
				kubectl("create", "namespace", ns)
			}
		}
		if list[0].Kind == managerconfig.Kind {
			if _, err := managerconfig.Load(path); err != nil {
				t.Error(err)
			}
			continue
		}
		kubectl("apply", "--server-side", "--filename", path)
	}
	for _, kind := range []string{"Trail", "OrganizationTrail", "EventSelector", managerconfig.Kind} {
		if !kinds[kind] {
			t.Errorf("there is no sample of the kind %s", kind)
		}
	}
}
