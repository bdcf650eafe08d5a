package docs_test

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/yaml"
	sigsyaml "sigs.k8s.io/yaml"

	"github.com/trail-operator/trail-operator/internal/auditpolicy"
	"github.com/trail-operator/trail-operator/internal/cli/staticpod"
)

// distributions are the pages that say how kube-apiserver is connected, with
// the flags that they leave to the distribution.
var distributions = map[string]struct {
	files  auditpolicy.Files
	leaves []string
	blocks int // with audit flags
}{
	"kubeadm": {auditpolicy.Files{
		Policy: "/etc/kubernetes/audit/policy.yaml", Kubeconfig: "/etc/kubernetes/audit/webhook.kubeconfig", Log: "/var/log/kubernetes/audit/audit.log",
	}, nil, 2},
	"k3s": {auditpolicy.Files{
		Policy: "/etc/rancher/k3s/audit/policy.yaml", Kubeconfig: "/etc/rancher/k3s/audit/webhook.kubeconfig", Log: "/var/lib/rancher/k3s/server/logs/audit.log",
	}, nil, 1},
	"rke2": {auditpolicy.Files{
		Policy: "/etc/rancher/rke2/audit/policy.yaml", Kubeconfig: "/etc/rancher/rke2/audit/webhook.kubeconfig",
	}, nil, 1},
	// The webhook's flags are added by commands, which TestManifestCommands runs.
	"kind": {auditpolicy.Files{Policy: "/etc/kubernetes/audit/policy.yaml", Log: "/var/log/kubernetes/audit/audit.log"}, []string{"audit-webhook-"}, 1},
	// Talos makes a file of the policy, and sets the flag, itself.
	"talos": {auditpolicy.Files{Kubeconfig: "/etc/kubernetes/trail/webhook.kubeconfig"}, []string{"audit-policy-file"}, 1},
}

// TestInstallPages: there is a page for each, and all are linked.
func TestInstallPages(t *testing.T) {
	found, err := filepath.Glob("install/*.md")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range found {
		names = append(names, strings.TrimSuffix(filepath.Base(f), ".md"))
	}
	if d := cmp.Diff(slices.Sorted(maps.Keys(distributions)), names); d != "" {
		t.Error(d)
	}
	install := page(t, "install.md")
	for _, name := range names {
		if !strings.Contains(install, "](install/"+name+".md)") {
			t.Errorf("install.md has no link to %s", name)
		}
	}
}

var yamlBlock = regexp.MustCompile("(?ms)^```yaml\n(.*?)^```$")

// TestInstallFlags: every block of YAML can be read, and the flags in it are
// those that are asked for, so that the pages do not drift.
func TestInstallFlags(t *testing.T) {
	for name, d := range distributions {
		t.Run(name, func(t *testing.T) {
			want := map[string]string{}
			for _, f := range auditpolicy.Flags(d.files) {
				if !slices.ContainsFunc(d.leaves, func(prefix string) bool { return strings.HasPrefix(f.Name, prefix) }) {
					want[f.Name] = f.Value
				}
			}
			blocks := 0
			for _, block := range blocksOf(t, filepath.Join("install", name+".md")) {
				got := map[string]string{}
				for _, doc := range documents(t, block) {
					collect(t, doc, got)
				}
				if len(got) == 0 {
					continue
				}
				blocks++
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("-asked for +on the page: %s", diff)
				}
			}
			if blocks != d.blocks {
				t.Errorf("%d blocks have audit flags, want %d", blocks, d.blocks)
			}
		})
	}
	for _, block := range blocksOf(t, "install.md") {
		documents(t, block)
	}
}

func blocksOf(t *testing.T, path string) []string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, m := range yamlBlock.FindAllStringSubmatch(string(b), -1) {
		list = append(list, m[1])
	}
	return list
}

func documents(t *testing.T, block string) (list []any) {
	t.Helper()
	r := yaml.NewYAMLOrJSONDecoder(strings.NewReader(block), 4096)
	for {
		var doc any
		err := r.Decode(&doc)
		if errors.Is(err, io.EOF) {
			return list
		}
		if err != nil {
			t.Fatalf("%v in\n%s", err, block)
		}
		list = append(list, doc)
	}
}

var flag = regexp.MustCompile(`^(?:--)?(audit-[a-z-]+)=(.*)$`)

