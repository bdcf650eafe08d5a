package integration

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	auditv1 "k8s.io/apiserver/pkg/apis/audit/v1"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/trail-operator/trail-operator/internal/manifests"
	"github.com/trail-operator/trail-operator/internal/receiverconfig"
)

// tailPod is a pod that the tests bind tokens to. Nothing runs in it.
func (w *world) tailPod(name, account, node string) {
	w.t.Helper()
	w.create(&corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: installed, Name: name},
		Spec: corev1.PodSpec{
			ServiceAccountName: account, NodeName: node, AutomountServiceAccountToken: ptr.To(false),
			Containers: []corev1.Container{{Name: "tail", Image: "none"}},
		},
	})
}

// token asks the API server for what a kubelet asks for; pod may be empty.
func (w *world) token(account, pod, audience string) string {
	w.t.Helper()
	req := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{Audiences: []string{audience}, ExpirationSeconds: ptr.To[int64](3600)}}
	if pod != "" {
		req.Spec.BoundObjectRef = &authenticationv1.BoundObjectReference{APIVersion: "v1", Kind: "Pod", Name: pod}
	}
	sa := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: installed, Name: account}}
	if err := w.admin.SubResource("token").Create(w.t.Context(), sa, req); err != nil {
		w.t.Fatal(err)
	}
	return req.Status.Token
}

// A tail posts with a token that a real API server has signed, for its own node
// only, and what the webhook has brought is not stored again.
func TestTail(t *testing.T) {
	w := newWorld(t, "")
	w.startManagerWith(fmt.Sprintf(`
apiVersion: config.trail-operator.io/v1alpha1
kind: ManagerConfig
account: "000000000042"
region: eu-1
namespace: %s
receiver: {address: %q, apiServers: [cp-1]}
intake: {tail: {enabled: true}}
metricsBindAddress: "0"
healthBindAddress: "127.0.0.1:0"
`, installed, w.receiver))
	for _, name := range []string{receiverconfig.TailServiceAccount, "other"} {
		w.create(&corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: installed, Name: name}})
	}
	w.tailPod("tail-1", receiverconfig.TailServiceAccount, "cp-1")
	w.tailPod("tail-2", receiverconfig.TailServiceAccount, "cp-2")
	w.tailPod("other-1", "other", "cp-1")

	hook := &corev1.Secret{}
	if err := w.admin.Get(t.Context(), client.ObjectKey{Namespace: installed, Name: manifests.APIServerCertName("cp-1")}, hook); err != nil {
		t.Fatal(err)
	}
	kubeconfig, err := clientcmd.RESTConfigFromKubeConfig(hook.Data[manifests.KeyKubeconfig])
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(kubeconfig.CAData)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}, DisableKeepAlives: true}
	post := func(token, node string, sequence int, body []byte) (int, string) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://"+w.receiver+"/v1/audit/000000000042/"+node, bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+token)
		req.Header.Set(receiverconfig.HeaderTailSource, "0b54a2d2-4d0e-4c40-9d6f-5f4c8b6b0a01")
		req.Header.Set(receiverconfig.HeaderTailSequence, fmt.Sprint(sequence))
		resp, err := (&http.Client{Transport: transport, Timeout: time.Minute}).Do(req)
		if err != nil {
			return 0, err.Error() // it asks for a certificate until it has its configuration
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, strings.TrimSpace(string(text))
	}
	list := func(items ...auditv1.Event) []byte {
		t.Helper()
		raw, err := json.Marshal(auditv1.EventList{
			TypeMeta: metav1.TypeMeta{APIVersion: "audit.k8s.io/v1", Kind: "EventList"}, Items: append([]auditv1.Event{}, items...),
		})
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	mine := w.token(receiverconfig.TailServiceAccount, "tail-1", receiverconfig.TailAudience)
	eventually(t, func() string {
		if code, text := post(mine, "cp-1", 1, list()); code != http.StatusOK {
			return fmt.Sprintf("a tail that is let in: %d %s", code, text)
		}
		return ""
	})
	for name, c := range map[string]struct {
		token, node, text string
		code              int
	}{
		"the path of another node":  {mine, "cp-2", "another node", 403},
		"the token of another node": {w.token(receiverconfig.TailServiceAccount, "tail-2", receiverconfig.TailAudience), "cp-1", "another node", 403},
		"another account":           {w.token("other", "other-1", receiverconfig.TailAudience), "cp-1", "ServiceAccount", 403},
		"another audience":          {w.token(receiverconfig.TailServiceAccount, "tail-1", "vault"), "cp-1", "audience", 401},
		"no pod":                    {w.token(receiverconfig.TailServiceAccount, "", receiverconfig.TailAudience), "cp-1", "pod", 401},
		"changed":                   {mine[:len(mine)-8] + "AAAAAAAA", "cp-1", "signature", 401},
	} {
		if code, text := post(c.token, c.node, 2, list()); code != c.code || !strings.Contains(text, c.text) {
			t.Errorf("%s: %d %s", name, code, text)
		}
	}
	if code, text := post(mine, "cp-1", 3, list()); code != http.StatusConflict || text != `{"sequence":1}` {
		t.Errorf("a sequence left out: %d %s", code, text)
	}

	// What comes in both ways is stored once.
	for i := range 10 {
		if err := w.as("anna").Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("anna-%d", i)}}); err != nil {
			t.Fatal(err)
		}
	}
	w.received()
	logged := w.logged("anna")
	if code, text := post(mine, "cp-1", 2, list(logged...)); code != http.StatusOK {
		t.Fatalf("%d %s", code, text)
	}
	if got := value(t, w, "trail_intake_events_known_total"); len(logged) < 10 || got != float64(len(logged)) {
		t.Errorf("%v of %d events were known", got, len(logged))
	}
	// What the webhook did not bring is taken.
	lost := logged[0]
	lost.AuditID = "lost"
	accepted := value(t, w, "trail_intake_items_total")
	if code, text := post(mine, "cp-1", 3, list(lost, logged[1])); code != http.StatusOK {
		t.Fatalf("%d %s", code, text)
	}
	if got := value(t, w, "trail_intake_events_known_total"); got != float64(len(logged)+1) {
		t.Errorf("%v events were known", got)
	}
	if got := value(t, w, "trail_intake_items_total"); got < accepted+2 {
		t.Errorf("%v items, before %v", got, accepted)
	}
}
