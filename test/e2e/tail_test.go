//go:build linux

package e2e

import (
	"context"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/trail-operator/trail-operator/hack/cluster"
)

// completeMode: a tail follows the audit log, as a pod on the node of the API
// server. Receiver and tail are killed under load, and what the tail brings
// besides the webhook is not recorded twice.
func completeMode(ctx context.Context, t *testing.T, e *environment) {
	if err := e.cluster.LoadImage(ctx, e.archive("recorder")); err != nil {
		t.Fatal(err)
	}
	e.root.kubectl(ctx, t, "label", "--overwrite", "node", cluster.NodeName, "node-role.kubernetes.io/control-plane=")
	e.root.kubectl(ctx, t, "label", "--overwrite", "namespace", operatorNamespace, "pod-security.kubernetes.io/enforce=privileged")
	e.helm(ctx, t, "upgrade", release, e.chart(firstRelease), "--reset-then-reuse-values", "--set", "tail.enabled=true",
		"--set", "tail.auditLog="+filepath.Join(e.cluster.Dir, "audit", "audit.log"), "--set", "tail.stateDir="+filepath.Join(e.cluster.Dir, "trail-tail"))
	e.waitInstalled(ctx, t, firstRelease)
	e.waitRollout(ctx, t, "daemonset/trail-tail")

	l := e.startLoad(ctx, shop.namespace, "tail")
	pause(ctx, 2*time.Second)
	for _, args := range [][]string{{"pod", "trail-receiver-0"}, {"pod", "-l", "app.kubernetes.io/name=trail-tail"}} {
		e.root.kubectl(ctx, t, append([]string{"delete", "-n", operatorNamespace, "--grace-period=0", "--force"}, args...)...)
		pause(ctx, 2*time.Second)
	}
	e.waitRollout(ctx, t, "statefulset/trail-receiver")
	e.waitRollout(ctx, t, "daemonset/trail-tail")
	names := l.stop(t)
	sent := regexp.MustCompile(`(?m)^trail_tail_lines_total [1-9]`)
	eventually(ctx, t, "the tail to have sent everything", func() string {
		pod, err := e.root.try(ctx, "", "get", "pod", "-n", operatorNamespace, "-l", "app.kubernetes.io/name=trail-tail", "-o", "jsonpath={.items[0].metadata.name}")
		if err != nil {
			return err.Error()
		}
		metrics, err := e.root.try(ctx, "", "get", "--raw", "/api/v1/namespaces/"+operatorNamespace+"/pods/"+pod+":8080/proxy/metrics")
		switch {
		case err != nil:
			return err.Error()
		case !sent.MatchString(metrics), !strings.Contains(metrics, "\ntrail_tail_behind_seconds 0\n"):
			return "it has sent nothing, or is behind"
		case strings.Contains(metrics, "\ntrail_tail_lost_files_total"):
			return "it has lost files"
		}
		return ""
	})
	e.arrive(ctx, t, shop, names)
	e.arrive(ctx, t, everything, names)

	e.helm(ctx, t, "upgrade", release, e.chart(firstRelease), "--reset-then-reuse-values", "--set", "tail.enabled=false")
	e.root.kubectl(ctx, t, "wait", "-n", operatorNamespace, "--for=delete", "--timeout=60s", "pod", "-l", "app.kubernetes.io/name=trail-tail")
	e.root.kubectl(ctx, t, "label", "--overwrite", "namespace", operatorNamespace, "pod-security.kubernetes.io/enforce=restricted")
	e.waitInstalled(ctx, t, firstRelease)
	e.waitReceiving(ctx, t, shop)
}
