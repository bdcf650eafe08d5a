package bucketpolicy

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/trail-operator/trail-operator/api/v1alpha1"
	"github.com/trail-operator/trail-operator/internal/cli/awsenv"
	"github.com/trail-operator/trail-operator/internal/cli/clitest"
	"github.com/trail-operator/trail-operator/internal/cli/kube"
	"github.com/trail-operator/trail-operator/internal/manifests"
	"github.com/trail-operator/trail-operator/internal/objectstore"
	"github.com/trail-operator/trail-operator/internal/objectstore/memory"
)

const (
	theWriter = "arn:aws:iam::123456789012:role/trail"
	theReader = "arn:aws:iam::123456789012:user/auditor"
)

type fixture struct {
	store   *memory.Store
	cluster *clitest.Cluster
	opened  objectstore.Config
	awsErr  error
}

func newFixture() *fixture {
	locked := clitest.Trail("shop", "locked")
	locked.Spec.Destination.ObjectLock = &v1alpha1.ObjectLock{Mode: v1alpha1.LockCompliance, Days: 7}
	locked.Spec.Destination.Encryption = &v1alpha1.Encryption{Type: v1alpha1.EncryptionKMS, KMSKeyID: "arn:aws:kms:eu-west-1:123456789012:key/1"}
	newborn := clitest.Trail("shop", "newborn")
	newborn.Status = v1alpha1.TrailStatus{}
	installation := &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Namespace: kube.OperatorNamespace, Name: manifests.InstallationName},
		Data:       map[string]string{manifests.InstallationOrganization: "o-0123456789"},
	}
	return &fixture{
		store: memory.New(clock.RealClock{}),
		cluster: &clitest.Cluster{Chosen: "shop", Objects: []client.Object{
			clitest.Trail("shop", "audit"), locked, newborn, clitest.OrganizationTrail("all"), installation,
		}},
	}
}

func (f *fixture) run(t *testing.T, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	return clitest.Run(t, func(s genericiooptions.IOStreams) *cobra.Command {
		return newCommand(&options{
			cluster: f.cluster, streams: s,
			open: func(c objectstore.Config) (objectstore.Managed, error) { f.opened = c; return f.store, nil },
			aws: func(context.Context) (awsenv.Environment, error) {
				return awsenv.Environment{AccessKey: "key", SecretKey: "secret", Token: "token"}, f.awsErr
			},
		})
	}, args...)
}

func TestPrints(t *testing.T) {
	for name, args := range map[string][]string{
		"trail":        {"audit", "--writer", theWriter, "--reader", theReader},
		"locked":       {"locked", "--writer", theWriter},
		"organization": {"organizationtrail/all", "--reader", theReader, "--account", "000000000043"},
		"cloudtrail":   {"audit", "--cloudtrail-form"},
		"identity":     {"locked", "--identity", "writer"},
		"reader":       {"audit", "--identity", "reader"},
	} {
		t.Run(name, func(t *testing.T) {
			out, errOut, err := newFixture().run(t, args...)
			if err != nil {
				t.Fatal(err)
			}
			clitest.Golden(t, name+".json", out)
			if told := strings.Contains(errOut, "kms:GenerateDataKey"); told != (name == "locked") {
				t.Errorf("wrote %q to the standard error output", errOut)
			}
		})
	}
}

