package validatelogs

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	testclock "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/trail-operator/trail-operator/api/v1alpha1"
	"github.com/trail-operator/trail-operator/internal/cli/awsenv"
	"github.com/trail-operator/trail-operator/internal/cli/clitest"
	"github.com/trail-operator/trail-operator/internal/cli/kube"
	"github.com/trail-operator/trail-operator/internal/manifests"
	"github.com/trail-operator/trail-operator/internal/objectstore"
	"github.com/trail-operator/trail-operator/internal/objectstore/memory"
	"github.com/trail-operator/trail-operator/internal/record"
	"github.com/trail-operator/trail-operator/internal/verify"
	"github.com/trail-operator/trail-operator/internal/verify/verifytest"
)

// fixture is the trail shop/all of a cluster, with its bucket.
type fixture struct {
	*verifytest.Trail
	store   *memory.Store
	cluster *clitest.Cluster
	trail   *v1alpha1.Trail
	keys    *corev1.ConfigMap
	aws     awsenv.Environment
	awsErr  error
	opened  objectstore.Config
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	start := time.Date(2026, 3, 1, 9, 20, 0, 0, time.UTC)
	clock := testclock.NewFakePassiveClock(start)
	f := &fixture{store: memory.New(clock), aws: awsenv.Environment{
		AccessKey: "key", SecretKey: "secret", Token: "token", Region: "aws-region", Endpoint: "https://aws.example.com",
	}}
	f.Trail = verifytest.New(t, f.store, "audit", start)
	f.Tick = clock.SetTime
	f.Hours(t, 3, 2)

	f.trail = clitest.Trail("shop", "all")
	f.trail.Spec.Destination = v1alpha1.Destination{Bucket: "audit", Endpoint: "https://s3.example.com", Region: "eu-1", CA: "CA"}
	f.trail.Status.TrailARN, f.trail.Status.Prefix = f.ARN(), f.Layout.Prefix
	f.setHead(t)
	f.keys = &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: kube.OperatorNamespace, Name: manifests.DigestKeysName}}
	f.keys.Data = map[string]string{f.Keys[0].Fingerprint + ".json": string(record.MustJSON(f.Keys[0]))}
	f.cluster = &clitest.Cluster{Chosen: "shop", Objects: []client.Object{f.trail, f.keys}}
	return f
}

func (f *fixture) setHead(t *testing.T) {
	t.Helper()
	f.trail.Status.Head = &v1alpha1.DigestHead{}
	if err := json.Unmarshal(record.MustJSON(f.Last.Head), f.trail.Status.Head); err != nil {
		t.Fatal(err)
	}
}

