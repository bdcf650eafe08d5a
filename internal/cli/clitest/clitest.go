// Package clitest runs commands in tests: against a cluster in memory, with
// their output compared to files under testdata/.
package clitest

import (
	"context"
	"flag"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/trail-operator/trail-operator/api/v1alpha1"
	"github.com/trail-operator/trail-operator/internal/cli/kube"
)

var update = flag.Bool("update", false, "write the files under testdata/ anew")

// Now is the time at which tests happen.
var Now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// Cluster is a kube.Cluster in memory.
type Cluster struct {
	Objects []client.Object
	// Chosen is the chosen namespace.
	Chosen string
	// Down makes Client fail, Fail makes every request fail, and Hidden every
	// one for OrganizationTrails.
	Down, Fail, Hidden error
	// Refuse, when set, may make a request for a kind of object fail.
	Refuse func(object any) error
	// Answers of the API server by path; all others are 404.
	Answers map[string]kube.Answer
}

var _ kube.Cluster = &Cluster{}

// Client returns a client for the objects.
func (c *Cluster) Client() (client.Client, error) {
	if c.Down != nil {
		return nil, c.Down
	}
	return interceptor.NewClient(
		fake.NewClientBuilder().WithScheme(kube.Scheme).WithObjects(c.Objects...).WithReturnManagedFields().Build(),
		interceptor.Funcs{
			Get: func(ctx context.Context, cl client.WithWatch, key client.ObjectKey, obj client.Object, opts ...client.GetOption) error {
				if err := c.refuse(obj); err != nil {
					return err
				}
				return cl.Get(ctx, key, obj, opts...)
			},
			List: func(ctx context.Context, cl client.WithWatch, list client.ObjectList, opts ...client.ListOption) error {
				if err := c.refuse(list); err != nil {
					return err
				}
				return cl.List(ctx, list, opts...)
			},
		}), nil
}

func (c *Cluster) refuse(of any) error {
	switch of.(type) {
	case *v1alpha1.OrganizationTrail, *v1alpha1.OrganizationTrailList:
		if c.Hidden != nil {
			return c.Hidden
		}
	}
	if c.Refuse != nil {
		if err := c.Refuse(of); err != nil {
			return err
		}
	}
	return c.Fail
}

// Server returns the server that gives the answers.
func (c *Cluster) Server() (kube.Server, error) {
	if c.Down != nil {
		return nil, c.Down
	}
	return answers{c}, nil
}

type answers struct{ *Cluster }

func (a answers) Get(_ context.Context, path string) (kube.Answer, error) {
	if a.Fail != nil {
		return kube.Answer{}, a.Fail
	}
	if answer, ok := a.Answers[path]; ok {
		if answer.Date.IsZero() {
			answer.Date = Now
		}
		return answer, nil
	}
	return kube.Answer{Status: http.StatusNotFound, Date: Now}, nil
}

// Forward fails: there are no pods.
func (c *Cluster) Forward(namespace, pod string, _ int) (*kube.Forward, error) {
	return nil, fmt.Errorf("the pod %s in namespace %q is not reached in tests", pod, namespace)
}

// Namespace returns the chosen namespace.
func (c *Cluster) Namespace() (string, error) { return c.Chosen, nil }

// Run runs a command and returns what it wrote.
func Run(t *testing.T, build func(genericiooptions.IOStreams) *cobra.Command, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	streams, _, out, errOut := genericiooptions.NewTestIOStreams()
	cmd := build(streams)
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	cmd.SetArgs(append([]string{}, args...)) // nil would mean those of the test
	cmd.SetOut(out)
	cmd.SetErr(errOut)
	err = cmd.ExecuteContext(t.Context())
	return out.String(), errOut.String(), err
}

// Golden compares got with the file testdata/name.
func Golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s differs, -want +got (write it anew with -update):\n%s", path, diff)
	}
}

// Before is a time before Now.
func Before(d time.Duration) *metav1.Time {
	return &metav1.Time{Time: Now.Add(-d)}
}

// Condition is a condition of ten minutes ago.
func Condition(kind string, status metav1.ConditionStatus, reason, message string) metav1.Condition {
	return metav1.Condition{Type: kind, Status: status, Reason: reason, Message: message, LastTransitionTime: *Before(10 * time.Minute)}
}

// OrganizationTrail is an OrganizationTrail that works.
func OrganizationTrail(name string) *v1alpha1.OrganizationTrail {
	const place = "AWSLogs/o-0123456789/000000000042/CloudTrail-Digest/eu-central-1/2026/03/01/000000000042_CloudTrail-Digest_eu-central-1_"
	t := Trail("all", name)
	t.Namespace = ""
	t.Status.Prefix = ""
	t.Status.TrailARN = "arn:k8s:cloudtrail:eu-central-1:000000000042:trail/" + name
	t.Status.Head.TrailARN = t.Status.TrailARN
	t.Status.Head.S3Object = place + name + "_eu-central-1_20260301T110000Z.json.gz"
	return t.AsOrganizationTrail()
}

// Trail is a trail that works.
func Trail(namespace, name string) *v1alpha1.Trail {
	arn := "arn:k8s:cloudtrail:eu-central-1:000000000042:trail/" + namespace + "." + name
	t := &v1alpha1.Trail{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Generation: 2, CreationTimestamp: *Before(50 * time.Hour)},
		Spec: v1alpha1.TrailSpec{Destination: v1alpha1.Destination{
			Endpoint: "https://s3.example.com", Bucket: "audit-" + namespace,
			CredentialsSecretRef: &v1alpha1.CredentialsSecretRef{Name: name + "-bucket"},
		}},
		Status: v1alpha1.TrailStatus{
			ObservedGeneration: 2, TrailARN: arn, Prefix: namespace + "/" + name,
			LatestDelivery:       &v1alpha1.LatestDelivery{Time: Before(90 * time.Second)},
			LatestDigest:         &v1alpha1.LatestDigest{Time: Before(42 * time.Minute)},
			DeliveredBytesPerDay: 12_345_678,
			Counts:               &v1alpha1.RecordCounts{Accepted: 1500, Delivered: 1200, SelectedOut: 290, Pending: 10},
			Head: &v1alpha1.DigestHead{
				TrailARN: arn, ChainID: "0b5d8f0e-6a53-4c3f-9a43-6f1f8e8f0a11", Sequence: 49, S3Bucket: "audit-" + namespace,
				S3Object: namespace + "/" + name + "/AWSLogs/000000000042/CloudTrail-Digest/eu-central-1/2026/03/01/" +
					"000000000042_CloudTrail-Digest_eu-central-1_" + namespace + "." + name + "_eu-central-1_20260301T110000Z.json.gz",
				HashValue: "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
				Signature: "00ff", EndTime: "2026-03-01T11:00:00Z",
				PublicKeyFingerprint: "31e8b5433410dfb61a9dc45cc65b22ff",
				PublicKeySHA256:      "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae",
			},
		},
	}
	for _, kind := range []string{
		v1alpha1.ConditionReady, v1alpha1.ConditionBucketReady, v1alpha1.ConditionReceiving,
		v1alpha1.ConditionDelivering, v1alpha1.ConditionDigestsCurrent,
	} {
		t.Status.Conditions = append(t.Status.Conditions, Condition(kind, metav1.ConditionTrue, v1alpha1.ReasonRecording, ""))
	}
	return t
}
