// Package integration tests the control plane against a real kube-apiserver,
// with its own RBAC.
package integration

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/yaml"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	logf "sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"

	"github.com/trail-operator/trail-operator/api/v1alpha1"
	"github.com/trail-operator/trail-operator/internal/manifests"
	"github.com/trail-operator/trail-operator/test/testenv"
)

// What TestMain starts for all tests.
var (
	controlPlane *testenv.ControlPlane
	admin        client.Client
	managerUser  = "system:serviceaccount:trail-operator-system:trail-operator-manager"
)

func TestMain(m *testing.M) {
	os.Exit(run(m))
}

func run(m *testing.M) int {
	ctx, cancel := context.WithTimeout(context.Background(), 15*time.Minute)
	defer cancel()
	logf.SetLogger(zap.New(zap.WriteTo(os.Stderr), zap.UseDevMode(true)))
	dir, err := os.MkdirTemp("", "trail-integration")
	if err != nil {
		return fail(err)
	}
	defer os.RemoveAll(dir)
	if controlPlane, err = testenv.StartControlPlane(ctx, testenv.Options{Dir: dir, Progress: os.Stderr}); err != nil {
		return fail(err)
	}
	defer func() {
		if err := controlPlane.Stop(); err != nil {
			fail(err)
		}
	}()
	if admin, err = newClient(controlPlane.Config); err != nil {
		return fail(err)
	}
	if err := install(ctx, admin); err != nil {
		return fail(err)
	}
	return m.Run()
}

func fail(err error) int {
	fmt.Fprintln(os.Stderr, "integration:", err)
	return 1
}

func newClient(cfg *rest.Config) (client.Client, error) {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{
		clientgoscheme.AddToScheme, v1alpha1.AddToScheme, apiextensionsv1.AddToScheme,
	} {
		if err := add(scheme); err != nil {
			return nil, err
		}
	}
	return client.New(cfg, client.Options{Scheme: scheme})
}

// install applies the manifests of config/ as they are; those of the manager
// first, which bring the namespace.
func install(ctx context.Context, admin client.Client) error {
	for _, pattern := range []string{"crd/*.yaml", "rbac/manager.yaml", "rbac/*.yaml"} {
		paths, err := filepath.Glob(filepath.Join("../../config", pattern))
		if err != nil || len(paths) == 0 {
			return fmt.Errorf("no manifests match %s", pattern)
		}
		for _, path := range paths {
			if err := applyFile(ctx, admin, path); err != nil {
				return fmt.Errorf("%s: %w", path, err)
			}
		}
	}
	if err := nameAPIServer(ctx, admin); err != nil {
		return err
	}
	return waitForCRD(ctx, admin)
}

// nameAPIServer names the API server of these tests in the Role that lists them.
func nameAPIServer(ctx context.Context, admin client.Client) error {
	var role rbacv1.Role
	if err := admin.Get(ctx, client.ObjectKey{Namespace: installed, Name: "trail-operator-apiservers"}, &role); err != nil {
		return err
	}
	role.Rules[0].ResourceNames = []string{manifests.APIServerCertName("cp-1")}
	return admin.Update(ctx, &role)
}

func applyFile(ctx context.Context, admin client.Client, path string) error {
	raw, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	for doc := range strings.SplitSeq(string(raw), "\n---\n") {
		o := &unstructured.Unstructured{}
		if err := yaml.Unmarshal([]byte(doc), o); err != nil {
			return err
		}
		if len(o.Object) == 0 {
			continue
		}
		if err := admin.Create(ctx, o); err != nil && !apierrors.IsAlreadyExists(err) {
			return err
		}
	}
	return nil
}

func waitForCRD(ctx context.Context, admin client.Client) error {
	for {
		err := admin.List(ctx, &v1alpha1.TrailList{})
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the kind Trail is not served: %w", err)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// namespace makes a namespace of its own for a test.
func namespace(t *testing.T, name string) string {
	t.Helper()
	if err := admin.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}); err != nil {
		t.Fatal(err)
	}
	return name
}

// eventually waits until check returns an empty string; what it returns else
// is what is missing.
func eventually(t *testing.T, check func() string) {
	t.Helper()
	// A trail is looked at again at least every minute or so, whatever a controller
	// has missed.
	deadline := time.Now().Add(4 * time.Minute)
	for {
		missing := check()
		if missing == "" {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("still missing after four minutes: %s", missing)
		}
		time.Sleep(20 * time.Millisecond)
	}
}
