//go:build linux

package e2e

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/trail-operator/trail-operator/internal/objectstore"
)

// uninstall: a namespace with a trail in it goes; then the operator does. What
// was recorded stays in the bucket and can be validated without the cluster.
func uninstall(ctx context.Context, t *testing.T, e *environment) {
	closing := trail{"closing", "audit"}
	tenant := e.createTenant(ctx, t, closing.namespace)
	e.createTrail(ctx, t, tenant, closing)
	e.root.kubectl(ctx, t, "delete", "namespace", closing.namespace, "--timeout=60s")

	account := e.root.kubectl(ctx, t, "get", "configmap", "trail-installation", "-n", operatorNamespace, "-o", "jsonpath={.data.account}")
	e.suspend(ctx, t, shop)
	for _, names := range e.loads {
		missing, doubled, err := e.compare(ctx, shop, names)
		if err != nil || len(missing)+len(doubled) > 0 {
			t.Errorf("in the end, %d of %d calls are missing and %d doubled (%v)", len(missing), len(names), len(doubled), err)
		}
	}
	head := filepath.Join(e.dir, "head.json")
	if err := os.WriteFile(head, []byte(e.root.kubectl(ctx, t, "trail", "head", shop.name, "-n", shop.namespace)), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := e.cluster.RestartAPIServer(ctx); err != nil {
		t.Fatal(err)
	}
	e.root.kubectl(ctx, t, "delete", "trails,organizationtrails", "--all", "--all-namespaces", "--timeout=60s")
	e.uninstall(ctx, t)

	files := filepath.Join(e.dir, "copy")
	if n := download(ctx, t, e.s3, shop.bucket(), files); n < 3 {
		t.Fatalf("%d objects are left in the bucket", n)
	}
	validate := exec.CommandContext(ctx, filepath.Join(e.dir, "bin", "kubectl-trail"), "validate-logs", "--dir", files,
		"--head", head, "--bucket", shop.bucket(), "--prefix", shop.prefix(), "--account", account)
	validate.Env = []string{"HOME=" + e.dir, "PATH=" + os.Getenv("PATH")} // no kubeconfig: nothing is asked of a cluster
	output, err := validate.CombinedOutput()
	if err != nil {
		t.Fatalf("validating without the cluster: %v\n%s", err, output)
	}
	t.Logf("%s", output)
}

// download copies a bucket into a folder, as `aws s3 sync` does, and returns the
// number of objects.
func download(ctx context.Context, t *testing.T, server *bucketServer, bucket, dir string) int {
	t.Helper()
	store, err := server.open(bucket)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for info, err := range store.List(ctx, "", "") {
		if err != nil {
			t.Fatal(err)
		}
		if err := save(ctx, store, info.Key, filepath.Join(dir, filepath.FromSlash(info.Key))); err != nil {
			t.Fatalf("%s: %v", info.Key, err)
		}
		n++
	}
	return n
}

func save(ctx context.Context, store objectstore.Store, key, path string) error {
	body, _, err := store.Get(ctx, key)
	if err != nil {
		return err
	}
	defer body.Close()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = f.ReadFrom(body)
	return err
}
