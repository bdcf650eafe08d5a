//go:build linux

package e2e

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/trail-operator/trail-operator/api/v1alpha1"
	"github.com/trail-operator/trail-operator/internal/objectstore"
	"github.com/trail-operator/trail-operator/internal/record"
)

// everything is the trail of the whole cluster, from its scenario to the end.
var everything = trail{"", "everything"}

const organizationManifest = `apiVersion: v1
kind: Secret
metadata: {name: organization-bucket, namespace: %[1]s}
stringData: {AWS_ACCESS_KEY_ID: %[2]s, AWS_SECRET_ACCESS_KEY: %[3]s}
---
apiVersion: trail-operator.io/v1alpha1
kind: OrganizationTrail
metadata: {name: everything}
spec:
  destination:
    endpoint: %[4]s
    bucket: %[5]s
    credentialsSecretRef: {name: organization-bucket}
    encryption: {type: SSE-KMS, kmsKeyID: %[6]s}
    versioning: Enabled
    objectLock: {mode: Governance, days: 1}
    lifecycle: {expireAfterDays: 90, digestExpireAfterDays: 400, noncurrentExpireAfterDays: 7}
    tags: [{key: purpose, value: audit}]
  delivery: {maxFileAgeSeconds: 30}
`

// organizationTrail: the cluster's own trail records every namespace and what is
// in none, into a bucket that is encrypted, locked and cleaned up. A namespace's
// own trail delivers the same events independently.
func organizationTrail(ctx context.Context, t *testing.T, e *environment) {
	manifest := fmt.Sprintf(organizationManifest, operatorNamespace, accessKey, secretKey, e.minio.endpoint(), everything.bucket(), kmsKey)
	e.root.kubectlWith(ctx, t, manifest, "apply", "-f", "-")
	e.waitReady(ctx, t, everything, v1alpha1.ReasonRecording)
	tenant, err := e.as("shop-admin")
	if err != nil {
		t.Fatal(err)
	}
	tenant.kubectl(ctx, t, "create", "configmap", "seen-by-both", "-n", shop.namespace)
	e.root.kubectl(ctx, t, "create", "configmap", "seen-by-one", "-n", "default")
	e.root.kubectl(ctx, t, "create", "clusterrole", "in-no-namespace", "--verb=get", "--resource=pods")
	both := want{name: "CreateConfigMap", resource: "configmaps/seen-by-both", user: "shop-admin"}
	e.waitFor(ctx, t, everything, both,
		want{name: "CreateConfigMap", resource: "configmaps/seen-by-one"},
		want{name: "CreateClusterRole", resource: "clusterroles/in-no-namespace"})
	e.waitFor(ctx, t, shop, both)
	checkProtection(ctx, t, e)
	e.seal(ctx, t, everything)
}

// checkProtection reads back from the server what the manifest asks for.
func checkProtection(ctx context.Context, t *testing.T, e *environment) {
	t.Helper()
	store, err := e.minio.open(everything.bucket())
	if err != nil {
		t.Fatal(err)
	}
	admin, ok := store.(objectstore.Admin)
	if !ok {
		t.Fatal("the store does not tell about its bucket")
	}
	versioning, err := admin.Versioning(ctx)
	if err != nil || versioning != objectstore.VersioningEnabled {
		t.Errorf("versioning = %v, %v", versioning, err)
	}
	asked := objectstore.Encryption{Type: objectstore.EncryptionKMS, KMSKeyID: kmsKey}
	encryption, err := admin.DefaultEncryption(ctx)
	if err != nil || !encryption.Meets(asked) {
		t.Errorf("encryption = %+v, %v", encryption, err)
	}
	lock, err := admin.ObjectLock(ctx)
	if err != nil || !lock.Enabled {
		t.Errorf("object lock = %+v, %v", lock, err)
	}
	rules, err := admin.Lifecycle(ctx)
	logs := slices.IndexFunc(rules, func(r objectstore.LifecycleRule) bool {
		return r.Enabled && r.ExpireDays == 90 && r.NoncurrentExpireDays == 7 && strings.Contains(r.Prefix, "/CloudTrail/")
	})
	digests := slices.IndexFunc(rules, func(r objectstore.LifecycleRule) bool {
		return r.Enabled && r.ExpireDays == 400 && r.NoncurrentExpireDays > 7 && strings.Contains(r.Prefix, "/CloudTrail-Digest/")
	})
	if err != nil || logs < 0 || digests < 0 {
		t.Errorf("lifecycle = %+v, %v", rules, err)
	}
	tags, err := admin.Tags(ctx)
	if err != nil || tags["purpose"] != "audit" {
		t.Errorf("tags = %v, %v", tags, err)
	}
	checkFiles(ctx, t, store, asked)
}

