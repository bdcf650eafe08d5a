package integration

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr/testr"
	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	auditv1 "k8s.io/apiserver/pkg/apis/audit/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/trail-operator/trail-operator/api/v1alpha1"
	"github.com/trail-operator/trail-operator/controllers/organizationtrail"
	"github.com/trail-operator/trail-operator/controllers/trail"
	"github.com/trail-operator/trail-operator/internal/cloudtrailapi"
	"github.com/trail-operator/trail-operator/internal/manifests"
	"github.com/trail-operator/trail-operator/internal/objectstore"
	"github.com/trail-operator/trail-operator/internal/record"
	"github.com/trail-operator/trail-operator/test/testenv"
)

// trailKind is either kind of trails.
type trailKind struct{ trail.Kind }

var (
	ofTenant  = trailKind{trail.Namespaced{}}
	ofCluster = trailKind{organizationtrail.Kind{}}
)

// ready reads a trail and says what Ready lacks of want: "Status Reason".
func (k trailKind) ready(t *testing.T, c client.Reader, of *v1alpha1.Trail, want string) (got *v1alpha1.Trail, missing string) {
	t.Helper()
	got, err := k.Get(t.Context(), c, client.ObjectKeyFromObject(of))
	if err != nil {
		return nil, err.Error()
	}
	ready := meta.FindStatusCondition(got.Status.Conditions, v1alpha1.ConditionReady)
	switch {
	case ready == nil:
		return nil, "the condition Ready"
	case string(ready.Status)+" "+ready.Reason != want || ready.ObservedGeneration != got.Generation:
		return nil, fmt.Sprintf("Ready %s: it is %s %s: %s", want, ready.Status, ready.Reason, ready.Message)
	}
	return got, ""
}

const organizationManifest = `
apiVersion: trail-operator.io/v1alpha1
kind: OrganizationTrail
metadata:
  name: %[1]s
spec:
  destination:
    endpoint: %[2]s
    bucket: %[1]s
    credentialsSecretRef: {name: bucket}
`

// organization applies the manifest of an OrganizationTrail whose bucket has its name.
func (w *world) organization(name string) *v1alpha1.Trail {
	w.t.Helper()
	var o v1alpha1.OrganizationTrail
	if err := yaml.UnmarshalStrict(fmt.Appendf(nil, organizationManifest, name, w.s3.Endpoint), &o); err != nil {
		w.t.Fatal(err)
	}
	w.create(&o)
	return o.AsTrail()
}

// act makes calls of every scope as user: in two namespaces, on cluster-scoped
// objects, and on no object at all.
func (w *world) act(user, suffix string) {
	w.t.Helper()
	c := w.as(user)
	for _, ns := range []string{"shop", "bank"} {
		o := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "settings" + suffix}}
		if err := c.Create(w.t.Context(), o); err != nil {
			w.t.Fatal(err)
		}
		o.Data = map[string]string{"a": "b"}
		if err := c.Update(w.t.Context(), o); err != nil {
			w.t.Fatal(err)
		}
	}
	for _, o := range []client.Object{
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "new" + suffix}},
		&rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: "reader" + suffix}},
		&schedulingv1.PriorityClass{ObjectMeta: metav1.ObjectMeta{Name: "high" + suffix}, Value: 7},
	} {
		if err := c.Create(w.t.Context(), o); err != nil {
			w.t.Fatal(err)
		}
	}
}

// suspend suspends a trail and waits until all is delivered.
func (w *world) suspend(kind trailKind, of *v1alpha1.Trail) *v1alpha1.Trail {
	w.t.Helper()
	patch := client.RawPatch("application/merge-patch+json", []byte(`{"spec":{"suspend":true}}`))
	if err := w.admin.Patch(w.t.Context(), kind.Object(of), patch); err != nil {
		w.t.Fatal(err)
	}
	return w.until(kind, of, "True Suspended")
}

