package installation

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	logf "sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/trail-operator/trail-operator/internal/managerconfig"
	"github.com/trail-operator/trail-operator/internal/manifests"
	"github.com/trail-operator/trail-operator/internal/pki"
	"github.com/trail-operator/trail-operator/internal/receiverconfig"
	"github.com/trail-operator/trail-operator/internal/receiverstatus"
)

func init() { logf.SetLogger(logr.Discard()) }

const testNamespace = "trail"

// tb is what a test and a property have in common.
type tb interface {
	Helper()
	Fatal(args ...any)
	Fatalf(format string, args ...any)
	Errorf(format string, args ...any)
}

// world has a manager, a receiver that gets its configuration when the kubelet
// brings it, and API servers with files that somebody has put in place.
type world struct {
	tb
	clock   *clocktesting.FakePassiveClock
	client  client.Client
	manager *ensurer
	failing int // the write that fails, counted from now; 0 for none
	served  receiver
	files   map[string]*file // by API server
}

// receiver is the configuration that a receiver has loaded.
type receiver struct {
	started time.Time
	server  pki.KeyPair
	clients []byte
	refused []string
	used    map[string][]receiverstatus.SourceCertificate
}

// file is a kubeconfig that an API server has loaded.
type file struct {
	cas  []byte
	pair pki.KeyPair
}

var errBroken = errors.New("the API server is away")

func newWorld(t tb, apiServers ...string) *world {
	t.Helper()
	w := &world{
		tb: t, clock: clocktesting.NewFakePassiveClock(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)), files: map[string]*file{},
	}
	write := func(do func() error) error {
		if w.failing > 0 {
			if w.failing--; w.failing == 0 {
				return errBroken
			}
		}
		return do()
	}
	w.client = interceptor.NewClient(fake.NewClientBuilder().Build(), interceptor.Funcs{
		Create: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.CreateOption) error {
			return write(func() error { return c.Create(ctx, o, opts...) })
		},
		Update: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.UpdateOption) error {
			return write(func() error { return c.Update(ctx, o, opts...) })
		},
	})
	w.manager = w.newManager(apiServers)
	w.keep()
	w.mount()
	for _, name := range apiServers {
		w.place(name)
	}
	return w
}

func (w *world) newManager(apiServers []string) *ensurer {
	w.Helper()
	c := &managerconfig.Config{Namespace: testNamespace, Receiver: managerconfig.Receiver{
		Address: "receiver.example:8443", APIServerAddress: "10.0.0.9:8443", APIServers: apiServers,
	}}
	in := &Installation{
		Installation: receiverconfig.Installation{UID: "u", Account: "000000000042", Region: "eu-1"},
		Publisher:    NewPublisher(w.client, testNamespace),
	}
	e := &ensurer{client: w.client, config: c, clock: w.clock, in: in, receiver: c.Receiver, signing: []byte("key"), settle: defaultSettle}
	e.receiverStatus = w.status
	in.ensurer = e
	return e
}

// restart has a new manager start, which does not know the receiver at first.
func (w *world) restart() {
	w.Helper()
	w.manager = w.newManager(w.manager.config.Receiver.APIServers)
	w.manager.receiverStatus = nil
	for w.manager.in.certificates.Load() == nil { // it begins again when it fails
		w.keep()
	}
	w.manager.receiverStatus = w.status
}

// keep is what the manager does once a minute.
func (w *world) keep() {
	w.Helper()
	broken := w.failing > 0
	if err := w.manager.keep(context.Background()); err != nil && !(broken && errors.Is(err, errBroken)) {
		w.Fatal(err)
	}
}

// ask asks for a rotation, as the command line does.
func (w *world) ask(key string) {
	w.Helper()
	var cm corev1.ConfigMap
	w.get(manifests.CertificatesName, &cm)
	cm.Data[manifests.RotatePrefix+key] = cm.Data[key]
	if err := w.client.Update(context.Background(), &cm); err != nil && !errors.Is(err, errBroken) {
		w.Fatal(err)
	}
}

func (w *world) get(name string, into client.Object) {
	w.Helper()
	if err := w.client.Get(context.Background(), client.ObjectKey{Namespace: testNamespace, Name: name}, into); err != nil {
		w.Fatal(err)
	}
}

func (w *world) secret(name string) *corev1.Secret {
	w.Helper()
	s := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: name}}
	w.get(name, s)
	return s
}

