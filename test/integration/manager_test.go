package integration

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/trail-operator/trail-operator/api/v1alpha1"
	"github.com/trail-operator/trail-operator/controllers"
	"github.com/trail-operator/trail-operator/internal/managerconfig"
	"github.com/trail-operator/trail-operator/internal/manifests"
	"github.com/trail-operator/trail-operator/internal/objectstore"
	"github.com/trail-operator/trail-operator/internal/objectstore/memory"
)

const installed = "trail-operator-system"

// shifted is the real clock, ahead by as much as a test wants.
type shifted struct {
	mu sync.Mutex
	by time.Duration
}

func (c *shifted) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(c.by)
}

func (c *shifted) Since(t time.Time) time.Duration { return c.Now().Sub(t) }

func (c *shifted) step(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.by += d
}

// env is a manager that runs with its own RBAC against the API server, with
// buckets in memory and a receiver of the test's.
type env struct {
	receiver *receiver
	clock    *shifted

	mu      sync.Mutex
	buckets map[string]*memory.Store
	opened  []objectstore.Config
}

func (e *env) bucket(name string) *memory.Store {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.buckets[name] == nil {
		e.buckets[name] = memory.New(clock.RealClock{})
	}
	return e.buckets[name]
}

func (e *env) open(c objectstore.Config) (objectstore.Managed, error) {
	e.mu.Lock()
	e.opened = append(e.opened, c)
	e.mu.Unlock()
	return e.bucket(c.Bucket), nil
}

func config(t *testing.T) *managerconfig.Config {
	t.Helper()
	c, err := managerconfig.Parse([]byte(`
apiVersion: config.trail-operator.io/v1alpha1
kind: ManagerConfig
account: "000000000042"
region: eu-1
namespace: ` + installed + `
receiver: {address: "127.0.0.1:9443", apiServers: [cp-1]}
allowedAddresses: ["127.0.0.1:7070"]
metricsBindAddress: "0"
healthBindAddress: "127.0.0.1:0"
`))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// start runs a manager until the test ends, or until the function it returns
// is called.
func start(t *testing.T, e *env) (stop func()) {
	t.Helper()
	return startWith(t, e, config(t))
}

func startWith(t *testing.T, e *env, c *managerconfig.Config) (stop func()) {
	t.Helper()
	cfg, err := controlPlane.ClientConfig(managerUser, "system:serviceaccounts", "system:serviceaccounts:"+installed)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	mgr, err := controllers.NewManager(ctx, cfg, controllers.Options{
		Config: c, Open: e.open, Receiver: e.receiver, PollReceiver: 50 * time.Millisecond,
		Clock: e.clock, Metrics: prometheus.NewRegistry(),
	})
	if err != nil {
		cancel()
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- mgr.Start(ctx) }()
	var once sync.Once
	stop = func() {
		once.Do(func() {
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
		})
	}
	t.Cleanup(stop)
	return stop
}

func newEnv(t *testing.T) *env {
	t.Helper()
	return &env{receiver: newReceiver(t, installed), clock: &shifted{}, buckets: map[string]*memory.Store{}}
}

func startEnv(t *testing.T) *env {
	t.Helper()
	e := newEnv(t)
	start(t, e)
	return e
}

// tenant makes a namespace with a credentials Secret that the manager may read.
func tenant(t *testing.T, name string) string {
	t.Helper()
	namespace(t, name)
	secret(t, name)
	grant(t, name)
	return name
}

func secret(t *testing.T, ns string) {
	t.Helper()
	s := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "bucket"}, StringData: map[string]string{
		v1alpha1.SecretAccessKeyID: "AKIA" + ns, v1alpha1.SecretSecretAccessKey: "planted-secret",
	}}
	if err := admin.Create(t.Context(), s); err != nil {
		t.Fatal(err)
	}
}

func grant(t *testing.T, ns string) {
	t.Helper()
	role, binding := manifests.Grant(ns, "bucket", manifests.Subject(managerUser))
	for _, o := range []client.Object{role, binding} {
		if err := admin.Create(t.Context(), o); err != nil {
			t.Fatal(err)
		}
	}
}

// create creates a Trail in the bucket named after its namespace.
func create(t *testing.T, ns string, change ...func(*v1alpha1.Trail)) *v1alpha1.Trail {
	t.Helper()
	trail := &v1alpha1.Trail{
		ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "audit"},
		Spec: v1alpha1.TrailSpec{Destination: v1alpha1.Destination{
			Bucket: ns, CredentialsSecretRef: &v1alpha1.CredentialsSecretRef{Name: "bucket"},
		}},
	}
	for _, f := range change {
		f(trail)
	}
	if err := admin.Create(t.Context(), trail); err != nil {
		t.Fatal(err)
	}
	return trail
}

func update(t *testing.T, trail *v1alpha1.Trail, change func(*v1alpha1.Trail)) {
	t.Helper()
	eventually(t, func() string {
		if err := admin.Get(t.Context(), client.ObjectKeyFromObject(trail), trail); err != nil {
			return err.Error()
		}
		change(trail)
		if err := admin.Update(t.Context(), trail); err != nil {
			return err.Error()
		}
		return ""
	})
}

// condition waits for a condition; want is "Status Reason", and says are parts
// of the message.
func condition(t *testing.T, trail *v1alpha1.Trail, kind, want string, says ...string) {
	t.Helper()
	eventually(t, func() string {
		if err := admin.Get(t.Context(), client.ObjectKeyFromObject(trail), trail); err != nil {
			return err.Error()
		}
		c := meta.FindStatusCondition(trail.Status.Conditions, kind)
		if c == nil {
			return fmt.Sprintf("%s %s: it is absent in %v", kind, want, trail.Status.Conditions)
		}
		if got := string(c.Status) + " " + c.Reason; got != want || c.ObservedGeneration != trail.Generation {
			return fmt.Sprintf("%s %s: it is %s of generation %d: %s", kind, want, got, c.ObservedGeneration, c.Message)
		}
		for _, s := range says {
			if !strings.Contains(c.Message, s) {
				return fmt.Sprintf("%q in the message %q", s, c.Message)
			}
		}
		return ""
	})
	for _, c := range trail.Status.Conditions {
		if strings.Contains(c.Message, "planted-secret") {
			t.Errorf("the condition %s holds a secret: %s", c.Type, c.Message)
		}
	}
}

func absent(t *testing.T, trail *v1alpha1.Trail, kinds ...string) {
	t.Helper()
	for _, k := range kinds {
		if c := meta.FindStatusCondition(trail.Status.Conditions, k); c != nil {
			t.Errorf("%s is present: %v", k, c)
		}
	}
}

// gone waits until the Trail is gone.
func gone(t *testing.T, trail *v1alpha1.Trail) {
	t.Helper()
	eventually(t, func() string {
		err := admin.Get(t.Context(), client.ObjectKeyFromObject(trail), &v1alpha1.Trail{})
		if apierrors.IsNotFound(err) {
			return ""
		}
		return fmt.Sprintf("the end of the Trail (%v)", err)
	})
}