func (f *fixture) anchor(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "anchor.json")
	if err := os.WriteFile(path, record.MustJSON(f.Last.Head), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// copy downloads the bucket without its metadata.
func (f *fixture) copy(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for key, o := range f.store.Objects() {
		path := filepath.Join(dir, key)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, o.Body, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, o.Modified, o.Modified); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func (f *fixture) run(t *testing.T, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	return clitest.Run(t, func(s genericiooptions.IOStreams) *cobra.Command {
		return newCommand(&options{
			cluster: f.cluster, streams: s,
			open: func(c objectstore.Config) (objectstore.Store, error) {
				f.opened = c
				return f.store, nil
			},
			aws: func(context.Context) (awsenv.Environment, error) { return f.aws, f.awsErr },
		})
	}, args...)
}

func exitCode(err error) int {
	var answer interface{ ExitCode() int }
	switch {
	case err == nil:
		return 0
	case errors.As(err, &answer):
		return answer.ExitCode()
	}
	return 2
}

func (f *fixture) result(t *testing.T, args ...string) *verify.Result {
	t.Helper()
	out, errOut, err := f.run(t, append(args, "-o", "json")...)
	if exitCode(err) == 2 {
		t.Fatalf("%v\n%s", err, errOut)
	}
	var r verify.Result
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		t.Fatal(err)
	}
	if r.Valid != (err == nil) {
		t.Errorf("valid is %v, the error %v", r.Valid, err)
	}
	return &r
}

func TestTrailOfTheCluster(t *testing.T) {
	f := newFixture(t)
	out, errOut, err := f.run(t, "all")
	if err != nil || errOut != "" {
		t.Fatalf("%v\n%s", err, errOut)
	}
	clitest.Golden(t, "valid.txt", out)
	want := objectstore.Config{
		Endpoint: "https://s3.example.com", Region: "eu-1", Bucket: "audit", CA: []byte("CA"),
		AccessKey: "key", SecretKey: "secret", Token: "token", AllowPrivate: true,
	}
	if diff := cmp.Diff(want, f.opened); diff != "" {
		t.Error(diff)
	}
	if r := f.result(t, "all"); !r.HeadChecked || !r.KeysPinned || r.KeySource != verify.KeysGiven || r.Digests.Total != 3 {
		t.Errorf("%+v", r)
	}
}

// organization makes the trail of the fixture one of a whole cluster.
func organization(t *testing.T, id string) *fixture {
	t.Helper()
	start := time.Date(2026, 3, 1, 9, 20, 0, 0, time.UTC)
	clock := testclock.NewFakePassiveClock(start)
	f := &fixture{store: memory.New(clock)}
	f.Trail = verifytest.NewOrganization(t, f.store, "audit", id, start)
	f.Tick = clock.SetTime
	f.Hours(t, 3, 2)
	f.trail = clitest.OrganizationTrail("all").AsTrail()
	f.trail.Spec.Destination = v1alpha1.Destination{Bucket: "audit"}
	f.trail.Status.TrailARN, f.trail.Status.Prefix = f.ARN(), f.Layout.Prefix
	f.setHead(t)
	f.cluster = &clitest.Cluster{Chosen: "shop", Objects: []client.Object{f.trail.AsOrganizationTrail()}}
	return f
}

// TestOrganizationTrail: its keys carry the organization ID of the installation,
// which whoever may not read that finds in the newest digest.
func TestOrganizationTrail(t *testing.T) {
	for name, tc := range map[string]struct {
		id      string
		written bool
	}{
		"of an organization": {"o-0123456789", true},
		"of none":            {"", true},
		"known by its head":  {"o-0123456789", false},
	} {
		t.Run(name, func(t *testing.T) {
			f := organization(t, tc.id)
			if tc.written {
				f.cluster.Objects = append(f.cluster.Objects, &corev1.ConfigMap{
					ObjectMeta: metav1.ObjectMeta{Namespace: kube.OperatorNamespace, Name: manifests.InstallationName},
					Data:       map[string]string{manifests.InstallationOrganization: tc.id},
				})
			}
			if r := f.result(t, "organizationtrail/all"); !r.Valid || r.Digests.Total != 3 || r.LogFiles.Valid != 6 || !r.HeadChecked {
				t.Errorf("%+v", r)
			}
			f.store.Delete(f.Files[1])
			if r := f.result(t, "otrl/all"); r.Valid {
				t.Error("a deleted file went unnoticed")
			}
		})
	}
}

// Nothing is validated at a place that is only guessed.
func TestUnknownOrganization(t *testing.T) {
	f := organization(t, "o-0123456789")
	f.trail.Status.Head = nil
	f.cluster.Objects[0] = f.trail.AsOrganizationTrail()
	_, _, err := f.run(t, "otrl/all")
	if err == nil || !strings.Contains(err.Error(), "the organization ID of the installation is not known") {
		t.Errorf("got %v", err)
	}
}

func TestInvalid(t *testing.T) {
	f := newFixture(t)
	f.store.Overwrite(f.Files[1], verifytest.Gzip(t, []byte("{}")))
	f.store.Delete(f.Files[4])
	f.store.Delete(f.Digests[2])
	f.Tick(f.End().Add(-time.Hour))
	f.Put(t, f.Layout.LogFiles()+"2026/03/01/\x1b[31m", nil, nil)
	out, _, err := f.run(t, "all")
	if exitCode(err) != 1 {
		t.Errorf("exit code %d, want 1 (%v)", exitCode(err), err)
	}
	clitest.Golden(t, "invalid.txt", out)
}

// What has expired, or is archived, makes no trail invalid.
func TestExpired(t *testing.T) {
	f := newFixture(t)
	f.Lifecycle = []record.LifecycleRule{
		{Objects: record.LifecycleLogs, ExpireDays: 30, TransitionDays: 1, StorageClass: "GLACIER"},
		{Objects: record.LifecycleDigests, ExpireDays: 60},
	}
	f.Hours(t, 1, 2)
	f.setHead(t)
	for _, key := range append(f.Digests[:1:1], f.Files[:4]...) {
		f.store.Delete(key)
	}
	f.store.Archive(f.Files[5])
	out, _, err := f.run(t, "all")
	if err != nil {
		t.Fatal(err)
	}
	clitest.Golden(t, "expired.txt", out)
	r := f.result(t, "all")
	if !r.Valid || r.LogFiles != (verify.Count{Total: 6, Valid: 3, Expired: 2, Archived: 1}) || len(r.Notices) != 4 {
		t.Errorf("JSON: got %+v", r)
	}
}

func TestGapsAndNotes(t *testing.T) {
	f := newFixture(t)
	f.Final(t, f.End().Add(10*time.Minute), 0)
	f.Restart(f.End().Add(time.Hour))
	f.Hours(t, 1, 1)
	f.Restart(f.End().Add(time.Minute))
	f.Hours(t, 1, 0)
	f.LogFile(t, f.End().Add(time.Minute))
	out, _, err := f.run(t, "--bucket=audit", "--prefix=shop/all/", "--account=123456789012", "--region=eu-lab-1", "--trail=shop.all")
	if err != nil {
		t.Fatal(err)
	}
	clitest.Golden(t, "notes.txt", out)
}

func TestBucket(t *testing.T) {
	f := newFixture(t)
	args := []string{"--bucket=audit", "--prefix=shop/all", "--account=123456789012", "--region=eu-lab-1", "--trail=shop.all"}
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, []byte("CA"), 0o600); err != nil {
		t.Fatal(err)
	}
	r := f.result(t, append(args, "--trust", f.Keys[0].SHA256, "--head", f.anchor(t), "--ca-file", ca)...)
	if !r.Valid || !r.KeysPinned || !r.HeadChecked {
		t.Errorf("%+v", r)
	}
	want := objectstore.Config{
		Endpoint: "https://aws.example.com", Region: "aws-region", Bucket: "audit", CA: []byte("\nCA"),
		AccessKey: "key", SecretKey: "secret", Token: "token", AllowPrivate: true,
	}
	if diff := cmp.Diff(want, f.opened); diff != "" {
		t.Error(diff)
	}
	f.result(t, append(args, "--endpoint=http://127.0.0.1:1", "--bucket-region=r")...)
	if f.opened.Endpoint != "http://127.0.0.1:1" || f.opened.Region != "r" {
		t.Errorf("opened %+v", f.opened)
	}
	if r := f.result(t, append(args, "--trust", strings.Repeat("00", 32))...); r.Valid {
		t.Error("another pinned key makes no difference")
	}
	if r := f.result(t, append(args, "--start-time=2026-03-01T10:30:00Z", "--end-time=2026-03-01T11:00:00Z")...); r.Digests.Total != 1 {
		t.Errorf("%d digests were read, want 1", r.Digests.Total)
	}
}

