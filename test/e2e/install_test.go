//go:build linux

package e2e

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/trail-operator/trail-operator/hack/cluster"
)

// operatorNamespace is that of the installation.
const operatorNamespace = "trail-operator-system"

// install installs the operator as the installation guide says.
func (e *environment) install(ctx context.Context, t *testing.T) {
	t.Helper()
	for _, binary := range []string{"manager", "receiver"} {
		if err := e.cluster.LoadImage(ctx, e.archive(binary)); err != nil {
			t.Fatal(err)
		}
	}
	e.root.kubectl(ctx, t, "apply", "--server-side", "-k", filepath.Join(e.source, "config", "default"))
	e.waitInstalled(ctx, t)
}

func (e *environment) waitInstalled(ctx context.Context, t *testing.T) {
	t.Helper()
	for _, workload := range []string{"deployment/trail-manager", "statefulset/trail-receiver"} {
		eventually(ctx, t, workload, func() string {
			if _, err := e.root.try(ctx, "", "get", workload, "-n", operatorNamespace); err != nil {
				return err.Error()
			}
			return ""
		})
		if _, err := e.root.try(ctx, "", "rollout", "status", workload, "-n", operatorNamespace, "--timeout=90s"); err != nil {
			e.explain(t)
			t.Fatal(err)
		}
	}
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
