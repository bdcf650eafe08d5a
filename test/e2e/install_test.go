//go:build linux

package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/trail-operator/trail-operator/hack/assets"
	"github.com/trail-operator/trail-operator/hack/cluster"
)

// The installation.
const (
	operatorNamespace = "trail-operator-system"
	release           = "trail-operator"
	organization      = "o-e2e0000000"
)

// The upgrade goes from the first release to the second. Both are of this tree,
// as charts and images of different versions.
const (
	firstRelease  = "0.0.1"
	secondRelease = "0.0.2"
)

// workloads are those of the installation.
var workloads = []string{"deployment/trail-manager", "statefulset/trail-receiver"}

// install installs the operator and waits until it runs.
func (e *environment) install(ctx context.Context, t *testing.T, version string) {
	t.Helper()
	e.helm(ctx, t, "install", release, e.chart(version), "--create-namespace",
		"--set", "region=e2e-1,organization="+organization, "--set", "receiver.apiServers={"+cluster.NodeName+"}")
	e.root.kubectl(ctx, t, "label", "--overwrite", "namespace", operatorNamespace, "pod-security.kubernetes.io/enforce=restricted")
	e.waitInstalled(ctx, t, version)
}

// chart is the path of the packaged chart.
func (e *environment) chart(version string) string {
	return filepath.Join(e.dir, "charts", release+"-"+version+".tgz")
}

// ageColumn is what the CustomResourceDefinition of EventSelectors lacks in the
// first release, so that the upgrade has something to bring.
const ageColumn = `    - jsonPath: .metadata.creationTimestamp
      name: Age
      type: date
`

// packageCharts packages the chart of this tree in both versions. The version of
// a chart is the tag of its images.
func (e *environment) packageCharts(ctx context.Context) error {
	older := filepath.Join(e.dir, "charts", "older")
	newer := filepath.Join(e.source, "charts", "trail-operator")
	if err := os.CopyFS(older, os.DirFS(newer)); err != nil {
		return err
	}
	crd := filepath.Join(older, "files", "crds", "trail-operator.io_eventselectors.yaml")
	content, err := os.ReadFile(crd)
	if err != nil {
		return err
	}
	without := strings.Replace(string(content), ageColumn, "", 1)
	if without == string(content) {
		return fmt.Errorf("%s has no such column:\n%s", crd, ageColumn)
	}
	if err := os.WriteFile(crd, []byte(without), 0o600); err != nil {
		return err
	}
	programs, err := assets.Ensure(ctx, os.Stderr, "helm")
	if err != nil {
		return err
	}
	for version, chart := range map[string]string{firstRelease: older, secondRelease: newer} {
		cmd := exec.CommandContext(ctx, programs["helm"], "package", chart,
			"--version", version, "--app-version", version, "--destination", filepath.Join(e.dir, "charts"))
		cmd.Env = append(os.Environ(), "HOME="+filepath.Join(e.dir, "home"))
		if err := run(cmd); err != nil {
			return err
		}
	}
	return nil
}

func (e *environment) helm(ctx context.Context, t *testing.T, args ...string) {
	t.Helper()
	programs, err := assets.Ensure(ctx, os.Stderr, "helm")
	if err != nil {
		t.Fatal(err)
	}
	cmd := e.root.command(ctx, programs["helm"], append(args, "--namespace", operatorNamespace)...)
	cmd.Env = append(cmd.Env, "HOME="+filepath.Join(e.dir, "home"))
	if err := e.cluster.Run(cmd); err != nil {
		t.Fatal(err)
	}
}

// waitInstalled waits until manager and receiver run from images of this tag.
func (e *environment) waitInstalled(ctx context.Context, t *testing.T, tag string) {
	t.Helper()
	for _, workload := range workloads {
		eventually(ctx, t, workload+" with images "+tag, func() string {
			image, err := e.root.try(ctx, "", "get", workload, "-n", operatorNamespace, "-o", "jsonpath={.spec.template.spec.containers[0].image}")
			if err != nil {
				return err.Error()
			}
			if !strings.HasSuffix(image, ":"+tag) {
				return "the image is " + image
			}
			return ""
		})
		e.waitRollout(ctx, t, workload)
	}
}

// waitRollout waits until every pod of a workload is ready.
func (e *environment) waitRollout(ctx context.Context, t *testing.T, workload string) {
	t.Helper()
	e.root.kubectl(ctx, t, "rollout", "status", workload, "-n", operatorNamespace, "--timeout=90s")
}

// connect has the API server send its audit events, with the files and flags
// that the plugin prints.
func (e *environment) connect(ctx context.Context, t *testing.T) {
	t.Helper()
	dir := filepath.Join(e.cluster.Dir, "audit")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	policy, webhook := filepath.Join(dir, "policy.yaml"), filepath.Join(dir, "webhook.kubeconfig")
	for path, args := range map[string][]string{
		policy:  {"trail", "audit-policy"},
		webhook: {"trail", "webhook-config", "--apiserver", cluster.NodeName},
	} {
		if err := os.WriteFile(path, []byte(e.root.kubectl(ctx, t, args...)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	printed := e.root.kubectl(ctx, t, "trail", "webhook-config", "--apiserver", cluster.NodeName, "--flags",
		"--policy-file", policy, "--webhook-file", webhook, "--log-file", filepath.Join(dir, "audit.log"))
	var flags []string
	for line := range strings.Lines(printed) {
		if line = strings.TrimSpace(line); strings.HasPrefix(line, "--") {
			flags = append(flags, line)
		}
	}
	if err := e.cluster.RestartAPIServer(ctx, flags...); err != nil {
		t.Fatal(err)
	}
}
