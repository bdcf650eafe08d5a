package webhookconfig

import (
	"bytes"
	"crypto/tls"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/client-go/tools/clientcmd"
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

func installation(url string) client.Object {
	return &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Namespace: kube.OperatorNamespace, Name: manifests.InstallationName},
		Data:       map[string]string{manifests.InstallationAccount: "000000000042", manifests.InstallationReceiverURL: url},
	}
}

func TestKubeconfig(t *testing.T) {
	ca, leaf := issue(t, clitest.Now)
	out, err := run(t, &clitest.Cluster{Objects: []client.Object{
		installation("https://10.0.0.9:8443"),
		manifests.Certificate(kube.OperatorNamespace, manifests.APIServerCertName("cp-1"), ca.Cert, leaf),
	}}, "--apiserver", "cp-1")
	if err != nil {
		t.Fatal(err)
	}
	config, err := clientcmd.RESTConfigFromKubeConfig([]byte(out))
	if err != nil {
		t.Fatal(err)
	}
	if config.Host != "https://10.0.0.9:8443/v1/audit/000000000042/cp-1" {
		t.Errorf("posts go to %s", config.Host)
	}
	if !bytes.Equal(config.CAData, ca.Cert) {
		t.Error("another CA")
	}
	pair, err := tls.X509KeyPair(config.CertData, config.KeyData)
	if err != nil {
		t.Fatal(err)
	}
	if pair.Leaf.Subject.CommonName != "000000000042:cp-1" {
		t.Errorf("the certificate is that of %s", pair.Leaf.Subject)
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
	other, _ := issue(t, clitest.Now)
	oldCA, oldLeaf := issue(t, clitest.Now.Add(-11*365*24*time.Hour))
	secret := func(ca, leaf pki.KeyPair) client.Object {
		return manifests.Certificate(kube.OperatorNamespace, manifests.APIServerCertName("cp-1"), ca.Cert, leaf)
	}
	const url = "https://10.0.0.9:8443"
	for name, tc := range map[string]struct {
		objects []client.Object
		args    []string
		want    string
	}{
		"no name":         {nil, nil, "--apiserver is missing"},
		"argument":        {nil, []string{"cp-1"}, "name the API server with --apiserver NAME"},
		"path":            {nil, []string{"--apiserver", "../x"}, `--apiserver "../x" must be`},
		"upper case":      {nil, []string{"--apiserver", "CP"}, `--apiserver "CP" must be`},
		"namespace":       {nil, []string{"--apiserver", "cp-1", "--operator-namespace", "A"}, `--operator-namespace "A" is not`},
		"no installation": {nil, []string{"--apiserver", "cp-1"}, "name its namespace with --operator-namespace"},
		"not issued": {
			[]client.Object{installation(url)},
			[]string{"--apiserver", "cp-9"},
			"add the name to receiver.apiServers in the manager's configuration and restart the manager",
		},
		"wrong CA":  {[]client.Object{installation(url), secret(other, leaf)}, []string{"--apiserver", "cp-1"}, "was changed by hand; delete it"},
		"no key":    {[]client.Object{installation(url), secret(ca, pki.KeyPair{Cert: leaf.Cert})}, []string{"--apiserver", "cp-1"}, "was changed by hand; delete it"},
		"expired":   {[]client.Object{installation(url), secret(oldCA, oldLeaf)}, []string{"--apiserver", "cp-1"}, "expired on 2025-03-01"},
		"no URL":    {[]client.Object{installation(""), secret(ca, leaf)}, []string{"--apiserver", "cp-1"}, "restart the manager, which writes it again"},
		"wrong URL": {[]client.Object{installation("http://x"), secret(ca, leaf)}, []string{"--apiserver", "cp-1"}, "must be https://host:port"},
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
