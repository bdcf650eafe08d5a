package webhookconfig

import (
	"context"
	"strings"
	"testing"

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
			if m.answer["apiserver.cp-1"] != "" {
				if err := c.Update(ctx, secret(issue(m.t, clitest.Now))); err != nil {
					return err
				}
			}
			return c.Update(ctx, next)
		},
	}), nil
}

func rotate(t *testing.T, answer map[string]string, args ...string) (m *managed, stdout, stderr string) {
	t.Helper()
	stale := secret(issue(t, clitest.Now))
	stale.Data[manifests.KeyKubeconfig] = []byte("the old kubeconfig\n")
	m = &managed{t: t, answer: answer, client: fake.NewClientBuilder().WithScheme(kube.Scheme).
		WithObjects(certificates(map[string]string{"ca": "aa", "apiserver.cp-1": "11"}), stale).Build()}
	stdout, stderr, err := clitest.Run(t, func(s genericiooptions.IOStreams) *cobra.Command {
		return NewCommand(m, s, clocktesting.NewFakePassiveClock(clitest.Now))
	}, args...)
	if err != nil {
		t.Fatal(err)
	}
	return m, stdout, stderr
}

// TestRotate: one certificate is asked for, and the new file is printed.
func TestRotate(t *testing.T) {
	m, out, errOut := rotate(t, map[string]string{"apiserver.cp-1": "22"}, "--rotate", "--apiserver", "cp-1")
	if out != "the kubeconfig\n" || !strings.Contains(errOut, "restart that API server") {
		t.Errorf("printed %q, and said %q", out, errOut)
	}
	if len(m.asked) != 1 || m.asked[0] != `{"data":{"rotate.apiserver.cp-1":"11"}}` {
		t.Errorf("asked %v", m.asked)
	}
}

// TestRotateCA: nothing is printed that could be taken for a file.
func TestRotateCA(t *testing.T) {
	for name, answer := range map[string]map[string]string{
		"begun": {"rotation": "It waits until the receiver trusts the new CA."}, "at once, because the old one had expired": {"ca": "bb"},
	} {
		m, out, errOut := rotate(t, answer, "--rotate-ca")
		if out != "" || !strings.Contains(errOut, "webhook-config --apiserver NAME") || !strings.Contains(errOut, answer["rotation"]) {
			t.Errorf("%s: printed %q, and said %q", name, out, errOut)
		}
		if len(m.asked) != 1 || m.asked[0] != `{"data":{"rotate.ca":"aa"}}` {
			t.Errorf("%s: asked %v", name, m.asked)
		}
	}
}
