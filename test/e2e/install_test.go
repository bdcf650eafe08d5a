//go:build linux

package e2e

import (
	"context"
	"os"
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

// Tags of the images: the upgrade goes from the first to the second.
const (
	firstTag  = "dev"
	secondTag = "dev-2"
)

// workloads are those of the installation.
var workloads = []string{"deployment/trail-manager", "statefulset/trail-receiver"}

// install installs the operator from images of this tag, or upgrades it to them,
// and waits until it runs.
func (e *environment) install(ctx context.Context, t *testing.T, tag string) {
	t.Helper()
	e.helm(ctx, t, "upgrade", "--install", release, filepath.Join(e.source, "charts", "trail-operator"), "--create-namespace",
		"--set", "region=e2e-1,organization="+organization+",image.tag="+tag, "--set", "receiver.apiServers={"+cluster.NodeName+"}")
	e.root.kubectl(ctx, t, "label", "--overwrite", "namespace", operatorNamespace, "pod-security.kubernetes.io/enforce=restricted")
	e.waitInstalled(ctx, t, tag)
}

// uninstall removes what install made.
func (e *environment) uninstall(ctx context.Context, t *testing.T) {
	t.Helper()
	e.helm(ctx, t, "uninstall", release, "--wait", "--timeout=90s")
	e.root.kubectl(ctx, t, "delete", "namespace", operatorNamespace, "--timeout=90s")
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
