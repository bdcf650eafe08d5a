package integration

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/trail-operator/trail-operator/api/v1alpha1"
	"github.com/trail-operator/trail-operator/internal/cli"
	"github.com/trail-operator/trail-operator/internal/manifests"
	"github.com/trail-operator/trail-operator/internal/objectstore"
	"github.com/trail-operator/trail-operator/internal/objectstore/minio"
	"github.com/trail-operator/trail-operator/test/testenv"
)

// runTrail runs `kubectl trail` as an administrator with the bucket's credentials
// of u.
func runTrail(t *testing.T, cp *testenv.ControlPlane, u testenv.S3User, args ...string) (stdout, stderr string, exit int) {
	t.Helper()
	kubeconfig := filepath.Join(t.TempDir(), "kubeconfig")
	if err := cp.WriteKubeconfig(kubeconfig, "admin", "system:masters"); err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]string{
		"AWS_ACCESS_KEY_ID": u.AccessKey, "AWS_SECRET_ACCESS_KEY": u.SecretKey, "AWS_SESSION_TOKEN": u.SessionToken,
		"AWS_CONFIG_FILE": os.DevNull, "AWS_SHARED_CREDENTIALS_FILE": os.DevNull, "AWS_EC2_METADATA_DISABLED": "true",
	} {
		t.Setenv(name, value)
	}
	streams, _, out, errOut := genericiooptions.NewTestIOStreams()
	exit = cli.Run(t.Context(), append([]string{"kubectl-trail", "--kubeconfig", kubeconfig}, args...), streams)
	return out.String(), errOut.String(), exit
}

// allow lets writer write a trail, by the policy of its bucket.
func (e *s3env) allow(t *testing.T, trail *v1alpha1.Trail, writer string) {
	t.Helper()
	out, errOut, exit := runTrail(t, controlPlane, e.owner(), "bucket-policy", trail.Name, "-n", trail.Namespace, "--writer", writer, "--apply")
	if exit != 0 || !strings.Contains(out, "applied") {
		t.Fatalf("bucket-policy: %d, %s, %s", exit, out, errOut)
	}
}

// TestBucketPolicyIsEnough: a trail whose credentials have nothing but the
// statements of `kubectl trail bucket-policy` records, delivers and ends with a
// digest, and a reader with nothing else validates it.
func TestBucketPolicyIsEnough(t *testing.T) {
	w := newWorld(t, "")
	const ns, theirs = "policy", `{"Version":"2012-10-17","Statement":[{"Sid":"Theirs","Effect":"Allow","Principal":{"AWS":["reader"]},"Action":["s3:GetBucketTagging"],"Resource":["arn:aws:s3:::policy"]}]}`
	writer, err := w.s3.NewVersityUser(t.Context(), "writer")
	if err != nil {
		t.Fatal(err)
	}
	reader, err := w.s3.NewVersityUser(t.Context(), "reader")
	if err != nil {
		t.Fatal(err)
	}
	as := func(u testenv.S3User) objectstore.Managed {
		s, err := minio.NewManaged(objectstore.Config{
			Endpoint: w.s3.Endpoint, Region: w.s3.Region, Bucket: ns, AccessKey: u.AccessKey, SecretKey: u.SecretKey, AllowPrivate: true,
		})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	owner := testenv.S3User{AccessKey: w.s3.AccessKey, SecretKey: w.s3.SecretKey}
	store := as(owner)
	if err := errors.Join(store.CreateLockedBucket(t.Context()), store.SetPolicy(t.Context(), theirs)); err != nil {
		t.Fatal(err)
	}
	w.create(
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: ns}},
		&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "bucket"}, StringData: keysOf(writer)},
	)
	role, binding := manifests.Grant(ns, "bucket", manifests.Subject(managerUser))
	w.create(role, binding)
	trail := &v1alpha1.Trail{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "audit"}, Spec: v1alpha1.TrailSpec{
		Destination: v1alpha1.Destination{
			Endpoint: w.s3.Endpoint, Bucket: ns, CredentialsSecretRef: &v1alpha1.CredentialsSecretRef{Name: "bucket"},
			Versioning: v1alpha1.VersioningEnabled, ObjectLock: &v1alpha1.ObjectLock{Mode: v1alpha1.LockGovernance, Days: 1},
			Tags: []v1alpha1.Tag{{Key: "team", Value: "shop"}},
		},
	}}
	w.create(trail)
	w.until(ofTenant, trail, "False AccessDenied")
	for _, args := range [][]string{{"--writer", "writer"}, {"--reader", "reader"}} {
		out, errOut, exit := runTrail(t, w.cp, owner, append([]string{"bucket-policy", "audit", "-n", ns, "--apply"}, args...)...)
		if exit != 0 || !strings.Contains(out, "applied") {
			t.Fatalf("%v: %d, %s, %s", args, exit, out, errOut)
		}
	}
	if policy, err := store.Policy(t.Context()); err != nil || !strings.Contains(policy, `"Sid":"Theirs"`) {
		t.Errorf("the policy is %s, %v", policy, err)
	}
	w.until(ofTenant, trail, "True Recording")
	if tags, err := as(reader).Tags(t.Context()); err != nil || tags["team"] != "shop" {
		t.Errorf("the bucket has the tags %v, %v", tags, err)
	}
	w.create(&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "recorded"}})
	w.received()
	if err := w.admin.Get(t.Context(), client.ObjectKeyFromObject(trail), trail); err != nil {
		t.Fatal(err)
	}
	trail.Spec.Suspend = true
	if err := w.admin.Update(t.Context(), trail); err != nil {
		t.Fatal(err)
	}
	w.until(ofTenant, trail, "True Suspended")
	found := false
	for _, r := range w.records(ns) {
		found = found || r.EventName == "CreateConfigMap"
	}
	if !found {
		t.Error("what was done is not in the bucket")
	}
	out, errOut, exit := runTrail(t, w.cp, reader, "validate-logs", "audit", "-n", ns)
	if exit != 0 || !strings.Contains(out, "The trail is VALID.") {
		t.Errorf("the reader validates: %d, %s, %s", exit, out, errOut)
	}
	if _, errOut, exit = runTrail(t, w.cp, reader, "bucket-policy", "audit", "-n", ns, "--reader", "reader", "--apply"); exit != 2 || !strings.Contains(errOut, "s3:PutBucketPolicy") {
		t.Errorf("the reader writes the policy: %d, %s", exit, errOut)
	}
}
