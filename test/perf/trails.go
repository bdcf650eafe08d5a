package main

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"golang.org/x/sync/errgroup"

	"github.com/trail-operator/trail-operator/api/v1alpha1"
	"github.com/trail-operator/trail-operator/internal/manifests"
	"github.com/trail-operator/trail-operator/test/testenv"
)

// The manager that is measured.
const (
	operator    = "trail-operator-system"
	managerUser = "system:serviceaccount:" + operator + ":trail-operator-manager"
	trailBucket = "audit"
	perSpace    = 5 // trails of a namespace: CloudTrail's limit, and the default here
)

// fleet is a cluster full of trails: a real API server, S3 server and receiver,
// and the manager that reconciles.
type fleet struct {
	*bench
	dir      string
	cp       *testenv.ControlPlane
	admin    client.WithWatch
	s3       *testenv.S3Server
	receiver *testenv.Receiver
	address  string // of the receiver
	manager  *exec.Cmd
	calls    string // the API server's log of what the manager asks
	end      context.CancelFunc
}

// reconcile measures the manager with many trails: until all are ready, while
// nothing changes, and when the manager is started again.
func (b *bench) reconcile(ctx context.Context) error {
	dir, err := b.folder("trails")
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	f := &fleet{bench: b, dir: dir, calls: filepath.Join(dir, "audit.log"), end: cancel}
	defer f.stop()
	for _, step := range []func(context.Context) error{f.start, f.tenants, f.startManager, f.startReceiver} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	fmt.Printf("\n%d trails in %d namespaces\n", b.trails, (b.trails+perSpace-1)/perSpace)
	fmt.Printf("%-34s %8s %10s %10s   %s\n", "", "s", "CPU s", "peak MiB", "API requests of the manager")
	return f.measure(ctx)
}

func (f *fleet) measure(ctx context.Context) error {
	if err := f.phase("new, until all are ready", func() error {
		if err := f.createTrails(ctx); err != nil {
			return err
		}
		return f.until(ctx, "Ready", func(t *v1alpha1.Trail) bool {
			return meta.IsStatusConditionTrue(t.Status.Conditions, v1alpha1.ConditionReady)
		})
	}); err != nil {
		return err
	}
	// Their first log files say that they were created.
	if err := f.phase("then, until all have delivered", func() error {
		return f.until(ctx, "delivered", func(t *v1alpha1.Trail) bool {
			return meta.IsStatusConditionTrue(t.Status.Conditions, v1alpha1.ConditionDelivering) && t.Status.Counts != nil && t.Status.Counts.Pending == 0
		})
	}); err != nil {
		return err
	}
	minute := func() error { return sleep(ctx, time.Minute) }
	if err := f.phase("numbers that follow in a minute", minute); err != nil {
		return err
	}
	if err := f.phase("a minute while nothing changes", minute); err != nil {
		return err
	}
	if err := f.stopManager(); err != nil {
		return err
	}
	return f.phase("a minute from the manager's start", func() error {
		if err := f.startManager(ctx); err != nil {
			return err
		}
		return minute()
	})
}

// phase measures the manager while do runs.
func (f *fleet) phase(name string, do func() error) error {
	seen, err := f.requests()
	if err != nil {
		return err
	}
	pid, start := f.manager.Process.Pid, time.Now()
	before := cpuOf(pid)
	if err := do(); err != nil {
		log, _ := os.ReadFile(filepath.Join(f.dir, "manager.log"))
		return fmt.Errorf("%s: %w\n%s", name, err, log[max(0, len(log)-2000):])
	}
	wall := time.Since(start)
	if pid != f.manager.Process.Pid { // started again
		pid, before = f.manager.Process.Pid, 0
	}
	now, err := f.requests()
	if err != nil {
		return err
	}
	fmt.Printf("%-34s %8.1f %10.2f %10.0f   %s\n", name, wall.Seconds(), (cpuOf(pid) - before).Seconds(), float64(peakOf(pid))/(1<<20), now.since(seen))
	return nil
}

func (f *fleet) start(ctx context.Context) (err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	f.address = l.Addr().String()
	if err := l.Close(); err != nil {
		return err
	}
	// Only the manager's own calls are of interest.
	policy := fmt.Sprintf(`
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived, ResponseStarted]
rules: [{level: Metadata, users: [%q]}, {level: None}]
`, managerUser)
	if f.cp, err = testenv.StartControlPlane(ctx, testenv.Options{Dir: f.dir, AuditPolicy: []byte(policy), AuditLog: f.calls}); err != nil {
		return err
	}
	if f.s3, err = testenv.StartVersityGW(ctx, filepath.Join(f.dir, "s3"), testenv.S3Options{}); err != nil {
		return err
	}
	kubeconfig := filepath.Join(f.dir, "admin.kubeconfig")
	if err := f.cp.WriteKubeconfig(kubeconfig, "admin", "system:masters"); err != nil {
		return err
	}
	apply := exec.CommandContext(ctx, f.cp.Kubectl(), "--kubeconfig", kubeconfig, "apply", "--server-side", "-k", "config/default")
	if out, err := apply.CombinedOutput(); err != nil {
		return fmt.Errorf("applying config/default: %w\n%s", err, out)
	}
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			return err
		}
	}
	f.admin, err = client.NewWithWatch(f.cp.Config, client.Options{Scheme: scheme})
	return err
}

// each does something for numbers below n, sixteen at a time.
func each(ctx context.Context, n int, do func(ctx context.Context, i int) error) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(16)
	for i := range n {
		g.Go(func() error { return do(ctx, i) })
	}
	return g.Wait()
}

