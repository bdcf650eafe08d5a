package webhookconfig

import (
	"context"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/trail-operator/trail-operator/internal/cli/clitest"
	"github.com/trail-operator/trail-operator/internal/cli/kube"
	"github.com/trail-operator/trail-operator/internal/manifests"
	"github.com/trail-operator/trail-operator/internal/pki"
)

func certificates(data map[string]string) *corev1.ConfigMap {
	return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: kube.OperatorNamespace, Name: manifests.CertificatesName}, Data: data}
}

// managed is a cluster with a manager, which answers each request at once.
type managed struct {
	clitest.Cluster
	t      *testing.T
	client client.WithWatch
	asked  []string
	answer map[string]string // what the manager changes in the ConfigMap
	issued string            // fingerprint of the newest certificate
}

// issue makes a Secret with a new certificate.
func (m *managed) issue() *corev1.Secret {
	m.t.Helper()
	ca, leaf := issue(m.t, clitest.Now)
	cert, err := leaf.CheckKey()
	if err != nil {
		m.t.Fatal(err)
	}
	m.issued = pki.Fingerprint(cert)
	return secret(ca, leaf)
}

func (m *managed) Client() (client.Client, error) {
	return interceptor.NewClient(m.client, interceptor.Funcs{
		Patch: func(ctx context.Context, c client.WithWatch, o client.Object, patch client.Patch, opts ...client.PatchOption) error {
			raw, err := patch.Data(o)
			if err != nil {
				return err
			}
			if err := c.Patch(ctx, o, client.RawPatch(patch.Type(), raw), opts...); err != nil {
				return err
			}
			data := o.(*corev1.ConfigMap).Data
			m.asked = append(m.asked, string(raw))
			next := certificates(map[string]string{})
			for k, v := range data {
				next.Data[k] = v
			}
			for k, v := range m.answer {
				next.Data[k] = v
			}
			if revoked := data[manifests.RevokePrefix+manifests.CertificatesCA]; revoked != "" {
				next.Data[manifests.CertificatesCA] = revoked
			}
			if strings.Contains(string(raw), manifests.RotatePrefix+manifests.CertificatesAPIServer) {
				if err := c.Update(ctx, m.issue()); err != nil {
					return err
				}
			}
			return c.Update(ctx, next)
		},
	}), nil
}

func rotate(t *testing.T, answer map[string]string, args ...string) (m *managed, stdout, stderr string) {
	t.Helper()
	m = &managed{t: t, answer: answer}
	stale := m.issue()
	stale.Data[manifests.KeyKubeconfig] = []byte("the old kubeconfig\n")
	m.client = fake.NewClientBuilder().WithScheme(kube.Scheme).
		WithObjects(certificates(map[string]string{"ca": "aa", "apiserver.cp-1": "11"}), stale).Build()
	stdout, stderr, err := clitest.Run(t, func(s genericiooptions.IOStreams) *cobra.Command {
		return NewCommand(m, s, clocktesting.NewFakePassiveClock(clitest.Now))
	}, args...)
	if err != nil {
		t.Fatal(err)
	}
	return m, stdout, stderr
}

// TestRotate: one certificate is asked for, and the new file is printed. With
// --revoke all that it has taken the place of are refused.
func TestRotate(t *testing.T) {
	for name, tc := range map[string]struct {
		args                []string
		prints, says, lacks string
		asked               []string
	}{
		"rotate": {
			[]string{"--rotate"},
			"the kubeconfig\n",
			"once it has not been used for ten minutes",
			"Warning",
			[]string{`{"data":{"rotate.apiserver.cp-1":"11"}}`},
		},
		"and revoke": {
			[]string{"--rotate", "--revoke"},
			"the kubeconfig\n",
			"Warning: what the certificate",
			"ten minutes",
			[]string{`{"data":{"rotate.apiserver.cp-1":"11"}}`, `{"data":{"revoke.apiserver.cp-1":"FINGERPRINT"}}`},
		},
		"revoke": {
			[]string{"--revoke"},
			"the old kubeconfig\n",
			"loses events from then on",
			"A new certificate",
			[]string{`{"data":{"revoke.apiserver.cp-1":"FINGERPRINT"}}`},
		},
	} {
		t.Run(name, func(t *testing.T) {
			m, out, errOut := rotate(t, map[string]string{"apiserver.cp-1": "22"}, append(tc.args, "--apiserver", "cp-1")...)
			if out != tc.prints || !strings.Contains(errOut, tc.says) || strings.Contains(errOut, tc.lacks) || !strings.Contains(errOut, "restart") {
				t.Errorf("printed %q, and said %q", out, errOut)
			}
			for i := range tc.asked {
				tc.asked[i] = strings.ReplaceAll(tc.asked[i], "FINGERPRINT", m.issued)
			}
			if d := cmp.Diff(tc.asked, m.asked); d != "" {
				t.Errorf("asked %s", d)
			}
		})
	}
}

// TestRotateCA: nothing is printed that could be taken for a file.
func TestRotateCA(t *testing.T) {
	for name, tc := range map[string]struct {
		args   []string
		answer map[string]string
		says   string
		asked  []string
	}{
		"begun": {
			nil,
			map[string]string{"ca.next": "bb", "rotation": "It waits until the receiver trusts the new CA."},
			"The new CA has begun. It waits until the receiver trusts the new CA.\n",
			[]string{`{"data":{"rotate.ca":"aa"}}`},
		},
		"at once, because the old one had expired": {
			nil, map[string]string{"ca": "bb"}, "The new CA has begun.", []string{`{"data":{"rotate.ca":"aa"}}`},
		},
		"revoked": {
			[]string{"--revoke"},
			map[string]string{"ca.next": "bb"},
			"Warning: the old CA",
			[]string{`{"data":{"rotate.ca":"aa"}}`, `{"data":{"revoke.ca":"bb"}}`},
		},
		"revoked, and had expired": {
			[]string{"--revoke"}, map[string]string{"ca": "bb"}, "The new CA has begun.", []string{`{"data":{"rotate.ca":"aa"}}`},
		},
	} {
		m, out, errOut := rotate(t, tc.answer, append(tc.args, "--rotate-ca")...)
		if out != "" || !strings.Contains(errOut, "webhook-config --apiserver NAME") || !strings.Contains(errOut, tc.says) {
			t.Errorf("%s: printed %q, and said %q", name, out, errOut)
		}
		if d := cmp.Diff(tc.asked, m.asked); d != "" {
			t.Errorf("%s: asked %s", name, d)
		}
	}
}