// collect gathers audit flags in all the forms that distributions have.
func collect(t *testing.T, v any, into map[string]string) {
	t.Helper()
	set := func(name, value string) {
		if old, twice := into[name]; twice {
			t.Errorf("%s is set twice, to %s and %s", name, old, value)
		}
		into[name] = value
	}
	switch v := v.(type) {
	case string:
		if m := flag.FindStringSubmatch(v); m != nil {
			set(m[1], m[2])
		} else if strings.Contains(v, "\n") { // a document in a string, as kind has them
			for _, doc := range documents(t, v) {
				collect(t, doc, into)
			}
		}
	case []any:
		for _, e := range v {
			collect(t, e, into)
		}
	case map[string]any:
		if name, _ := v["name"].(string); strings.HasPrefix(name, "audit-") && v["value"] != nil {
			set(name, v["value"].(string))
			return
		}
		for k, e := range v {
			if s, ok := e.(string); ok && strings.HasPrefix(k, "audit-") {
				set(k, s)
				continue
			}
			collect(t, e, into)
		}
	}
}

var shellBlock = regexp.MustCompile("(?ms)^```sh\n(.*?)^```$")

// TestManifestCommands runs the commands of the pages that change a manifest
// of kubeadm's, on one, and looks at what comes of it.
func TestManifestCommands(t *testing.T) {
	binary := filepath.Join(t.TempDir(), "kubectl-trail")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", binary, "../cmd/kubectl-trail").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	manifest, err := os.ReadFile("testdata/kube-apiserver.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		page, begins, in, out string
		prepare               func(string) string // of the manifest
	}{
		"kubeadm": {"install/kubeadm.md", "cd /etc/kubernetes\ncp manifests", "manifests/kube-apiserver.yaml", "kube-apiserver.new.yaml", func(s string) string { return s }},
		"kind": {"install/kind.md", "(umask 077; kubectl trail webhook-config --apiserver kind", "before.yaml", "new.yaml", func(s string) string {
			// As kubeadm has made it of kind.yaml.
			s = strings.Replace(s, "    - --advertise-address", "    - --audit-policy-file=/etc/kubernetes/audit/policy.yaml\n    - --audit-log-path=/var/log/kubernetes/audit/audit.log\n    - --advertise-address", 1)
			s = strings.Replace(s, "    volumeMounts:\n", "    volumeMounts:\n    - {name: audit, mountPath: /etc/kubernetes/audit}\n    - {name: audit-log, mountPath: /var/log/kubernetes/audit}\n", 1)
			return strings.Replace(s, "  volumes:\n", "  volumes:\n  - {name: audit, hostPath: {path: /etc/kubernetes/audit}}\n  - {name: audit-log, hostPath: {path: /var/log/kubernetes/audit}}\n", 1)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			b, err := os.ReadFile(tc.page)
			if err != nil {
				t.Fatal(err)
			}
			script := ""
			for _, m := range shellBlock.FindAllStringSubmatch(string(b), -1) {
				if strings.HasPrefix(m[1], tc.begins) {
					script = m[1]
				}
			}
			if script == "" {
				t.Fatal("the commands were not found")
			}
			dir := t.TempDir()
			for _, folder := range []string{"manifests", "audit"} {
				if err := os.Mkdir(filepath.Join(dir, folder), 0o700); err != nil {
					t.Fatal(err)
				}
			}
			if err := os.WriteFile(filepath.Join(dir, tc.in), []byte(tc.prepare(string(manifest))), 0o600); err != nil {
				t.Fatal(err)
			}
			// What asks a cluster, a container or the folder of a real node is left out.
			prelude := fmt.Sprintf("set -e\ncd %q\ncd() { :; }\ndocker() { :; }\nkubectl() { shift; case \"$*\" in *--flags*) %q \"$@\";; esac; }\n", dir, binary)
			if out, err := exec.CommandContext(t.Context(), "sh", "-c", prelude+script).CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			made, err := os.ReadFile(filepath.Join(dir, tc.out))
			if err != nil {
				t.Fatal(err)
			}
			var pod corev1.Pod
			if err := sigsyaml.UnmarshalStrict(made, &pod); err != nil {
				t.Fatalf("%v in\n%s", err, made)
			}
			audit := staticpod.Of(&pod.Spec)
			if audit == nil || len(audit.Broken)+len(audit.Differences) > 0 {
				t.Errorf("made %+v of it:\n%s", audit, made)
			}
			if got := staticpod.HostPath(&pod.Spec, audit.Webhook); got != "/etc/kubernetes/audit/webhook.kubeconfig" {
				t.Errorf("the webhook's file is at %q", got)
			}
		})
	}
}

// TestDoctorOutput: the output of doctor on the page is that of its own test.
func TestDoctorOutput(t *testing.T) {
	golden, err := os.ReadFile("../internal/cli/doctor/testdata/troubled.txt")
	if err != nil {
		t.Fatal(err)
	}
	shown, err := os.ReadFile("cli.md")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(shown), "$ kubectl trail doctor\n"+string(golden)) {
		t.Error("cli.md does not show what internal/cli/doctor/testdata/troubled.txt holds")
	}
}