func space(i int) string { return fmt.Sprintf("team-%03d", i) }

// tenants makes the namespaces, each with credentials that the manager may read.
func (f *fleet) tenants(ctx context.Context) error {
	return each(ctx, (f.trails+perSpace-1)/perSpace, func(ctx context.Context, i int) error {
		role, binding := manifests.Grant(space(i), "bucket", manifests.Subject(managerUser))
		for _, o := range []client.Object{
			&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: space(i)}},
			&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: space(i), Name: "bucket"}, StringData: map[string]string{
				v1alpha1.SecretAccessKeyID: f.s3.AccessKey, v1alpha1.SecretSecretAccessKey: f.s3.SecretKey,
			}},
			role, binding,
		} {
			if err := f.admin.Create(ctx, o); err != nil {
				return err
			}
		}
		return nil
	})
}

func (f *fleet) createTrails(ctx context.Context) error {
	return each(ctx, f.trails, func(ctx context.Context, i int) error {
		t := &v1alpha1.Trail{ObjectMeta: metav1.ObjectMeta{Namespace: space(i / perSpace), Name: fmt.Sprintf("audit-%d", i%perSpace)}}
		t.Spec.Destination = v1alpha1.Destination{
			Endpoint: f.s3.Endpoint, Bucket: trailBucket, CredentialsSecretRef: &v1alpha1.CredentialsSecretRef{Name: "bucket"},
		}
		return f.admin.Create(ctx, t)
	})
}

// until waits until all trails are as wanted. It watches, which costs the API
// server less than asking again and again.
func (f *fleet) until(ctx context.Context, what string, as func(*v1alpha1.Trail) bool) error {
	ctx, cancel := context.WithTimeout(ctx, 15*time.Minute)
	defer cancel()
	changes, err := f.admin.Watch(ctx, &v1alpha1.TrailList{})
	if err != nil {
		return err
	}
	defer changes.Stop()
	good := map[string]bool{}
	for {
		select {
		case e, ok := <-changes.ResultChan():
			t, is := e.Object.(*v1alpha1.Trail)
			if !ok || !is {
				return fmt.Errorf("the watch of trails ended, with %d of %d %s", len(good), f.trails, what)
			}
			if as(t) {
				good[string(t.UID)] = true
			} else {
				delete(good, string(t.UID))
			}
			if len(good) == f.trails {
				return nil
			}
		case <-ctx.Done():
			return fmt.Errorf("%d of %d trails are %s", len(good), f.trails, what)
		}
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

func (f *fleet) startManager(ctx context.Context) error {
	kubeconfig, config := filepath.Join(f.dir, "manager.kubeconfig"), filepath.Join(f.dir, "manager.yaml")
	if err := f.cp.WriteKubeconfig(kubeconfig, managerUser, "system:serviceaccounts", "system:serviceaccounts:"+operator); err != nil {
		return err
	}
	if err := os.WriteFile(config, fmt.Appendf(nil, `
apiVersion: config.trail-operator.io/v1alpha1
kind: ManagerConfig
account: %q
region: %s
namespace: %s
receiver: {address: %q, apiServers: [%s]}
allowedAddresses: [127.0.0.1]
metricsBindAddress: "0"
healthBindAddress: "127.0.0.1:0"
`, testenv.Account, testenv.Region, operator, f.address, testenv.APIServer), 0o600); err != nil {
		return err
	}
	log, err := os.OpenFile(filepath.Join(f.dir, "manager.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	f.manager = exec.CommandContext(ctx, f.options.manager, "--config", config, "--kubeconfig", kubeconfig)
	f.manager.Stdout, f.manager.Stderr = log, log
	return f.manager.Start()
}

func (f *fleet) stopManager() error {
	if f.manager == nil {
		return nil
	}
	_ = f.manager.Process.Signal(syscall.SIGTERM)
	return f.manager.Wait()
}

func (f *fleet) stop() {
	if f.manager != nil && f.manager.ProcessState == nil {
		_ = f.manager.Process.Kill()
		_ = f.manager.Wait()
	}
	f.end()
	if f.receiver != nil {
		_ = f.receiver.Stop()
	}
	if f.s3 != nil {
		f.s3.Stop()
	}
	if f.cp != nil {
		_ = f.cp.Stop()
	}
	_ = os.RemoveAll(f.dir)
}

// requests are counts by verb and resource.
type requests map[string]int

// requests reads the API server's log.
func (f *fleet) requests() (requests, error) {
	raw, err := os.ReadFile(f.calls)
	if err != nil && !os.IsNotExist(err) {
		return nil, err
	}
	counts := requests{}
	for line := range bytes.Lines(raw) {
		counts[call(line)]++
	}
	return counts, nil
}

// since says by how much the counts have grown, the largest first.
func (r requests) since(before requests) string {
	type row struct {
		name string
		n    int
	}
	var rows []row
	total := 0
	for name, n := range r {
		if n -= before[name]; n > 0 {
			rows, total = append(rows, row{name, n}), total+n
		}
	}
	slices.SortFunc(rows, func(a, b row) int {
		if a.n != b.n {
			return b.n - a.n
		}
		return strings.Compare(a.name, b.name)
	})
	parts := []string{fmt.Sprintf("%d", total)}
	for _, r := range rows {
		parts = append(parts, fmt.Sprintf("%s %d", r.name, r.n))
	}
	return strings.Join(parts, ", ")
}