// TestOrganizationTrail follows an OrganizationTrail from its manifest to a
// validated bucket, with a real API server, receiver and S3 server: without an
// organization ID, then with one and beside a Trail that selects some of the
// same events.
func TestOrganizationTrail(t *testing.T) {
	w := newWorld(t, "")
	w.create(w.credentials(installed),
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop"}},
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "bank"}})

	plain := w.until(ofCluster, w.organization("plain"), "True Recording")
	if plain.Status.TrailARN != "arn:k8s:cloudtrail:eu-1:000000000042:trail/plain" || plain.Status.Prefix != "" {
		t.Errorf("ARN %s, prefix %q", plain.Status.TrailARN, plain.Status.Prefix)
	}
	w.act("ann", "-1")
	w.received()
	plain = w.suspend(ofCluster, plain)
	w.act("late", "-2") // recorded by nobody
	w.received()
	w.check(plain, "", w.logged("ann"))
	for _, r := range w.records("plain") {
		if r.UserIdentity.UserName == "late" {
			t.Errorf("%s was recorded after the suspension", r.EventName)
		}
	}

	w.startManager("o-0123456789")
	w.create(w.credentials("shop"))
	role, binding := manifests.Grant("shop", "bucket", manifests.Subject(managerUser))
	w.create(role, binding)
	tenant := &v1alpha1.Trail{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "audit"}}
	tenant.Spec.Destination = v1alpha1.Destination{
		Endpoint: w.s3.Endpoint, Bucket: "shop-audit", CredentialsSecretRef: &v1alpha1.CredentialsSecretRef{Name: "bucket"},
	}
	w.create(tenant)
	all := w.until(ofCluster, w.organization("everything"), "True Recording")
	tenant = w.until(ofTenant, tenant, "True Recording")
	w.act("bob", "-3")
	w.received()
	tenant = w.suspend(ofTenant, tenant)
	all = w.suspend(ofCluster, all)

	bob := w.logged("bob")
	w.check(all, "o-0123456789", bob)
	var shop []string
	for _, e := range bob {
		if e.ObjectRef != nil && e.ObjectRef.Namespace == "shop" {
			shop = append(shop, string(e.AuditID))
		}
	}
	if got := requestIDs(w.records("shop-audit"), "bob"); len(got) != 2 || !slices.Equal(got, sorted(shop)) {
		t.Errorf("the tenant's trail has %v, want %v", got, shop)
	}
	for _, key := range w.keys("shop-audit") {
		if !strings.HasPrefix(key, "shop/audit/AWSLogs/000000000042/") {
			t.Errorf("a tenant's key is %s", key)
		}
	}
	if out, errOut, exit := w.trail("validate-logs", "audit", "-n", "shop"); exit != 0 {
		t.Errorf("exit code %d\n%s%s", exit, out, errOut)
	}

	// What concerns the tenant's trail stands in it and in that of the cluster.
	w.wantOwn("shop-audit", tenant.Status.TrailARN, "CreateTrail", "StartLogging", "StopLogging", "UpdateTrail")
	w.wantOwn("everything", tenant.Status.TrailARN, "CreateTrail", "StartLogging", "StopLogging", "UpdateTrail")
	w.wantOwn("shop-audit", all.Status.TrailARN)
	w.wantOwn("shop-audit", plain.Status.TrailARN)

	if out, _, exit := w.trail("status", "-A"); exit != 0 || !strings.Contains(out, "organizationtrail/everything") || !strings.Contains(out, "shop") {
		t.Errorf("exit code %d\n%s", exit, out)
	}
}

// check requires that the bucket of a suspended OrganizationTrail holds these
// calls exactly once, below the right prefix, and that everybody validates it.
func (w *world) check(of *v1alpha1.Trail, organization string, calls []auditv1.Event) {
	t := w.t
	t.Helper()
	var want []string
	scopes := map[string]bool{}
	for _, e := range calls {
		want = append(want, string(e.AuditID))
		scopes[e.ObjectRef.Resource+"/"+e.ObjectRef.Namespace] = true
	}
	for _, scope := range []string{"configmaps/shop", "configmaps/bank", "namespaces/", "clusterroles/", "priorityclasses/"} {
		if !scopes[scope] && !scopes[scope+"new-1"] {
			t.Errorf("no call on %s was logged, of %v", scope, slices.Sorted(maps.Keys(scopes)))
		}
	}
	bucket := of.Spec.Destination.Bucket
	if diff := cmp.Diff(sorted(want), requestIDs(w.records(bucket), calls[0].User.Username)); diff != "" {
		t.Errorf("the files of %s: %s", bucket, diff)
	}
	root := "AWSLogs/000000000042/"
	if organization != "" {
		root = "AWSLogs/" + organization + "/000000000042/"
	}
	for _, key := range w.keys(bucket) {
		if !strings.HasPrefix(key, root) {
			t.Errorf("a key of %s is %s, want it below %s", bucket, key, root)
		}
	}
	if h := of.Status.Head; h == nil || !h.Final || !strings.HasPrefix(h.S3Object, root+"CloudTrail-Digest/eu-1/") {
		t.Errorf("the head is %+v, want a final digest", h)
	}
	if out, errOut, exit := w.trail("validate-logs", "organizationtrail/"+of.Name); exit != 0 || !strings.Contains(out, "VALID") {
		t.Errorf("exit code %d\n%s%s", exit, out, errOut)
	}
	if out, errOut, exit := w.trail("head", "otrl/"+of.Name); exit != 0 || !strings.Contains(out, of.Status.Head.S3Object) {
		t.Errorf("exit code %d\n%s%s", exit, out, errOut)
	}
	w.validateWithAWS(of, organization)
}

