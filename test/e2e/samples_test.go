//go:build linux

package e2e

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/trail-operator/trail-operator/api/v1alpha1"
)

// sampled is the trail of the sample.
var sampled = trail{"team-a", "audit"}

// samples: a tenant applies the samples as they stand but for the address of the
// bucket, and then chooses events by the ready-made selectors.
func samples(ctx context.Context, t *testing.T, e *environment) {
	tenant := e.createTenant(ctx, t, sampled.namespace)
	in := []string{"-n", sampled.namespace}
	credentials := []string{
		"create", "secret", "generic", "audit-bucket", "--from-literal=AWS_ACCESS_KEY_ID=" + accessKey, "--from-literal=AWS_SECRET_ACCESS_KEY=" + secretKey,
	}
	tenant.kubectl(ctx, t, append(credentials, in...)...)
	tenant.kubectl(ctx, t, append(in, "apply", "-f", filepath.Join(e.source, "config", "samples", "eventselectors"))...)
	tenant.kubectlWith(ctx, t, e.sample(t, "trail.yaml", e.s3.endpoint()), "apply", "-f", "-")
	tenant.kubectlWith(ctx, t, tenant.kubectl(ctx, t, append([]string{"trail", "grant", sampled.name}, in...)...), "apply", "-f", "-")
	e.waitReady(ctx, t, sampled, v1alpha1.ReasonRecording)

	// The sample keeps what is written.
	tenant.kubectl(ctx, t, append(in, "create", "configmap", "written")...)
	tenant.kubectl(ctx, t, append(in, "get", "configmap", "written")...)
	e.sealed(ctx, t, sampled, map[want]bool{
		{name: "CreateConfigMap", resource: "configmaps/written", user: "team-a-admin"}: true,
		{name: "GetConfigMap", resource: "configmaps/written"}:                          false,
	})

	// These selectors keep less, and something else besides.
	tenant.kubectl(ctx, t, append(in, "patch", "trail", sampled.name, "--type=merge", "--patch",
		`{"spec": {"eventSelectors": null, "eventSelectorRefs": [{"name": "rbac-changes"}, {"name": "exec-and-attach"}]}}`)...)
	e.resume(ctx, t, sampled)
	tenant.kubectl(ctx, t, append(in, "create", "serviceaccount", "robot")...)
	tenant.kubectl(ctx, t, append(in, "create", "configmap", "left-out")...)
	e.sealed(ctx, t, sampled, map[want]bool{
		{name: "CreateServiceAccount", resource: "serviceaccounts/robot", user: "team-a-admin"}: true,
		{name: "CreateConfigMap", resource: "configmaps/left-out"}:                              false,
	})
	if used := tenant.kubectl(ctx, t, append(in, "get", "eventselector", "rbac-changes", "-o", "jsonpath={.status.trails}")...); used != "1" {
		t.Errorf("the selector says that %q trails use it, want 1", used)
	}

	organization := []string{"-n", operatorNamespace}
	e.root.kubectl(ctx, t, append(credentials, organization...)...)
	e.root.kubectlWith(ctx, t, e.sample(t, "organizationtrail.yaml", e.minio.endpoint()), "apply", "-f", "-")
	e.waitReady(ctx, t, trail{"", "audit"}, v1alpha1.ReasonRecording)
	e.root.kubectl(ctx, t, "delete", "organizationtrail", "audit", "--timeout=60s")
}

// sample is a sample with the address of a bucket in place of the example's.
func (e *environment) sample(t *testing.T, name, endpoint string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(e.source, "config", "samples", name))
	if err != nil {
		t.Fatal(err)
	}
	changed := strings.Replace(string(content), "https://s3.example.com", endpoint, 1)
	if changed == string(content) {
		t.Fatalf("%s has no endpoint", name)
	}
	return changed
}

// sealed ends the chain of a trail, which stays suspended, and looks for records
// that have to be there or may not.
func (e *environment) sealed(ctx context.Context, t *testing.T, tr trail, wanted map[want]bool) {
	t.Helper()
	// What the API server has not posted yet when a trail is suspended comes too
	// late for it. It posts every second.
	pause(ctx, 3*time.Second)
	e.suspend(ctx, t, tr)
	records := e.recordsOf(ctx, t, tr)
	for w, there := range wanted {
		found := false
		for i := range records {
			found = found || w.matches(&records[i])
		}
		if found != there {
			t.Errorf("%+v: recorded = %t, want %t; there are %d records", w, found, there, len(records))
		}
	}
	e.root.kubectl(ctx, t, append([]string{"trail", "validate-logs"}, tr.kubectl()...)...)
}
