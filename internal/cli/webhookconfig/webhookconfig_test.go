package webhookconfig

import (
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/trail-operator/trail-operator/internal/cli/clitest"
	"github.com/trail-operator/trail-operator/internal/cli/kube"
	"github.com/trail-operator/trail-operator/internal/manifests"
	"github.com/trail-operator/trail-operator/internal/pki"
)

func run(t *testing.T, c kube.Cluster, args ...string) (string, error) {
	t.Helper()
	out, errOut, err := clitest.Run(t, func(s genericiooptions.IOStreams) *cobra.Command {
		return NewCommand(c, s, clocktesting.NewFakePassiveClock(clitest.Now))
	}, args...)
	if errOut != "" {
		t.Errorf("wrote %q to the standard error output", errOut)
	}
	return out, err
}

func issue(t *testing.T, at time.Time) (ca, leaf pki.KeyPair) {
	t.Helper()
	ca, err := pki.NewCA("intake", at)
	if err != nil {
		t.Fatal(err)
	}
	if leaf, err = ca.IssueAPIServer(at, "000000000042:cp-1", "trail-operator:audit"); err != nil {
		t.Fatal(err)
	}
	return ca, leaf
}

func secret(ca, leaf pki.KeyPair) *corev1.Secret {
	a := manifests.APIServer{KeyPair: leaf, CA: ca.Cert, Kubeconfig: []byte("the kubeconfig\n")}
	return a.Secret(kube.OperatorNamespace, "cp-1")
}

func TestKubeconfig(t *testing.T) {
	out, err := run(t, &clitest.Cluster{Objects: []client.Object{secret(issue(t, clitest.Now))}}, "--apiserver", "cp-1")
	if err != nil || out != "the kubeconfig\n" {
		t.Errorf("%q, %v", out, err)
	}
}

func TestFlags(t *testing.T) {
	for name, args := range map[string][]string{
		"flags.txt":        nil,
		"flags-no-log.txt": {"--log-file=", "--policy-file", "/p.yaml", "--webhook-file", "/w"},
	} {
		t.Run(name, func(t *testing.T) {
			out, err := run(t, &clitest.Cluster{}, append([]string{"--apiserver", "cp-1", "--flags"}, args...)...)
			if err != nil {
				t.Fatal(err)
			}
			clitest.Golden(t, name, out)
		})
	}
}

func TestErrors(t *testing.T) {
	ca, leaf := issue(t, clitest.Now)
	oldCA, oldLeaf := issue(t, clitest.Now.Add(-11*365*24*time.Hour))
	empty := secret(ca, leaf)
	delete(empty.Data, manifests.KeyKubeconfig)
	for name, tc := range map[string]struct {
		objects []client.Object
		args    []string
		want    string
	}{
		"no name":    {nil, nil, "--apiserver is missing"},
		"argument":   {nil, []string{"cp-1"}, "name the API server with --apiserver NAME"},
		"path":       {nil, []string{"--apiserver", "../x"}, `--apiserver "../x" must be`},
		"upper case": {nil, []string{"--apiserver", "CP"}, `--apiserver "CP" must be`},
		"namespace":  {nil, []string{"--apiserver", "cp-1", "--operator-namespace", "A"}, `--operator-namespace "A" is not`},
		"not issued": {
			nil,
			[]string{"--apiserver", "cp-9"},
			"add the name to receiver.apiServers in the manager's configuration and restart the manager",
		},
		"no key":        {[]client.Object{secret(ca, pki.KeyPair{Cert: leaf.Cert})}, []string{"--apiserver", "cp-1"}, "was changed by hand; the manager mends it"},
		"no file":       {[]client.Object{empty}, []string{"--apiserver", "cp-1"}, "was changed by hand; the manager mends it"},
		"expired":       {[]client.Object{secret(oldCA, oldLeaf)}, []string{"--apiserver", "cp-1"}, "expired on 2025-03-01; have another one issued with --rotate"},
		"two rotations": {nil, []string{"--rotate", "--rotate-ca"}, "none of the others can be"},
		"CA of one":     {nil, []string{"--rotate-ca", "--apiserver", "cp-1"}, "none of the others can be"},
		"rotate what":   {nil, []string{"--rotate"}, "--apiserver is missing"},
		"revoke flags":  {nil, []string{"--revoke", "--flags", "--apiserver", "cp-1"}, "none of the others can be"},
		"revoke what":   {nil, []string{"--revoke"}, "--apiserver is missing"},
		"no manager":    {nil, []string{"--rotate-ca"}, "has not written the ConfigMap trail-certificates"},
		"nothing to rotate": {
			[]client.Object{certificates(map[string]string{"ca": "aa"})},
			[]string{"--rotate", "--apiserver", "cp-9"},
			"has not issued a certificate for an API server \"cp-9\"",
		},
	} {
		t.Run(name, func(t *testing.T) {
			out, err := run(t, &clitest.Cluster{Objects: tc.objects}, tc.args...)
			if err == nil || !strings.Contains(err.Error(), tc.want) || out != "" {
				t.Errorf("got %q and %v, want %q", out, err, tc.want)
			}
			if err != nil && strings.Contains(err.Error(), "PRIVATE") {
				t.Error("the error shows the key")
			}
		})
	}
}
