//go:build linux

package e2e

import (
	"context"
	"testing"
	"time"
)

// explain logs what one would ask for who sees a scenario fail.
func (e *environment) explain(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	for _, args := range [][]string{
		{"get", "pods", "--all-namespaces", "-o", "wide"},
		{"get", "trails,organizationtrails", "--all-namespaces", "-o", "yaml"},
		{"get", "events", "--all-namespaces", "--sort-by=.lastTimestamp"},
		{"logs", "-n", operatorNamespace, "deployment/trail-manager", "--tail=40"},
		{"logs", "-n", operatorNamespace, "statefulset/trail-receiver", "--tail=40"},
		{"logs", "-n", operatorNamespace, "statefulset/trail-receiver", "--tail=20", "--previous"},
	} {
		output, err := e.root.try(ctx, "", args...)
		if err != nil {
			output = err.Error()
		}
		t.Logf("kubectl %v:\n%s", args, output)
	}
	for _, name := range []string{"kube-apiserver", "kubelet", "containerd", "versitygw"} {
		t.Log(e.cluster.Tail(name))
	}
}
