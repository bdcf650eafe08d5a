package status

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/trail-operator/trail-operator/api/v1alpha1"
	"github.com/trail-operator/trail-operator/internal/cli/clitest"
	"github.com/trail-operator/trail-operator/internal/cli/kube"
)

func run(t *testing.T, c kube.Cluster, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	return clitest.Run(t, func(s genericiooptions.IOStreams) *cobra.Command {
		return NewCommand(c, s, clocktesting.NewFakePassiveClock(clitest.Now))
	}, args...)
}

// cluster holds a trail in each state that looks different.
func cluster() *clitest.Cluster {
	denied := clitest.Trail("shop", "denied")
	denied.Generation = 3
	denied.Status.Conditions = []metav1.Condition{
		clitest.Condition(v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonCredentialsNotReadable,
			"The operator may not read the Secret denied-bucket. Apply:\nkind: Role\nmetadata:\n  name: \x1b[2Jx\n---\nkind: RoleBinding\n"),
		clitest.Condition(v1alpha1.ConditionDelivering, metav1.ConditionUnknown, v1alpha1.ReasonNothingToDeliver, "No file was due so far."),
		clitest.Condition(v1alpha1.ConditionBucketReady, metav1.ConditionFalse, v1alpha1.ReasonCredentialsNotReadable,
			"The operator may not read the Secret denied-bucket. Apply:\nkind: Role\nmetadata:\n  name: \x1b[2Jx\n---\nkind: RoleBinding\n"),
		clitest.Condition(v1alpha1.ConditionDigestsCurrent, metav1.ConditionTrue, v1alpha1.ReasonDigestDelivered, "not to be shown"),
		clitest.Condition(v1alpha1.ConditionStalled, metav1.ConditionTrue, v1alpha1.ReasonCredentialsNotReadable, "Apply the Role."),
	}
	fresh := clitest.Trail("shop", "fresh")
	fresh.Status = v1alpha1.TrailStatus{ObservedGeneration: -1}
	fresh.Spec.Destination.Endpoint = ""
	suspended := clitest.Trail("shop", "suspended")
	suspended.Spec.Suspend = true
	suspended.Status.Conditions = []metav1.Condition{
		clitest.Condition(v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonSuspended, ""),
		clitest.Condition(v1alpha1.ConditionReceiving, metav1.ConditionFalse, v1alpha1.ReasonSuspended, "not to be shown"),
	}
	return &clitest.Cluster{Chosen: "shop", Objects: []client.Object{
		clitest.Trail("shop", "audit"), denied, fresh, suspended, clitest.Trail("bank", "audit"), clitest.OrganizationTrail("all"),
	}}
}

func TestOutput(t *testing.T) {
	for name, args := range map[string][]string{
		"namespace":         nil,
		"all":               {"-A"},
		"wide":              {"-o", "wide", "-A"},
		"no-headers":        {"--no-headers"},
		"one":               {"audit"},
		"one-denied":        {"denied"},
		"organization":      {"otrl/all"},
		"organization-yaml": {"organizationtrail/all", "-o", "yaml"},
		"all-jsonpath":      {"-A", "-o", `jsonpath={.kind}{"\n"}{range .items[*]}{.kind} {.metadata.namespace}/{.metadata.name}{"\n"}{end}`},
		"one-fresh":         {"fresh"},
		"one-suspended":     {"suspended"},
		"one-yaml":          {"audit", "-o", "yaml"},
		"one-json":          {"audit", "-o", "json"},
		"names":             {"-o", "name"},
		"one-name":          {"audit", "-o", "name"},
		"jsonpath":          {"-o", `jsonpath={range .items[*]}{.metadata.name}={.kind}{"\n"}{end}`},
		"go-template":       {"audit", "--template", "{{.spec.destination.bucket}}\n"},
		"all-but-tenant":    {"--all-namespaces", "-o", "name"},
	} {
		t.Run(name, func(t *testing.T) {
			out, errOut, err := run(t, cluster(), args...)
			if err != nil || errOut != "" {
				t.Fatalf("got the error %v and %q", err, errOut)
			}
			if strings.ContainsAny(out, "\x1b\r") {
				t.Error("the output can steer the terminal")
			}
			clitest.Golden(t, name+".txt", out)
		})
	}
}

func TestListOutputIsAList(t *testing.T) {
	out, _, err := run(t, cluster(), "-o", "json")
	if err != nil {
		t.Fatal(err)
	}
	var list v1alpha1.TrailList
	if err := json.Unmarshal([]byte(out), &list); err != nil {
		t.Fatal(err)
	}
	if list.Kind != "TrailList" || len(list.Items) != 4 || list.Items[0].Kind != "Trail" {
		t.Errorf("got a %s with %d items", list.Kind, len(list.Items))
	}
}

