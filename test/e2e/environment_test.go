//go:build linux

package e2e

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/trail-operator/trail-operator/api/v1alpha1"
	"github.com/trail-operator/trail-operator/hack/assets"
	"github.com/trail-operator/trail-operator/hack/cluster"
)

// startLimit is for everything before the first scenario, with cached tools.
const startLimit = 10 * time.Minute

// environment is the cluster with the product installed, and bucket servers.
type environment struct {
	source  string // root of the repository
	dir     string // for everything; the cluster's is in it
	cluster *cluster.Cluster
	client  client.Client // an administrator's
	root    user          // the same, with kubectl
	s3      *bucketServer // of tenants
	minio   *bucketServer // of the organization
	begun   time.Time
	loads   [][]string // names of what was created, by load
}

// newEnvironment brings everything up, as the installation guide says, and has
// it taken down when the test ends.
func newEnvironment(ctx context.Context, t *testing.T) *environment {
	t.Helper()
	interrupted := ctx
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	ctrl.SetLogger(logr.Discard()) // the client's, which has nothing to say
	e := &environment{begun: time.Now()}
	var err error
	if e.source, err = filepath.Abs("../.."); err != nil {
		t.Fatal(err)
	}
	if e.dir, err = os.MkdirTemp("", "trail-e2e-"); err != nil {
		t.Fatal(err)
	}
	node := filepath.Join(e.dir, "node")
	for _, folder := range []string{node, filepath.Join(e.dir, "bin")} {
		if err := os.Mkdir(folder, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		if t.Failed() && interrupted.Err() == nil || os.Getenv("TRAIL_E2E_KEEP") != "" {
			t.Logf("logs are kept in %s", filepath.Join(node, "log"))
			return
		}
		if err := os.RemoveAll(e.dir); err != nil {
			t.Error(err)
		}
	})

	built := make(chan error, 1)
	go func() { built <- e.build(ctx) }()
	if e.cluster, err = cluster.Start(ctx, cluster.Options{Dir: node, Progress: os.Stderr}); err != nil {
		if berr := <-built; berr != nil {
			t.Error(berr)
		}
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.cluster.Stop(); err != nil {
			t.Error(err)
		}
	})
	e.step(t, "the cluster is up")
	if err := <-built; err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(e.dir, "bin", "kubectl-trail"), filepath.Join(node, "bin", "kubectl-trail")); err != nil {
		t.Fatal(err)
	}
	e.step(t, "images and kubectl-trail are built")
	if e.client, err = e.newClient(); err != nil {
		t.Fatal(err)
	}
	e.root = user{e, e.cluster.AdminKubeconfig()}
	if e.s3, err = e.startBucketServer(ctx, "versitygw", cluster.BucketIP, versitygw); err != nil {
		t.Fatal(err)
	}
	if e.minio, err = e.startBucketServer(ctx, "minio", cluster.OtherBucketIP, minioServer); err != nil {
		t.Fatal(err)
	}
	for _, binary := range []string{"manager", "receiver"} {
		if err := e.cluster.LoadImage(ctx, e.archive(binary)); err != nil {
			t.Fatal(err)
		}
	}
	defer func() {
		if t.Failed() && interrupted.Err() == nil {
			e.explain(t)
		}
	}()
	e.install(ctx, t, firstRelease)
	e.step(t, "the operator is installed")
	e.connect(ctx, t)
	e.step(t, "the API server is connected")
	e.helm(ctx, t, "test", release, "--timeout=2m")
	e.step(t, "the installation has tested itself")
	return e
}

// step tells how far the test is.
func (e *environment) step(t *testing.T, what string) {
	t.Helper()
	t.Logf("%5.1f s: %s", time.Since(e.begun).Seconds(), what)
}

// build makes the charts, the images, the plugin for kubectl and the bucket servers.
func (e *environment) build(ctx context.Context) error {
	if _, err := assets.Ensure(ctx, os.Stderr, "versitygw", "minio", "helm"); err != nil {
		return err
	}
	if err := e.packageCharts(ctx); err != nil {
		return err
	}
	for _, binary := range []string{"manager", "receiver", "recorder"} {
		cmd := e.goCommand(ctx, "run", "./hack/image", "--binary", binary, "--tag", image(binary, firstRelease), "--output", e.archive(binary))
		if err := run(cmd); err != nil {
			return err
		}
	}
	return run(e.goCommand(ctx, "build", "-trimpath", "-o", filepath.Join(e.dir, "bin", "kubectl-trail"), "./cmd/kubectl-trail"))
}

func (e *environment) goCommand(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir, cmd.Env = e.source, append(os.Environ(), "CGO_ENABLED=0")
	return cmd
}

func (e *environment) archive(binary string) string {
	return filepath.Join(e.dir, "images", binary+".tar")
}

// image is the name of an image as the manifests give it.
func image(binary, tag string) string { return "trail-operator/" + binary + ":" + tag }

func (e *environment) newClient() (client.Client, error) {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			return nil, err
		}
	}
	config, err := e.cluster.ClientConfig("admin", "system:masters")
	if err != nil {
		return nil, err
	}
	return client.New(config, client.Options{Scheme: scheme})
}