func TestApply(t *testing.T) {
	f := newFixture()
	const theirs = `{"Version":"2012-10-17","Statement":[{"Sid":"Theirs","Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::audit-shop/public/*"}]}`
	if err := f.store.SetPolicy(t.Context(), theirs); err != nil {
		t.Fatal(err)
	}
	apply := func(want string, args ...string) string {
		t.Helper()
		out, _, err := f.run(t, append([]string{"audit", "--apply"}, args...)...)
		if err != nil || out != want+"\n" {
			t.Errorf("got %q, %v, want %q", out, err, want)
		}
		policy, err := f.store.Policy(t.Context())
		if err != nil || !strings.Contains(policy, `"Sid":"Theirs"`) {
			t.Errorf("the policy is %s, %v", policy, err)
		}
		return policy
	}
	first := apply("policy of bucket audit-shop applied: 4 statements, and 1 statement of others kept", "--writer", theWriter)
	if !strings.Contains(first, theWriter) {
		t.Errorf("the policy is %s", first)
	}
	if c := f.opened; c.Bucket != "audit-shop" || c.Endpoint != "https://s3.example.com" || c.AccessKey != "key" || c.Token != "token" || !c.AllowPrivate {
		t.Errorf("opened %+v", c)
	}
	if again := apply("policy of bucket audit-shop unchanged: 4 statements, 1 statement of others", "--writer", theWriter); again != first {
		t.Errorf("it was written again: %s", again)
	}
	// Readers come beside the writer, and another writer in the place of the one before.
	if both := apply("policy of bucket audit-shop applied: 4 statements, and 4 statements of others kept", "--reader", theReader); !strings.Contains(both, theWriter) {
		t.Errorf("the writer is gone: %s", both)
	}
	if other := apply("policy of bucket audit-shop applied: 4 statements, and 4 statements of others kept", "--writer", "arn:aws:iam::123456789012:role/other"); strings.Contains(other, theWriter) || !strings.Contains(other, theReader) {
		t.Errorf("the policy is %s", other)
	}
}

func TestApplyFails(t *testing.T) {
	for name, tc := range map[string]struct {
		op    objectstore.Op
		fault memory.Fault
		want  string
	}{
		"denied":         {objectstore.OpGetPolicy, memory.Fault{Refuse: objectstore.ErrAccessDenied}, "s3:PutBucketPolicy"},
		"no policies":    {objectstore.OpGetPolicy, memory.Fault{Refuse: objectstore.ErrNotImplemented}, "--identity"},
		"no bucket":      {objectstore.OpGetPolicy, memory.Fault{Refuse: objectstore.ErrNoBucket}, "create it"},
		"malformed":      {objectstore.OpSetPolicy, memory.Fault{Refuse: &objectstore.Error{Op: objectstore.OpSetPolicy, Code: "MalformedPolicy", Status: 400, Err: errors.New("refused")}}, "nothing was changed"},
		"not kept":       {objectstore.OpSetPolicy, memory.Fault{IgnoreSetting: true}, "not in the policy any more"},
		"somebody else":  {objectstore.OpSetPolicy, memory.Fault{Refuse: objectstore.ErrThrottled}, "slow down"},
		"no credentials": {"", memory.Fault{}, "no credentials here"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture()
			f.store.SetHook(func(_ context.Context, op objectstore.Op, _ string) memory.Fault {
				if op == tc.op {
					return tc.fault
				}
				return memory.Fault{}
			})
			if tc.op == "" {
				f.awsErr = errors.New("no credentials here")
			}
			out, _, err := f.run(t, "audit", "--apply", "--writer", theWriter)
			if err == nil || !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), "\n") || out != "" {
				t.Errorf("got %q and %v, want %q", out, err, tc.want)
			}
		})
	}
}

func TestErrors(t *testing.T) {
	f := newFixture()
	for want, args := range map[string][]string{
		"takes the name of one trail":                   {"--writer", theWriter},
		"say who may do something":                      {"audit"},
		"prints a policy without principals":            {"audit", "--identity", "writer", "--reader", theReader},
		"leave out --writer, --reader":                  {"audit", "--identity", "writer", "--apply"},
		"--identity must be writer or reader":           {"audit", "--identity", "owner"},
		"--account must be 12 digits":                   {"audit", "--writer", theWriter, "--account", "42"},
		`"*" names nobody`:                              {"audit", "--writer", "*"},
		`"arn:aws:iam::123456789012:user/*" names`:      {"audit", "--reader", "arn:aws:iam::123456789012:user/*"},
		`"" names nobody`:                               {"audit", "--writer", theWriter, "--reader", ""},
		`there is no trail named "other"`:               {"other", "--writer", theWriter},
		"has no ARN yet":                                {"newborn", "--writer", theWriter},
		`--operator-namespace "a/b" is not the name of`: {"audit", "--writer", theWriter, "--operator-namespace", "a/b"},
	} {
		out, _, err := f.run(t, args...)
		if err == nil || !strings.Contains(err.Error(), want) || out != "" {
			t.Errorf("got %q and %v, want %q", out, err, want)
		}
	}
}
