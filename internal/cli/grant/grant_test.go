package grant

import (
	"errors"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/trail-operator/trail-operator/internal/cli/clitest"
	"github.com/trail-operator/trail-operator/internal/cli/kube"
	"github.com/trail-operator/trail-operator/internal/manifests"
)

func installation(namespace, manager string) client.Object {
	return &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: manifests.InstallationName},
		Data:       map[string]string{manifests.InstallationManager: manager},
	}
}

func run(t *testing.T, c kube.Cluster, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	return clitest.Run(t, func(s genericiooptions.IOStreams) *cobra.Command { return NewCommand(c, s) }, args...)
}

func TestGrant(t *testing.T) {
	trail := clitest.Trail("shop", "audit")
	down := &clitest.Cluster{Chosen: "shop", Down: errors.New("down")}
	known := &clitest.Cluster{Chosen: "shop", Objects: []client.Object{
		trail, clitest.OrganizationTrail("all"), installation(kube.OperatorNamespace, "system:serviceaccount:ops:boss"), installation("elsewhere", "trail-manager"),
	}}
	unknown := &clitest.Cluster{Chosen: "shop", Objects: []client.Object{trail}}
	for name, tc := range map[string]struct {
		cluster kube.Cluster
		args    []string
		assumed bool
	}{
		"written-down":    {known, []string{"audit"}, false},
		"organization":    {known, []string{"organizationtrail/all"}, false},
		"user":            {known, []string{"audit", "--operator-namespace", "elsewhere"}, false},
		"service-account": {known, []string{"audit", "--operator-namespace", "elsewhere", "--operator-service-account", "sa"}, false},
		"assumed":         {unknown, []string{"audit"}, true},
		"secret":          {known, []string{"--secret", "other"}, false},
		"secret-offline":  {down, []string{"--secret", "other"}, true},
	} {
		t.Run(name, func(t *testing.T) {
			out, errOut, err := run(t, tc.cluster, tc.args...)
			if err != nil {
				t.Fatal(err)
			}
			if assumed := strings.Contains(errOut, "Assuming"); assumed != tc.assumed {
				t.Errorf("wrote %q to the standard error output", errOut)
			}
			clitest.Golden(t, name+".yaml", out)
		})
	}
}

func TestNothingToGrant(t *testing.T) {
	ambient := clitest.OrganizationTrail("ambient")
	ambient.Spec.Destination.CredentialsSecretRef = nil
	out, _, err := run(t, &clitest.Cluster{Objects: []client.Object{ambient}}, "otrl/ambient")
	if err == nil || !strings.Contains(err.Error(), "names no Secret") || out != "" {
		t.Errorf("got %q and %v", out, err)
	}
}

// What the command prints is what the trail's condition prints.
func TestSameAsCondition(t *testing.T) {
	c := &clitest.Cluster{Chosen: "shop", Objects: []client.Object{
		clitest.Trail("shop", "audit"), installation(kube.OperatorNamespace, "system:serviceaccount:ops:boss"),
	}}
	out, _, err := run(t, c, "audit")
	if err != nil {
		t.Fatal(err)
	}
	if out != manifests.GrantYAML("shop", "audit-bucket", manifests.Subject("system:serviceaccount:ops:boss")) {
		t.Errorf("got\n%s", out)
	}
}

func TestErrors(t *testing.T) {
	c := &clitest.Cluster{Chosen: "shop"}
	for want, args := range map[string][]string{
		"grant takes the name of one trail or --secret":        {},
		"as in: kubectl trail grant audit":                     {"audit", "--secret", "x"},
		`there is no trail named "audit" in namespace "shop"`:  {"audit"},
		`--secret "A b" is not the name of a Secret`:           {"--secret", "A b"},
		`--operator-namespace "a/b" is not`:                    {"--secret", "x", "--operator-namespace", "a/b"},
		`--operator-service-account "a\nb" is not the name of`: {"--secret", "x", "--operator-service-account", "a\nb"},
	} {
		out, _, err := run(t, c, args...)
		if err == nil || !strings.Contains(err.Error(), want) || out != "" {
			t.Errorf("got %q and %v, want %q", out, err, want)
		}
	}
}
