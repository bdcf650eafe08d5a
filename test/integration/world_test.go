package integration

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/klauspost/compress/gzip"
	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	auditv1 "k8s.io/apiserver/pkg/apis/audit/v1"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/trail-operator/trail-operator/api/v1alpha1"
	"github.com/trail-operator/trail-operator/controllers"
	"github.com/trail-operator/trail-operator/internal/auditpolicy"
	"github.com/trail-operator/trail-operator/internal/cli"
	"github.com/trail-operator/trail-operator/internal/managerconfig"
	"github.com/trail-operator/trail-operator/internal/manifests"
	"github.com/trail-operator/trail-operator/internal/objectstore"
	"github.com/trail-operator/trail-operator/internal/objectstore/minio"
	dataplane "github.com/trail-operator/trail-operator/internal/receiver"
	"github.com/trail-operator/trail-operator/internal/record"
	"github.com/trail-operator/trail-operator/test/testenv"
)

// world is everything at once: a control plane of its own that sends its audit
// events to a receiver, an S3 server, and a manager.
type world struct {
	t        *testing.T
	cp       *testenv.ControlPlane
	admin    client.Client
	s3       *testenv.S3Server
	auditLog string
	receiver string               // host:port
	metrics  *prometheus.Registry // of the receiver
	stop     func()               // ends the manager
	// change alters the options of managers that are started later; may be nil.
	change func(*controllers.Options)
}

// newWorld starts all of it. organization may be empty.
func newWorld(t *testing.T, organization string) *world {
	t.Helper()
	return newWorldOf(t, organization, auditpolicy.Standard)
}

// newWorldOf starts all of it with an audit policy.
func newWorldOf(t *testing.T, organization string, policy auditpolicy.Profile) *world {
	t.Helper()
	w := &world{t: t, metrics: prometheus.NewRegistry(), auditLog: filepath.Join(t.TempDir(), "audit.log"), stop: func() {}}
	var err error
	if w.s3, err = testenv.StartVersityGW(context.Background(), t.TempDir(), testenv.S3Options{Log: t.Output()}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.s3.Stop)
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
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w.receiver = l.Addr().String()
	w.startReceiver(l)
	w.startManager(organization)
	w.connectWith(policy)
	return w
}

// startManager runs a manager with its own permissions, in place of the one
// that runs.
func (w *world) startManager(organization string) {
	w.t.Helper()
	w.startManagerWith(fmt.Sprintf(`
apiVersion: config.trail-operator.io/v1alpha1
kind: ManagerConfig
account: "000000000042"
region: eu-1
organization: %q
namespace: %s
receiver: {address: %q, apiServers: [cp-1]}
allowedAddresses: [127.0.0.1]
metricsBindAddress: "0"
healthBindAddress: "127.0.0.1:0"
`, organization, installed, w.receiver))
}

func (w *world) startManagerWith(config string) {
	t := w.t
	t.Helper()
	w.stop()
	c, err := managerconfig.Parse([]byte(config))
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := w.cp.ClientConfig(managerUser, "system:serviceaccounts", "system:serviceaccounts:"+installed)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	o := controllers.Options{
		Config: c, Open: minio.NewManaged, PollReceiver: 200 * time.Millisecond, Metrics: prometheus.NewRegistry(),
		ProbeInterval: 2 * time.Second, ProbeLag: 5 * time.Second,
	}
	if w.change != nil {
		w.change(&o)
	}
	mgr, err := controllers.NewManager(ctx, cfg, o)
	if err != nil {
		cancel()
		t.Fatal(err)
	}
	w.run(ctx, cancel, mgr)
}

// run starts a manager, which ends with the test, or with stop before.
func (w *world) run(ctx context.Context, cancel context.CancelFunc, mgr ctrl.Manager) {
	done := make(chan error, 1)
	go func() { done <- mgr.Start(ctx) }()
	w.stop = func() {
		cancel()
		if err := <-done; err != nil {
			w.t.Error(err)
		}
		w.stop = func() {}
	}
	w.t.Cleanup(func() { w.stop() })
}