// checkFiles reads back how the log files are protected.
func checkFiles(ctx context.Context, t *testing.T, store objectstore.Store, asked objectstore.Encryption) {
	t.Helper()
	files := 0
	for info, err := range store.List(ctx, everything.prefix()+"/", "") {
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(info.Key, "AWSLogs/"+organization+"/") {
			t.Errorf("%s lies outside of the organization", info.Key)
		}
		if !record.IsLogFileKey(info.Key) {
			continue
		}
		files++
		head, err := store.Head(ctx, info.Key)
		if err != nil || !head.Encryption.Meets(asked) || head.Retention.Mode != objectstore.RetentionGovernance {
			t.Errorf("%s: %+v, %v", info.Key, head, err)
		}
		// The servers count whole seconds, from when the file was made or sent.
		if kept := head.Retention.Until.Sub(head.Modified); kept < 24*time.Hour-time.Minute || kept > 24*time.Hour+time.Minute {
			t.Errorf("%s is retained for %s, not for a day", info.Key, kept)
		}
	}
	if files == 0 {
		t.Error("there is no log file")
	}
}

// tenantIsolation: the administrator of a namespace can neither see, change nor
// stop the trail of the cluster, nor what the operator keeps.
func tenantIsolation(ctx context.Context, t *testing.T, e *environment) {
	tenant, err := e.as("shop-admin")
	if err != nil {
		t.Fatal(err)
	}
	merge := []string{"--type=merge", "--patch"}
	for _, args := range [][]string{
		{"get", "organizationtrail", everything.name},
		{"get", "organizationtrails"},
		{"get", "organizationtrails", "--watch-only", "--request-timeout=5s"},
		append([]string{"patch", "organizationtrail", everything.name}, append(merge, `{"spec":{"suspend":true}}`)...),
		append([]string{"patch", "organizationtrail", everything.name, "--subresource=status"}, append(merge, `{"status":{"prefix":"x"}}`)...),
		{"delete", "organizationtrail", everything.name, "--wait=false"},
		{"delete", "organizationtrails", "--all", "--wait=false"},
		append([]string{"patch", "trail", shop.name, "-n", shop.namespace, "--subresource=status"}, append(merge, `{"status":{"prefix":"x"}}`)...),
		{"get", "secrets", "-n", operatorNamespace},
		{"get", "secret", "organization-bucket", "-n", operatorNamespace},
		{"get", "secret", "trail-receiver-config", "-n", operatorNamespace},
		{"get", "configmaps", "-n", operatorNamespace},
		{"get", "trails", "-n", "default"},
		{"exec", "trail-receiver-0", "-n", operatorNamespace, "--", "/trail-operator", "--help"},
		{"delete", "pod", "trail-receiver-0", "-n", operatorNamespace, "--wait=false"},
		{"get", "--raw", "/apis/trail-operator.io/v1alpha1/trails"},
	} {
		output, err := tenant.try(ctx, "", args...)
		if err == nil || !strings.Contains(err.Error(), "forbidden") {
			t.Errorf("kubectl %s: %q, %v; want that it is forbidden", strings.Join(args, " "), output, err)
		}
	}
	e.waitReady(ctx, t, everything, v1alpha1.ReasonRecording)
	// The tenant's own trail holds what is done in its namespace, and no more.
	for _, r := range e.recordsOf(ctx, t, shop) {
		for _, o := range r.Resources {
			if !strings.Contains(o.ARN, ":"+shop.namespace+"/") && !strings.HasSuffix(o.ARN, "/namespaces/"+shop.namespace) &&
				!strings.HasSuffix(o.ARN, ":trail/"+shop.namespace+"."+shop.name) {
				t.Errorf("the trail of %s holds %s of %s", shop.namespace, r.EventName, o.ARN)
			}
		}
	}
}
