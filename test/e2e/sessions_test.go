//go:build linux

package e2e

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/trail-operator/trail-operator/hack/cluster"
	"github.com/trail-operator/trail-operator/internal/record"
)

// accessManifest lets one user look at a namespace, and another debug its pods,
// which its administrator may not by default.
const accessManifest = `apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: viewers, namespace: %[1]s}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: view}
subjects: [{kind: User, name: vera, apiGroup: rbac.authorization.k8s.io}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: debugger, namespace: %[1]s}
rules: [{apiGroups: [""], resources: [pods/ephemeralcontainers], verbs: [patch]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: debuggers, namespace: %[1]s}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: debugger}
subjects: [{kind: User, name: shop-admin, apiGroup: rbac.authorization.k8s.io}]
`

// sessions: people go into pods in every way that there is.
func sessions(ctx context.Context, t *testing.T, e *environment) {
	tenant, err := e.as("shop-admin")
	if err != nil {
		t.Fatal(err)
	}
	viewer, err := e.as("vera")
	if err != nil {
		t.Fatal(err)
	}
	in := []string{"-n", shop.namespace}
	e.root.kubectlWith(ctx, t, fmt.Sprintf(accessManifest, shop.namespace), "apply", "-f", "-")
	tenant.kubectl(ctx, t, append(in, "run", "web", "--image="+cluster.PodImage, "--port=8080", "--", "serve", ":8080")...)
	tenant.kubectl(ctx, t, append(in, "wait", "pod/web", "--for=condition=Ready", "--timeout=60s")...)

	said := tenant.kubectl(ctx, t, append(in, "exec", "web", "--", "/trail-operator", "echo", "hello")...)
	if said != "hello\n" {
		t.Errorf("exec printed %q", said)
	}
	if _, err := viewer.try(ctx, "", append(in, "exec", "web", "--", "/trail-operator", "echo", "hello")...); err == nil || !strings.Contains(err.Error(), "forbidden") {
		t.Errorf("exec by a viewer: %v, want that it is forbidden", err)
	}
	// It is attached to, and ends when its stdin does.
	said = tenant.kubectlWith(ctx, t, "typed\n", append(in, "run", "console", "--image="+cluster.PodImage, "--restart=Never", "--stdin", "--quiet", "--", "cat")...)
	if !strings.Contains(said, "typed") {
		t.Errorf("attach printed %q", said)
	}
	tenant.kubectl(ctx, t, append(in, "debug", "web", "--image="+cluster.PodImage, "--container=debugger", "--quiet", "--", "/trail-operator", "echo", "look")...)
	tenant.kubectl(ctx, t, append(in, "logs", "web")...)
	portForward(ctx, t, tenant)

	// What the API server has not posted yet when a trail is suspended comes too
	// late for it. It posts every second.
	pause(ctx, 3*time.Second)
	e.suspend(ctx, t, shop)
	records := e.recordsOf(ctx, t, shop)
	for _, w := range []want{
		{name: "ExecPod", resource: "pods/web", user: "shop-admin"},
		{name: "ExecPod", resource: "pods/web", user: "vera", code: "AccessDenied"},
		{name: "AttachPod", resource: "pods/console", user: "shop-admin"},
		{name: "PortForwardPod", resource: "pods/web", user: "shop-admin"},
		{name: "PatchPodEphemeralContainers", resource: "pods/web", user: "shop-admin"},
		{name: "GetPodLog", resource: "pods/web", user: "shop-admin"},
	} {
		var found []record.Record
		for i := range records {
			if w.matches(&records[i]) {
				found = append(found, records[i])
			}
		}
		// kubectl tries WebSocket first and, refused, SPDY: these are two calls.
		if len(found) != 1 && (len(found) != 2 || w.code == "") {
			t.Errorf("%+v was recorded %d times, want once; there are %s", w, len(found), eventNames(records, "pods"))
			continue
		}
		data := w.name == "PortForwardPod" || w.name == "GetPodLog"
		if got := found[0].EventCategory == record.CategoryData; got != data {
			t.Errorf("%s is of category %s", w.name, found[0].EventCategory)
		}
		if found[0].ReadOnly != (w.name == "GetPodLog") {
			t.Errorf("%s: readOnly = %t", w.name, found[0].ReadOnly)
		}
	}
	e.resume(ctx, t, shop)
}

// portForward asks the pod web something through a forwarded port.
func portForward(ctx context.Context, t *testing.T, tenant user) {
	t.Helper()
	process, err := tenant.e.cluster.StartProcess("port-forward",
		tenant.command(ctx, "kubectl", "port-forward", "pod/web", "18080:8080", "-n", shop.namespace))
	if err != nil {
		t.Fatal(err)
	}
	defer process.Stop(5 * time.Second)
	client := &http.Client{Transport: &http.Transport{DialContext: tenant.e.cluster.Dial, DisableKeepAlives: true}}
	eventually(ctx, t, "an answer through the forwarded port", func() string {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://127.0.0.1:18080/", http.NoBody)
		if err != nil {
			return err.Error()
		}
		resp, err := client.Do(req)
		if err != nil {
			return err.Error()
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil || string(body) != "hello from a pod\n" {
			return fmt.Sprintf("%q, %v", body, err)
		}
		return ""
	})
}

// eventNames lists what was recorded on a resource, for a message.
func eventNames(records []record.Record, resource string) string {
	var all []string
	for i := range records {
		for _, o := range records[i].Resources {
			if strings.Contains(o.ARN, "/"+resource+"/") {
				all = append(all, records[i].EventName+" by "+records[i].UserIdentity.UserName)
			}
		}
	}
	return strings.Join(all, ", ")
}