// startReceiver runs a receiver whose folder follows the Secrets, as a kubelet
// makes it. It ends with the test, or before.
func (w *world) startReceiver(l net.Listener) (stop func()) {
	t := w.t
	t.Helper()
	dir := t.TempDir()
	r, err := dataplane.New(dataplane.Options{
		ConfigDir: dir, DataDir: t.TempDir(), TrailQuota: 1 << 30, Open: minio.New,
		Clock: clock.RealClock{}, Log: logr.Discard(), Registerer: w.metrics,
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	mounted, done := make(chan struct{}), make(chan error, 1)
	go func() {
		defer close(mounted)
		for ctx.Err() == nil {
			w.mount(ctx, dir)
			select {
			case <-ctx.Done():
			case <-time.After(100 * time.Millisecond):
			}
		}
	}()
	go func() { done <- r.Run(ctx, l) }()
	stop = sync.OnceFunc(func() {
		cancel()
		<-mounted
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return stop
}

// mount writes the configuration folder; a half of it is read again later.
func (w *world) mount(ctx context.Context, dir string) {
	var secrets corev1.SecretList
	if w.admin.List(ctx, &secrets, client.InNamespace(installed), client.MatchingLabels{manifests.ReceiverConfigLabel: "true"}) != nil {
		return // the API server restarts
	}
	files := map[string][]byte{}
	for _, s := range secrets.Items {
		for name, b := range s.Data {
			files[name] = b
		}
	}
	old, _ := os.ReadDir(dir)
	for _, e := range old {
		if _, ok := files[e.Name()]; !ok {
			_ = os.Remove(filepath.Join(dir, e.Name()))
		}
	}
	for name, b := range files {
		path := filepath.Join(dir, name)
		if now, err := os.ReadFile(path); err == nil && bytes.Equal(now, b) {
			continue
		}
		if os.WriteFile(path+".new", b, 0o600) == nil {
			_ = os.Rename(path+".new", path)
		}
	}
}

// connect makes the API server send its events, with what the manager issued.
func (w *world) connect() {
	w.t.Helper()
	w.connectWith(auditpolicy.Standard)
}

func (w *world) connectWith(profile auditpolicy.Profile) {
	t := w.t
	t.Helper()
	policy, err := profile.YAML()
	if err != nil {
		t.Fatal(err)
	}
	secret := &corev1.Secret{}
	if err := w.admin.Get(t.Context(), client.ObjectKey{Namespace: installed, Name: manifests.APIServerCertName("cp-1")}, secret); err != nil {
		t.Fatal(err)
	}
	hook := secret.Data[manifests.KeyKubeconfig]
	err = w.cp.RestartAPIServer(t.Context(), func(o *testenv.Options) {
		o.AuditPolicy, o.AuditWebhookConfig, o.AuditLog = policy, hook, w.auditLog
	})
	if err != nil {
		t.Fatal(err)
	}
}

// as is a client with all rights and a name of its own, so that its calls can be
// told from others.
func (w *world) as(user string) client.Client {
	w.t.Helper()
	cfg, err := w.cp.ClientConfig(user, "system:masters")
	if err != nil {
		w.t.Fatal(err)
	}
	c, err := newClient(cfg)
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

// create creates objects as an administrator.
func (w *world) create(objects ...client.Object) {
	w.t.Helper()
	for _, o := range objects {
		if err := w.admin.Create(w.t.Context(), o); err != nil {
			w.t.Fatal(err)
		}
	}
}

// credentials of the S3 server's owner.
func (w *world) credentials(ns string) *corev1.Secret {
	return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "bucket"}, StringData: map[string]string{
		v1alpha1.SecretAccessKeyID: w.s3.AccessKey, v1alpha1.SecretSecretAccessKey: w.s3.SecretKey,
	}}
}

// until waits for the condition Ready of a trail of either kind.
func (w *world) until(kind trailKind, t *v1alpha1.Trail, want string) *v1alpha1.Trail {
	w.t.Helper()
	var got *v1alpha1.Trail
	eventually(w.t, func() (missing string) {
		got, missing = kind.ready(w.t, w.admin, t, want)
		return missing
	})
	return got
}

// logged are the calls of a user that the API server has logged, oldest first.
func (w *world) logged(user string) []auditv1.Event {
	w.t.Helper()
	var list []auditv1.Event
	w.eachLogged(func(e *auditv1.Event) {
		if e.User.Username == user && e.Stage == auditv1.StageResponseComplete {
			list = append(list, *e)
		}
	})
	return list
}

func (w *world) eachLogged(f func(*auditv1.Event)) {
	w.t.Helper()
	raw, err := os.ReadFile(w.auditLog)
	if err != nil {
		w.t.Fatal(err)
	}
	lines := bufio.NewScanner(bytes.NewReader(raw))
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var e auditv1.Event
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			w.t.Fatal(err)
		}
		f(&e)
	}
}

// received waits until the receiver has everything that the API server has
// logged up to now.
func (w *world) received() {
	w.t.Helper()
	logged := 0
	w.eachLogged(func(*auditv1.Event) { logged++ })
	eventually(w.t, func() string {
		families, err := w.metrics.Gather()
		if err != nil {
			return err.Error()
		}
		n := 0
		for _, f := range families {
			if f.GetName() == "trail_intake_items_total" {
				for _, m := range f.GetMetric() {
					n += int(m.GetCounter().GetValue())
				}
			}
		}
		if n < logged {
			return fmt.Sprintf("%d of %d events at the receiver", n, logged)
		}
		return ""
	})
}

// bucket opens a bucket of the S3 server.
func (w *world) bucket(name string) objectstore.Store {
	w.t.Helper()
	s, err := minio.New(objectstore.Config{
		Endpoint: w.s3.Endpoint, Region: w.s3.Region, Bucket: name, AccessKey: w.s3.AccessKey, SecretKey: w.s3.SecretKey, AllowPrivate: true,
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return s
}

// keys are those of a bucket.
func (w *world) keys(bucket string) (keys []string) {
	w.t.Helper()
	for info, err := range w.bucket(bucket).List(w.t.Context(), "", "") {
		if err != nil {
			w.t.Fatal(err)
		}
		keys = append(keys, info.Key)
	}
	return keys
}

// records are those of all log files in a bucket.
func (w *world) records(bucket string) (list []record.Record) {
	w.t.Helper()
	store := w.bucket(bucket)
	for _, key := range w.keys(bucket) {
		if !record.IsLogFileKey(key) {
			continue
		}
		body, _, err := store.Get(w.t.Context(), key)
		if err != nil {
			w.t.Fatal(err)
		}
		var f record.LogFile
		zip, err := gzip.NewReader(body)
		if err == nil {
			err = json.NewDecoder(zip).Decode(&f)
		}
		_ = body.Close()
		if err != nil {
			w.t.Fatalf("%s: %v", key, err)
		}
		list = append(list, f.Records...)
	}
	return list
}

// trail runs `kubectl trail` as an administrator with the S3 server's credentials.
func (w *world) trail(args ...string) (stdout, stderr string, exit int) {
	t := w.t
	t.Helper()
	kubeconfig := filepath.Join(t.TempDir(), "kubeconfig")
	if err := w.cp.WriteKubeconfig(kubeconfig, "admin", "system:masters"); err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]string{
		"AWS_ACCESS_KEY_ID": w.s3.AccessKey, "AWS_SECRET_ACCESS_KEY": w.s3.SecretKey,
		"AWS_CONFIG_FILE": os.DevNull, "AWS_SHARED_CREDENTIALS_FILE": os.DevNull, "AWS_EC2_METADATA_DISABLED": "true",
	} {
		t.Setenv(name, value)
	}
	streams, _, out, errOut := genericiooptions.NewTestIOStreams()
	exit = cli.Run(t.Context(), append([]string{"kubectl-trail", "--kubeconfig", kubeconfig}, args...), streams)
	return out.String(), errOut.String(), exit
}
