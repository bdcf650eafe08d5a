package installcheck

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	discoveryfake "k8s.io/client-go/discovery/fake"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	clienttesting "k8s.io/client-go/testing"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/trail-operator/trail-operator/api/v1alpha1"
	"github.com/trail-operator/trail-operator/internal/managerconfig"
	"github.com/trail-operator/trail-operator/internal/manifests"
	"github.com/trail-operator/trail-operator/internal/pki"
	"github.com/trail-operator/trail-operator/internal/receiverconfig"
	"github.com/trail-operator/trail-operator/internal/receiverstatus"
	"github.com/trail-operator/trail-operator/internal/record"
)

const namespace = "trail-operator-system"

// world is a cluster with an installation that works, until a test breaks it.
type world struct {
	served  []string // resources of our group
	lease   *coordinationv1.Lease
	made    *corev1.ConfigMap
	secrets []*corev1.Secret
	status  receiverstatus.Status
	config  managerconfig.Config
}

func newWorld(t *testing.T) *world {
	t.Helper()
	now := time.Now()
	ca, err := pki.NewCA("test", now)
	if err != nil {
		t.Fatal(err)
	}
	server, err := ca.IssueServer(now, "127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	manager, err := ca.IssueClient(now, receiverconfig.ManagerCommonName)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{
		served: []string{"trails", "trails/status", "organizationtrails", "eventselectors"},
		lease: &coordinationv1.Lease{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: manifests.LeaseName},
			Spec: coordinationv1.LeaseSpec{
				HolderIdentity: ptr.To("trail-manager-1_4711"), LeaseDurationSeconds: ptr.To[int32](15),
				RenewTime: &metav1.MicroTime{Time: now},
			},
		},
		made: &corev1.ConfigMap{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: manifests.InstallationName},
			Data:       map[string]string{manifests.InstallationRegion: "eu-1", manifests.InstallationAccount: "000000000042"},
		},
		secrets: []*corev1.Secret{
			manifests.Certificate(namespace, manifests.IntakeCAName, ca.Cert, ca),
			manifests.Certificate(namespace, manifests.ManagerCertName, ca.Cert, manager),
		},
		status: receiverstatus.Status{Generation: 3},
		config: managerconfig.Config{Namespace: namespace, Region: "eu-1", LeaderElection: true},
	}
	w.config.Receiver.Address = w.serve(t, ca, server)
	return w
}

// serve answers with the status of the world to clients of its CA.
func (w *world) serve(t *testing.T, ca, server pki.KeyPair) (address string) {
	t.Helper()
	pair, err := tls.X509KeyPair(server.Cert, server.Key)
	if err != nil {
		t.Fatal(err)
	}
	clients := x509.NewCertPool()
	clients.AppendCertsFromPEM(ca.Cert)
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		_, _ = rw.Write(record.MustJSON(w.status))
	}))
	s.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, ClientCAs: clients, ClientAuth: tls.RequireAndVerifyClientCert, MinVersion: tls.VersionTLS12}
	s.StartTLS()
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

// check runs everything once, and returns what was found of the last check.
func (w *world) check(t *testing.T) (string, error) {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	objects := []client.Object{}
	if w.lease != nil {
		objects = append(objects, w.lease)
	}
	if w.made != nil {
		objects = append(objects, w.made)
	}
	for _, s := range w.secrets {
		objects = append(objects, s)
	}
	list := &metav1.APIResourceList{GroupVersion: v1alpha1.GroupVersion.String()}
	for _, name := range w.served {
		list.APIResources = append(list.APIResources, metav1.APIResource{Name: name})
	}
	i := &installation{
		Options:   Options{Config: &w.config, Clock: clock.RealClock{}},
		client:    fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).Build(),
		discovery: &discoveryfake.FakeDiscovery{Fake: &clienttesting.Fake{Resources: []*metav1.APIResourceList{list}}},
	}
	var found string
	var err error
	for _, c := range []func(context.Context) (string, error){i.kinds, i.manager, i.receiver} {
		if found, err = c(t.Context()); err != nil {
			return "", err
		}
	}
	return found, nil
}

func TestWorks(t *testing.T) {
	w := newWorld(t)
	if found, err := w.check(t); err != nil || !strings.Contains(found, "runs configuration 3; no API server has sent events yet") {
		t.Errorf("%q %v", found, err)
	}
	w.config.LeaderElection, w.lease = false, nil
	w.status.Intake = receiverstatus.Intake{Received: 7, Sources: make([]receiverstatus.Source, 2)}
	if found, err := w.check(t); err != nil || !strings.Contains(found, "2 API servers have sent 7 events") {
		t.Errorf("%q %v", found, err)
	}
}

func TestDoesNotWork(t *testing.T) {
	for name, tc := range map[string]struct {
		harm func(*world)
		want string
	}{
		"no kinds":          {func(w *world) { w.served = nil }, "does not serve trails.trail-operator.io, organizationtrails.trail-operator.io, eventselectors"},
		"one kind missing":  {func(w *world) { w.served = w.served[:3] }, "does not serve eventselectors.trail-operator.io: install"},
		"never started":     {func(w *world) { w.lease = nil }, "no manager has started"},
		"ended":             {func(w *world) { w.lease.Spec.RenewTime.Time = time.Now().Add(-time.Minute) }, "no manager runs"},
		"released":          {func(w *world) { w.lease.Spec.HolderIdentity = ptr.To("") }, "no manager runs"},
		"empty lease":       {func(w *world) { w.lease.Spec = coordinationv1.LeaseSpec{} }, "no manager runs"},
		"not set up":        {func(w *world) { w.made = nil }, "no manager has set up the installation"},
		"old configuration": {func(w *world) { w.config.Region = "eu-2" }, `has set up region "eu-1", the configuration says "eu-2"`},
		"no certificates":   {func(w *world) { w.secrets = nil }, "the manager's certificates"},
		"no receiver":       {func(w *world) { w.config.Receiver.Address = "127.0.0.1:1" }, "127.0.0.1:1: the receiver does not answer"},
		"refuses":           {func(w *world) { w.status.ConfigError = "a file is missing." }, "it refuses its configuration: a file is missing."},
		"no configuration":  {func(w *world) { w.status.Generation = 0 }, "it has no configuration yet"},
		"full":              {func(w *world) { w.status.Spool.Full = true }, "its volume is full"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			tc.harm(w)
			if found, err := w.check(t); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %q, %v, want %q", found, err, tc.want)
			}
		})
	}
}

// TestRepeat: a check is repeated until it passes; when the time is over, it
// tells what was wrong, and not that the time is over.
func TestRepeat(t *testing.T) {
	i := &installation{Options: Options{Clock: clock.RealClock{}, Interval: time.Millisecond}}
	tries := 0
	found, err := i.repeat(t.Context(), func(context.Context) (string, error) {
		if tries++; tries < 3 {
			return "", errors.New("not yet")
		}
		return "done", nil
	})
	if found != "done" || err != nil || tries != 3 {
		t.Errorf("%q, %v after %d tries", found, err, tries)
	}

	ctx, cancel := context.WithCancel(t.Context())
	wrong := errors.New("the volume is full")
	_, err = i.repeat(ctx, func(ctx context.Context) (string, error) {
		if ctx.Err() == nil {
			cancel()
			return "", wrong
		}
		return "", ctx.Err()
	})
	if !errors.Is(err, wrong) {
		t.Errorf("got %v", err)
	}
}