// validateWithAWS runs every AWS CLI of this machine on the trail.
func (w *world) validateWithAWS(of *v1alpha1.Trail, organization string) {
	t := w.t
	t.Helper()
	server := httptest.NewServer(cloudtrailapi.New(&awsSource{w, of, organization}, testr.New(t)))
	defer server.Close()
	v := testenv.Validation{
		Endpoint: server.URL, Region: "eu-1", TrailARN: of.Status.TrailARN,
		Start: of.CreationTimestamp.Add(-time.Minute), End: time.Now().UTC().Add(time.Hour),
	}
	if organization != "" {
		v.Account = "000000000042"
	}
	clis := testenv.AWSCLIs(t.Context())
	if len(clis) == 0 {
		t.Log("there is no AWS CLI on the PATH")
	}
	for _, c := range clis {
		out, exit, err := c.ValidateLogs(t.Context(), t.TempDir(), v)
		if err != nil || exit != 0 || !strings.Contains(out, "1/1 digest files valid") || strings.Contains(out, "INVALID") {
			t.Errorf("AWS CLI %s: exit code %d (%v)\n%s", c.Version, exit, err, out)
		}
	}
}

// awsSource serves one trail of the world to the AWS CLI.
type awsSource struct {
	*world
	of           *v1alpha1.Trail
	organization string
}

func (s *awsSource) Trails(context.Context) ([]cloudtrailapi.Trail, error) {
	return []cloudtrailapi.Trail{{
		Name: s.of.CloudTrailName(), ARN: s.of.Status.TrailARN, Region: "eu-1", Bucket: s.of.Spec.Destination.Bucket,
		Prefix: s.of.Status.Prefix, Organization: s.organization, Validation: true,
	}}, nil
}

func (s *awsSource) PublicKeys(ctx context.Context) (keys []record.PublishedKey, err error) {
	var m corev1.ConfigMap
	if err := s.admin.Get(ctx, client.ObjectKey{Namespace: installed, Name: manifests.DigestKeysName}, &m); err != nil {
		return nil, err
	}
	for _, raw := range m.Data {
		var k record.PublishedKey
		if err := json.Unmarshal([]byte(raw), &k); err != nil {
			return nil, err
		}
		keys = append(keys, k)
	}
	return keys, nil
}

func (s *awsSource) Bucket(_ context.Context, name string) (objectstore.Store, error) {
	return s.bucket(name), nil
}

// wantOwn requires these events of our own about a trail in a bucket.
func (w *world) wantOwn(bucket, arn string, want ...string) {
	w.t.Helper()
	var got []string
	for _, r := range w.records(bucket) {
		if r.EventSource == record.OwnEventSource && len(r.Resources) > 0 && r.Resources[0].ARN == arn {
			got = append(got, r.EventName)
		}
	}
	if diff := cmp.Diff(want, sorted(got)); diff != "" {
		w.t.Errorf("events about %s in %s: %s", arn, bucket, diff)
	}
}

func requestIDs(records []record.Record, user string) (ids []string) {
	for _, r := range records {
		if r.UserIdentity.PrincipalID == user || r.UserIdentity.UserName == user {
			ids = append(ids, r.RequestID)
		}
	}
	return sorted(ids)
}

func sorted(list []string) []string {
	slices.Sort(list)
	return list
}
