package integration

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/trail-operator/trail-operator/api/v1alpha1"
	"github.com/trail-operator/trail-operator/controllers"
	"github.com/trail-operator/trail-operator/internal/managerconfig"
	"github.com/trail-operator/trail-operator/internal/manifests"
	"github.com/trail-operator/trail-operator/internal/objectstore/minio"
	"github.com/trail-operator/trail-operator/internal/pki"
	"github.com/trail-operator/trail-operator/test/testenv"
)

// settleTime is the ten minutes of these tests.
const settleTime = 2 * time.Second

// newCertificateWorld starts an API server, cp-1, whose events go to a receiver
// of its own process, and a manager that knows one more, cp-2.
func newCertificateWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, s3: &testenv.S3Server{}, auditLog: filepath.Join(t.TempDir(), "audit.log"), stop: func() {}}
	var err error
	if w.cp, err = testenv.StartControlPlane(t.Context(), testenv.Options{Dir: t.TempDir()}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.cp.Stop() })
	if w.admin, err = newClient(w.cp.Config); err != nil {
		t.Fatal(err)
	}
	if err := install(t.Context(), w.admin); err != nil {
		t.Fatal(err)
	}
	var role rbacv1.Role
	if err := w.admin.Get(t.Context(), client.ObjectKey{Namespace: installed, Name: "trail-operator-apiservers"}, &role); err != nil {
		t.Fatal(err)
	}
	role.Rules[0].ResourceNames = []string{manifests.APIServerCertName("cp-1"), manifests.APIServerCertName("cp-2")}
	if err := w.admin.Update(t.Context(), &role); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w.receiver = l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	w.runReceiver()
	w.runManager()
	w.plug()
	return w
}

// runReceiver runs the program, with a folder that follows the Secrets.
func (w *world) runReceiver() {
	t := w.t
	t.Helper()
	dir := t.TempDir()
	binary := filepath.Join(dir, "receiver")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", binary, "../../cmd/receiver").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	config := filepath.Join(dir, "config")
	if err := os.Mkdir(config, 0o700); err != nil {
		t.Fatal(err)
	}
	r, err := (&testenv.Installation{Dir: config}).StartReceiver(binary, filepath.Join(dir, "data"), filepath.Join(dir, "receiver.log"), w.receiver)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	mounted := make(chan struct{})
	go func() {
		defer close(mounted)
		for ctx.Err() == nil {
			w.mount(ctx, config)
			select {
			case <-ctx.Done():
			case <-time.After(100 * time.Millisecond):
			}
		}
	}()
	t.Cleanup(func() {
		cancel()
		<-mounted
		if err := r.Stop(); err != nil {
			t.Error(err)
		}
	})
}

func (w *world) runManager() {
	t := w.t
	t.Helper()
	c, err := managerconfig.Parse(fmt.Appendf(nil, `
apiVersion: config.trail-operator.io/v1alpha1
kind: ManagerConfig
account: "000000000042"
region: eu-1
namespace: %s
receiver: {address: %q, apiServers: [cp-1, cp-2]}
metricsBindAddress: "0"
healthBindAddress: "127.0.0.1:0"
`, installed, w.receiver))
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := w.cp.ClientConfig(managerUser, "system:serviceaccounts", "system:serviceaccounts:"+installed)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	mgr, err := controllers.NewManager(ctx, cfg, controllers.Options{
		Config: c, Open: minio.NewManaged, PollReceiver: 200 * time.Millisecond, Metrics: prometheus.NewRegistry(),
		CertificateInterval: 20 * time.Millisecond, CertificateSettle: settleTime,
	})
	if err != nil {
		cancel()
		t.Fatal(err)
	}
	w.run(ctx, cancel, mgr)
	// The API server is about to be restarted, and a cache that could not be
	// filled before waits for long.
	for _, kind := range []client.Object{&v1alpha1.Trail{}, &v1alpha1.OrganizationTrail{}, &v1alpha1.EventSelector{}} {
		if _, err := mgr.GetCache().GetInformer(ctx, kind); err != nil {
			t.Fatalf("the manager's cache is not filled: %v", err)
		}
	}
}