// An anchor that is older than the head of the status is checked as well.
func TestAnchorBesideTheStatus(t *testing.T) {
	f := newFixture(t)
	anchor := f.anchor(t)
	f.Hours(t, 2, 1)
	f.setHead(t)
	f.cluster.Objects[0] = f.trail
	if r := f.result(t, "all", "--head", anchor); !r.Valid || r.Digests.Total != 5 {
		t.Errorf("%+v", r)
	}
	f.store.Delete(f.Digests[4])
	if r := f.result(t, "all", "--head", anchor); r.Valid {
		t.Error("the head of the status was not checked")
	}
}

func TestFolder(t *testing.T) {
	f := newFixture(t)
	dir, anchor := f.copy(t), f.anchor(t)
	f.awsErr = errors.New("a folder needs no bucket")
	for _, args := range [][]string{
		{"--dir", dir, "--head", anchor},
		{"--dir", dir, "--head", anchor, "--bucket=audit", "--trail=shop.all", "--prefix=shop/all", "--account=123456789012", "--region=eu-lab-1"},
		{"all", "--dir", dir},
	} {
		if r := f.result(t, args...); !r.Valid || r.Digests.Valid != 3 || r.LogFiles.Valid != 6 {
			t.Errorf("%q: %+v", args, r)
		}
	}
	other := f.Layout
	other.Account = "000000000001"
	if err := os.MkdirAll(filepath.Join(dir, filepath.Dir(other.Digest("x.y", f.End()))), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, other.Digest("x.y", f.End())), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := f.run(t, "--dir", dir); err == nil || !strings.Contains(err.Error(), "holds 2 trails; choose one") {
		t.Errorf("two trails in the folder: %v", err)
	}
	if r := f.result(t, "--dir", dir, "--head", anchor, "--trail=shop.all"); !r.Valid {
		t.Errorf("%+v", r)
	}
}