func TestErrors(t *testing.T) {
	for name, tc := range map[string]struct {
		cluster *clitest.Cluster
		args    []string
		want    string
	}{
		"no such trail":  {cluster(), []string{"absent"}, `there is no trail named "absent" in namespace "shop"`},
		"two trails":     {cluster(), []string{"a", "b"}, "status takes the name of one trail"},
		"name and all":   {cluster(), []string{"audit", "-A"}, "use -n NAMESPACE instead of -A"},
		"format":         {cluster(), []string{"-o", "xml"}, `the output format "xml" is not known; use wide, json`},
		"format first":   {&clitest.Cluster{Down: errors.New("asked")}, []string{"-o", "xml"}, `"xml" is not known`},
		"no cluster":     {&clitest.Cluster{Down: errors.New("no cluster")}, nil, "no cluster"},
		"broken request": {&clitest.Cluster{Chosen: "shop", Fail: errors.New("a\nb")}, nil, `could not list trails.trail-operator.io in namespace "shop": a b`},
	} {
		t.Run(name, func(t *testing.T) {
			out, _, err := run(t, tc.cluster, tc.args...)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
			if out != "" {
				t.Errorf("printed %q", out)
			}
		})
	}
}

// A tenant sees what may be seen, and is told of the rest.
func TestHiddenOrganizationTrails(t *testing.T) {
	c := cluster()
	c.Hidden = apierrors.NewForbidden(schema.GroupResource{Group: "trail-operator.io", Resource: "organizationtrails"}, "", errors.New("raw"))
	out, errOut, err := run(t, c, "-A", "-o", "name")
	if err != nil || strings.Contains(out, "organization") || !strings.Contains(out, "trail.trail-operator.io/audit") {
		t.Errorf("got %q and the error %v", out, err)
	}
	if errOut != "note: organization trails are not shown: you may not list them\n" {
		t.Errorf("told %q", errOut)
	}
	if _, errOut, err := run(t, c); err != nil || errOut != "" {
		t.Errorf("the trails of a namespace: %q, %v", errOut, err)
	}
}

func TestNoTrails(t *testing.T) {
	for want, args := range map[string][]string{
		"There is no trail in namespace \"void\".\n": nil,
		"There is no trail in any namespace.\n":      {"-A"},
	} {
		out, errOut, err := run(t, &clitest.Cluster{Chosen: "void"}, args...)
		if err != nil || out != "" || errOut != want {
			t.Errorf("got %q, %q and the error %v", out, errOut, err)
		}
	}
}

func TestStyles(t *testing.T) {
	for _, tc := range []struct {
		c    metav1.Condition
		fine bool
	}{
		{clitest.Condition(v1alpha1.ConditionReady, metav1.ConditionTrue, "", ""), true},
		{clitest.Condition(v1alpha1.ConditionReady, metav1.ConditionFalse, "", ""), false},
		{clitest.Condition(v1alpha1.ConditionReady, metav1.ConditionUnknown, "", ""), false},
		{clitest.Condition(v1alpha1.ConditionStalled, metav1.ConditionTrue, "", ""), false},
		{clitest.Condition(v1alpha1.ConditionCertificateExpiring, metav1.ConditionTrue, "", ""), false},
		{clitest.Condition(v1alpha1.ConditionReconciling, metav1.ConditionTrue, "", ""), false},
		{clitest.Condition(v1alpha1.ConditionDigestsCurrent, metav1.ConditionFalse, v1alpha1.ReasonValidationDisabled, ""), true},
	} {
		if got := isFine(&tc.c); got != tc.fine {
			t.Errorf("%s=%s (%s): fine is %v", tc.c.Type, tc.c.Status, tc.c.Reason, got)
		}
	}
}

// TestExpiredFiles: who looks at a trail is told that something can be saved.
func TestExpiredFiles(t *testing.T) {
	trail := clitest.Trail("shop", "audit")
	trail.Status.Counts.Expired, trail.Status.ExpiredFiles = 40, 2
	cluster := &clitest.Cluster{Chosen: "shop", Objects: []client.Object{trail}}
	out, _, err := clitest.Run(t, func(s genericiooptions.IOStreams) *cobra.Command {
		return NewCommand(cluster, s, clocktesting.NewFakePassiveClock(clitest.Now))
	}, "audit")
	if err != nil || !strings.Contains(out, "2 log files are still kept") || !strings.Contains(out, "`kubectl trail redeliver audit -n shop`") {
		t.Errorf("%s, %v", out, err)
	}
}
