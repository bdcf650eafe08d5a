//go:build linux

package e2e

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/trail-operator/trail-operator/api/v1alpha1"
)

// trail names a Trail, or, without a namespace, an OrganizationTrail.
type trail struct{ namespace, name string }

func (tr trail) bucket() string {
	if tr.namespace == "" {
		return "organization-audit"
	}
	return tr.namespace + "-audit"
}

// prefix is where its objects are in the bucket, without a slash at the end.
func (tr trail) prefix() string {
	if tr.namespace == "" {
		return "AWSLogs"
	}
	return tr.namespace + "/" + tr.name
}

// server is where its bucket is.
func (tr trail) server(e *environment) *bucketServer {
	if tr.namespace == "" {
		return e.minio
	}
	return e.s3
}

// kubectl names it for kubectl and its plugin.
func (tr trail) kubectl() []string {
	if tr.namespace == "" {
		return []string{"organizationtrail/" + tr.name}
	}
	return []string{"trail/" + tr.name, "--namespace", tr.namespace}
}

func (tr trail) String() string { return strings.Join(tr.kubectl(), " ") }

// tenantManifest is a namespace, its administrator and the credentials of its bucket.
const tenantManifest = `apiVersion: v1
kind: Namespace
metadata: {name: %[1]s}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: administrators, namespace: %[1]s}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: admin}
subjects: [{kind: User, name: %[2]s, apiGroup: rbac.authorization.k8s.io}]
---
apiVersion: v1
kind: Secret
metadata: {name: bucket, namespace: %[1]s}
stringData: {AWS_ACCESS_KEY_ID: %[3]s, AWS_SECRET_ACCESS_KEY: %[4]s}
`

const trailManifest = `apiVersion: trail-operator.io/v1alpha1
kind: Trail
metadata: {name: %[2]s, namespace: %[1]s}
spec:
  destination:
    endpoint: %[3]s
    bucket: %[4]s
    credentialsSecretRef: {name: bucket}
  delivery: {maxFileAgeSeconds: 30}
  eventSelectors:
    advanced:
    - fieldSelectors: [{field: eventCategory, equals: [Management]}]
    - fieldSelectors: [{field: eventCategory, equals: [Data]}]
`

// createTenant makes a namespace and returns its administrator, NAMESPACE-admin.
func (e *environment) createTenant(ctx context.Context, t *testing.T, namespace string) user {
	t.Helper()
	name := namespace + "-admin"
	e.root.kubectlWith(ctx, t, fmt.Sprintf(tenantManifest, namespace, name, accessKey, secretKey), "apply", "-f", "-")
	tenant, err := e.as(name)
	if err != nil {
		t.Fatal(err)
	}
	return tenant
}

// createTrail creates a Trail as the tenant, with the right to read its Secret,
// and waits until it records.
func (e *environment) createTrail(ctx context.Context, t *testing.T, tenant user, tr trail) {
	t.Helper()
	manifest := fmt.Sprintf(trailManifest, tr.namespace, tr.name, e.s3.endpoint(), tr.bucket())
	tenant.kubectlWith(ctx, t, manifest, "apply", "-f", "-")
	grant := tenant.kubectl(ctx, t, "trail", "grant", tr.name, "-n", tr.namespace)
	tenant.kubectlWith(ctx, t, grant, "apply", "-f", "-")
	e.waitReady(ctx, t, tr, v1alpha1.ReasonRecording)
}

// trailStatus is what a trail of either kind says of itself.
func (e *environment) trailStatus(ctx context.Context, tr trail) (generation int64, status v1alpha1.TrailStatus, err error) {
	if tr.namespace == "" {
		o := &v1alpha1.OrganizationTrail{}
		err := e.client.Get(ctx, client.ObjectKey{Name: tr.name}, o)
		return o.Generation, o.Status, err
	}
	o := &v1alpha1.Trail{}
	err = e.client.Get(ctx, client.ObjectKey{Namespace: tr.namespace, Name: tr.name}, o)
	return o.Generation, o.Status, err
}

// waitReady waits until the Trail is Ready for this reason.
func (e *environment) waitReady(ctx context.Context, t *testing.T, tr trail, reason string) {
	t.Helper()
	e.waitCondition(ctx, t, tr, v1alpha1.ConditionReady, metav1.ConditionTrue, reason)
}

func (e *environment) waitCondition(ctx context.Context, t *testing.T, tr trail, kind string, status metav1.ConditionStatus, reason string) {
	t.Helper()
	eventually(ctx, t, fmt.Sprintf("%s=%s of %s", kind, status, tr), func() string {
		generation, s, err := e.trailStatus(ctx, tr)
		if err != nil {
			return err.Error()
		}
		c := meta.FindStatusCondition(s.Conditions, kind)
		switch {
		case c == nil:
			return "the condition is absent"
		case c.ObservedGeneration != generation || c.Status != status || reason != "" && c.Reason != reason:
			return fmt.Sprintf("it is %s, %s (generation %d of %d): %s", c.Status, c.Reason, c.ObservedGeneration, generation, c.Message)
		}
		return ""
	})
}

// seal suspends the trail, which delivers everything and ends the chain with a
// final digest, validates it as its owner, and lets it record again.
func (e *environment) seal(ctx context.Context, t *testing.T, tr trail) {
	t.Helper()
	e.suspend(ctx, t, tr)
	e.root.kubectl(ctx, t, append([]string{"trail", "validate-logs"}, tr.kubectl()...)...)
	e.resume(ctx, t, tr)
}

func (e *environment) resume(ctx context.Context, t *testing.T, tr trail) {
	t.Helper()
	e.patchSuspend(ctx, t, tr, false)
	e.waitReady(ctx, t, tr, v1alpha1.ReasonRecording)
}

// suspend stops the trail and waits for the final digest of its chain.
func (e *environment) suspend(ctx context.Context, t *testing.T, tr trail) {
	t.Helper()
	_, before, err := e.trailStatus(ctx, tr)
	if err != nil {
		t.Fatal(err)
	}
	e.patchSuspend(ctx, t, tr, true)
	e.waitReady(ctx, t, tr, v1alpha1.ReasonSuspended)
	eventually(ctx, t, "the final digest of "+tr.String(), func() string {
		_, s, err := e.trailStatus(ctx, tr)
		switch {
		case err != nil:
			return err.Error()
		case s.Head == nil || !s.Head.Final:
			return "the head is not final"
		case before.Head != nil && before.Head.ChainID == s.Head.ChainID && before.Head.Final:
			return "the head is that of the chain before"
		}
		return ""
	})
}

func (e *environment) patchSuspend(ctx context.Context, t *testing.T, tr trail, suspend bool) {
	t.Helper()
	e.root.kubectl(ctx, t, append([]string{"patch", "--type=merge", "--patch", fmt.Sprintf(`{"spec":{"suspend":%t}}`, suspend)}, tr.kubectl()...)...)
}

// waitReceiving waits until the manager has heard, after this moment, from a
// receiver that takes events.
func (e *environment) waitReceiving(ctx context.Context, t *testing.T, tr trail) {
	t.Helper()
	e.waitRollout(ctx, t, "deployment/trail-manager")
	e.waitRollout(ctx, t, "statefulset/trail-receiver")
	e.waitCondition(ctx, t, tr, v1alpha1.ConditionReceiving, metav1.ConditionTrue, "")
}