// mount brings the configuration to the receiver.
func (w *world) mount() {
	w.Helper()
	data := w.secret(manifests.ReceiverConfigName).Data
	c, err := receiverconfig.ParseConfig(data[receiverconfig.FileConfig])
	if err != nil {
		w.Fatal(err)
	}
	if w.served.started.IsZero() {
		w.served.started, w.served.used = w.clock.Now(), map[string][]receiverstatus.SourceCertificate{}
	}
	w.served.server = pki.KeyPair{Cert: data[receiverconfig.FileServerCert], Key: data[receiverconfig.FileServerKey]}
	w.served.clients, w.served.refused = data[receiverconfig.FileClientCA], c.RefusedCertificates
}

// printed is the file for an API server.
func (w *world) printed(name string) *file {
	w.Helper()
	config, err := clientcmd.RESTConfigFromKubeConfig(w.secret(manifests.APIServerCertName(name)).Data[manifests.KeyKubeconfig])
	if err != nil {
		w.Fatal(err)
	}
	return &file{config.CAData, pki.KeyPair{Cert: config.CertData, Key: config.KeyData}}
}

// place prints the file for an API server and puts it in place.
func (w *world) place(name string) {
	w.Helper()
	w.files[name] = w.printed(name)
}

// status is the receiver's, to the manager as it is now.
func (w *world) status(context.Context) *receiverstatus.Status {
	w.Helper()
	c := w.manager.in.Certificates()
	if err := w.call(&file{c.Roots, c.Manager}, "receiver.example"); err != nil {
		return nil
	}
	s := &receiverstatus.Status{Started: w.served.started, Certificates: receiverstatus.Certificates{
		Server: names(w, w.served.server.Cert)[0], ClientCAs: names(w, w.served.clients),
	}}
	for name, used := range w.served.used {
		s.Intake.Sources = append(s.Intake.Sources, receiverstatus.Source{
			Cluster: "000000000042", APIServer: name, LastPost: used[0].LastPost, Certificates: used,
		})
	}
	return s
}

func names(w tb, bundle []byte) (list []string) {
	w.Helper()
	certs, err := pki.ParseBundle(bundle)
	if err != nil {
		w.Fatal(err)
	}
	for _, c := range certs {
		list = append(list, pki.Fingerprint(c))
	}
	return list
}

// call says what keeps a client from being served.
func (w *world) call(f *file, host string) error {
	now := w.clock.Now()
	verify := func(pair pki.KeyPair, cas []byte, name string, usage x509.ExtKeyUsage) error {
		cert, err := tls.X509KeyPair(pair.Cert, pair.Key)
		if err != nil {
			return err
		}
		roots := x509.NewCertPool()
		roots.AppendCertsFromPEM(cas)
		_, err = cert.Leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: name, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{usage}})
		return err
	}
	if err := verify(w.served.server, f.cas, host, x509.ExtKeyUsageServerAuth); err != nil {
		return fmt.Errorf("the server's certificate: %w", err)
	}
	if err := verify(f.pair, w.served.clients, "", x509.ExtKeyUsageClientAuth); err != nil {
		return fmt.Errorf("the client's certificate: %w", err)
	}
	if slices.Contains(w.served.refused, names(w, f.pair.Cert)[0]) {
		return errors.New("the client's certificate was replaced")
	}
	return nil
}

// post has every API server post with the file that it has.
func (w *world) post() error {
	for name, f := range w.files {
		if err := w.call(f, "10.0.0.9"); err != nil {
			return fmt.Errorf("%s at %s: %w", name, w.clock.Now().Format(time.RFC3339), err)
		}
		own := names(w, f.pair.Cert)[0]
		used := slices.DeleteFunc(w.served.used[name], func(c receiverstatus.SourceCertificate) bool { return c.SHA256 == own })
		w.served.used[name] = slices.Insert(used, 0, receiverstatus.SourceCertificate{SHA256: own, LastPost: w.clock.Now()})
	}
	return nil
}

// pass lets time go by, with everything that happens by itself.
func (w *world) pass(d time.Duration) {
	w.Helper()
	w.clock.SetTime(w.clock.Now().Add(d))
	w.keep()
	w.mount()
	if err := w.post(); err != nil {
		w.Fatal(err)
	}
}

// settle lets time go by until nothing changes any more.
func (w *world) settle() {
	w.Helper()
	for range 12 {
		w.pass(3 * time.Minute)
	}
}

// waits says what the rotation waits for.
func (w *world) waits() string {
	w.Helper()
	var cm corev1.ConfigMap
	w.get(manifests.CertificatesName, &cm)
	return cm.Data[manifests.CertificatesRotation]
}