func TestKeysThatMayNotBeRead(t *testing.T) {
	f := newFixture(t)
	f.cluster.Objects = []client.Object{f.trail}
	var errOut strings.Builder
	cmd := newCommand(&options{
		cluster: f.cluster, streams: genericiooptions.IOStreams{Out: &strings.Builder{}, ErrOut: &errOut},
		open: func(objectstore.Config) (objectstore.Store, error) { return f.store, nil },
		aws:  func(context.Context) (awsenv.Environment, error) { return f.aws, nil },
	})
	cmd.SetArgs([]string{"all"})
	if err := cmd.ExecuteContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(errOut.String(), "warning: the public keys of the cluster cannot be read") {
		t.Errorf("it says %q", errOut.String())
	}
}

func TestRefusals(t *testing.T) {
	f := newFixture(t)
	damaged := filepath.Join(t.TempDir(), "damaged")
	if err := os.WriteFile(damaged, []byte(`{"x":1}`), 0o600); err != nil {
		t.Fatal(err)
	}
	bucket := []string{"--bucket=audit", "--account=123456789012", "--region=eu-lab-1", "--trail=shop.all"}
	for name, tc := range map[string]struct {
		args []string
		want string
	}{
		"nothing":                   {nil, "name a trail"},
		"two trails":                {[]string{"a", "b"}, "one trail"},
		"a trail and a bucket":      {[]string{"all", "--bucket=b"}, "says itself where it is"},
		"a trail and an endpoint":   {[]string{"all", "--endpoint=http://x"}, "belong to --bucket"},
		"a folder and certificates": {[]string{"--dir=x", "--ca-file=y"}, "--ca-file"},
		"a bucket alone":            {[]string{"--bucket=b"}, "--account"},
		"a short account":           {[]string{"--bucket=b", "--account=1", "--region=r", "--trail=t"}, "12 digits"},
		"a strange region":          {[]string{"--bucket=b", "--account=123456789012", "--region=R/", "--trail=t"}, "--region"},
		"a short pin":               {append(bucket, "--trust=00"), "--trust"},
		"another format":            {append(bucket, "-o", "yaml"), "yaml"},
		"no workers":                {append(bucket, "--workers=0"), "--workers"},
		"a time that is none":       {append(bucket, "--start-time=yesterday"), "--start-time"},
		"an end before the start":   {append(bucket, "--start-time=2026-03-02", "--end-time=2026-03-01"), "after the start"},
		"a head that is not there":  {append(bucket, "--head=none"), "reading the head"},
		"a damaged head":            {append(bucket, "--head", damaged), "kubectl trail head"},
		"certificates not there":    {append(bucket, "--ca-file=none"), "--ca-file"},
		"a folder that is none":     {[]string{"--dir=none"}, "folder"},
		"an empty folder":           {[]string{"--dir", t.TempDir()}, "aws s3 sync"},
		"an unknown trail":          {[]string{"none"}, "there is no trail named"},
		"an empty bucket":           {bucket, "no digest of the trail was found"}, // without its prefix
	} {
		out, _, err := f.run(t, tc.args...)
		if err == nil || !strings.Contains(err.Error(), tc.want) || exitCode(err) != 2 || out != "" {
			t.Errorf("%s: got %q and %v, want %q", name, out, err, tc.want)
		}
	}
}

func TestStoreErrorsSayWhatToDo(t *testing.T) {
	f := newFixture(t)
	for fault, want := range map[error]string{
		objectstore.ErrAccessDenied:   "AWS environment",
		objectstore.ErrBadCredentials: "AWS environment",
		objectstore.ErrNoBucket:       "names of the bucket",
		objectstore.ErrCertificate:    "--ca-file",
	} {
		f.store.SetHook(func(context.Context, objectstore.Op, string) memory.Fault { return memory.Fault{Refuse: fault} })
		if _, _, err := f.run(t, "all"); err == nil || !strings.Contains(err.Error(), want) || exitCode(err) != 2 {
			t.Errorf("%v: got %v, want %q", fault, err, want)
		}
	}
	f.awsErr = errors.New("no credentials here")
	if _, _, err := f.run(t, "all"); err == nil || err.Error() != "no credentials here" {
		t.Errorf("without credentials: %v", err)
	}
}

func TestProgressIsForTerminals(t *testing.T) {
	var b strings.Builder
	p := newProgress(&b)
	p.show(verify.Progress{})
	p.clear()
	if b.String() != "" {
		t.Errorf("%q was written where there is no terminal", b.String())
	}
	p.w = &b
	p.show(verify.Progress{Digests: 1, DigestsTotal: 2})
	p.show(verify.Progress{Digests: 2, DigestsTotal: 2}) // too soon
	p.clear()
	if want := "\r\x1b[Kreading digests: 1 of 2\r\x1b[K"; b.String() != want {
		t.Errorf("got %q, want %q", b.String(), want)
	}
}