// plug starts the API server cp-1 anew with what the manager keeps for it, and
// nothing else.
func (w *world) plug() {
	w.t.Helper()
	var audit corev1.ConfigMap
	if err := w.admin.Get(w.t.Context(), client.ObjectKey{Namespace: installed, Name: manifests.AuditName}, &audit); err != nil {
		w.t.Fatal(err)
	}
	hook := w.secret(manifests.APIServerCertName("cp-1")).Data[manifests.KeyKubeconfig]
	err := w.cp.RestartAPIServer(w.t.Context(), func(o *testenv.Options) {
		o.AuditPolicy, o.AuditWebhookConfig, o.AuditLog = []byte(audit.Data[manifests.AuditPolicy]), hook, w.auditLog
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

// poster is an API server that posts without end, over one connection and over
// a new one each time.
type poster struct {
	url    string
	client *http.Client
	config *rest.Config
}

func newPoster(t *testing.T, kubeconfig []byte) *poster {
	t.Helper()
	c, err := clientcmd.RESTConfigFromKubeConfig(kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	p := &poster{url: c.Host, config: c}
	if p.client, err = rest.HTTPClientFor(c); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.client.CloseIdleConnections)
	return p
}

func (p *poster) post(c *http.Client) error {
	body := []byte(`{"kind":"EventList","apiVersion":"audit.k8s.io/v1","metadata":{},"items":[]}`)
	resp, err := c.Post(p.url, "application/json", bytes.NewReader(body))
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("HTTP %d", resp.StatusCode)
	}
	return nil
}

// anew posts over a connection of its own.
func (p *poster) anew() error {
	config, err := rest.TLSConfigFor(p.config)
	if err != nil {
		return err
	}
	c := &http.Client{Transport: &http.Transport{TLSClientConfig: config, DisableKeepAlives: true}}
	return p.post(c)
}

// start posts until stop is called, which returns how often, and what failed first.
func (p *poster) start() (stop func() (int, error)) {
	ended := make(chan struct{})
	var wg sync.WaitGroup
	n, failed := 0, error(nil)
	wg.Go(func() {
		for {
			select {
			case <-ended:
				return
			case <-time.After(5 * time.Millisecond):
			}
			for _, post := range []func() error{func() error { return p.post(p.client) }, p.anew} {
				if err := post(); err != nil && failed == nil {
					failed = err
				}
				n++
			}
		}
	})
	return func() (int, error) {
		close(ended)
		wg.Wait()
		return n, failed
	}
}

func (w *world) certificates() map[string]string {
	w.t.Helper()
	var cm corev1.ConfigMap
	if err := w.admin.Get(w.t.Context(), client.ObjectKey{Namespace: installed, Name: manifests.CertificatesName}, &cm); err != nil {
		w.t.Fatal(err)
	}
	return cm.Data
}

// file prints the file of an API server with kubectl.
func (w *world) file(args ...string) []byte {
	w.t.Helper()
	out, errOut, exit := w.trail(append([]string{"webhook-config"}, args...)...)
	if exit != 0 {
		w.t.Fatalf("webhook-config %v: %s", args, errOut)
	}
	return []byte(out)
}

// refused waits until a poster is served no more, on neither kind of connection.
// It posts only after the manager has seen that nobody does any more.
func (w *world) refused(p *poster) {
	w.t.Helper()
	eventually(w.t, func() string {
		a := manifests.ReadAPIServer(w.secret(manifests.APIServerCertName("cp-2")))
		if cert, err := a.CheckKey(); err != nil || a.Settled != pki.Fingerprint(cert) {
			return fmt.Sprintf("the new certificate alone is used (%v)", err)
		}
		return ""
	})
	eventually(w.t, func() string {
		if p.post(p.client) == nil || p.anew() == nil {
			return "the refusal of a certificate that was replaced"
		}
		return ""
	})
}

// TestRotateWhilePosting: a certificate, then the CA is replaced while API
// servers post. No POST is refused meanwhile, what was replaced is refused
// afterwards, and what manager and receiver need for each other follows.
func TestRotateWhilePosting(t *testing.T) {
	w := newCertificateWorld(t)
	first := newPoster(t, w.file("--apiserver", "cp-2"))
	stop := first.start()
	change := func(next *poster, what string) {
		t.Helper()
		started := next.start() // the next process of an API server begins while the last one ends
		if n, err := stop(); err != nil || n < 20 {
			t.Fatalf("%s: %d POSTs, of which the first to fail: %v", what, n, err)
		}
		stop = started
	}

	second := newPoster(t, w.file("--rotate", "--apiserver", "cp-2"))
	for _, p := range []*poster{first, second} {
		if err := p.anew(); err != nil {
			t.Fatalf("a certificate is refused while both are good: %v", err)
		}
	}
	change(second, "one certificate")
	w.refused(first)

	ca := w.certificates()[manifests.CertificatesCA]
	apiServers := w.certificates()
	if out := w.file("--rotate-ca"); len(out) != 0 {
		t.Errorf("printed %s", out)
	}
	eventually(t, func() string {
		if now := w.certificates(); now["apiserver.cp-1"] == apiServers["apiserver.cp-1"] || now["apiserver.cp-2"] == apiServers["apiserver.cp-2"] {
			return "certificates of the new CA: " + now[manifests.CertificatesRotation]
		}
		return ""
	})
	third := newPoster(t, w.file("--apiserver", "cp-2"))
	change(third, "the CA begins")
	eventually(t, func() string {
		if got := w.certificates()[manifests.CertificatesRotation]; !strings.HasSuffix(got, ": cp-1.") {
			return "the API server that has the old certificate: " + got
		}
		return ""
	})
	if w.certificates()[manifests.CertificatesCA] != ca {
		t.Error("the CA was replaced while an API server uses the old one")
	}
	w.plug() // the real one is restarted with its new file
	eventually(t, func() string {
		now := w.certificates()
		if now[manifests.CertificatesCA] == ca || now[manifests.CertificatesRotation] != "" {
			return "the end of the rotation: " + now[manifests.CertificatesRotation]
		}
		return ""
	})
	w.refused(second)
	eventually(t, func() string { // and the receiver shows a certificate of the new CA only
		trusting := *third.config
		trusting.CAData, _, _ = bytes.Cut(trusting.CAData, []byte("-----END CERTIFICATE-----\n"))
		trusting.CAData = append(bytes.Clone(trusting.CAData), "-----END CERTIFICATE-----\n"...)
		if (&poster{url: third.url, config: &trusting}).anew() == nil {
			return "the new certificate of the receiver"
		}
		return ""
	})
	if n, err := stop(); err != nil || n < 20 {
		t.Errorf("%d POSTs, of which the first to fail: %v", n, err)
	}
	w.drops()
	if err := third.anew(); err != nil {
		t.Errorf("the newest certificate: %v", err)
	}
	// The manager still reaches the receiver: else it would not know that the old
	// CA can be forgotten.
	eventually(t, func() string {
		a, err := manifests.ReadAuthority(w.secret(manifests.IntakeCAName))
		if err != nil || a.Next != nil || a.Previous != nil {
			return fmt.Sprintf("the old CA is forgotten (%v)", err)
		}
		return ""
	})
}

func (w *world) secret(name string) *corev1.Secret {
	w.t.Helper()
	s := &corev1.Secret{}
	if err := w.admin.Get(w.t.Context(), client.ObjectKey{Namespace: installed, Name: name}, s); err != nil {
		w.t.Fatal(err)
	}
	return s
}

// drops fails the test when the real API server has lost an event.
func (w *world) drops() {
	w.t.Helper()
	c, err := rest.HTTPClientFor(w.cp.Config)
	if err != nil {
		w.t.Fatal(err)
	}
	resp, err := c.Get(w.cp.Config.Host + "/metrics")
	if err != nil {
		w.t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	for line := range strings.SplitSeq(string(raw), "\n") {
		if strings.HasPrefix(line, "apiserver_audit_error_total{") && !strings.HasSuffix(line, " 0") {
			w.t.Error(line)
		}
	}
}
