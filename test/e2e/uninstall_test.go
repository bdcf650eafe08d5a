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
	for _, tr := range []trail{shop, everything} {
		e.suspend(ctx, t, tr)
		if err := os.WriteFile(e.headFile(tr), []byte(e.root.kubectl(ctx, t, append([]string{"trail", "head"}, tr.kubectl()...)...)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, names := range e.loads {
		missing, doubled, err := e.compare(ctx, shop, names)
		if err != nil || len(missing)+len(doubled) > 0 {
			t.Errorf("in the end, %d of %d calls are missing and %d doubled (%v)", len(missing), len(names), len(doubled), err)
		}
	}
	if err := e.cluster.RestartAPIServer(ctx); err != nil {
		t.Fatal(err)
	}
	e.root.kubectl(ctx, t, "delete", "trails,organizationtrails", "--all", "--all-namespaces", "--timeout=60s")
	e.helm(ctx, t, "uninstall", release, "--wait", "--timeout=90s")
	e.root.kubectl(ctx, t, "delete", "namespace", operatorNamespace, "--timeout=90s")
	e.root.kubectl(ctx, t, "delete", "crd", "-l", "app.kubernetes.io/part-of=trail-operator", "--timeout=30s")
	for _, tr := range []trail{shop, everything} {
		e.validateCopy(ctx, t, tr, account)
	}
}

func (e *environment) headFile(tr trail) string {
	return filepath.Join(e.dir, "head-"+tr.name+tr.namespace+".json")
}

// validateCopy validates what is left of a trail: its bucket, and the head that
// was noted down before the cluster forgot it.
func (e *environment) validateCopy(ctx context.Context, t *testing.T, tr trail, account string) {
	t.Helper()
	files := filepath.Join(e.dir, "copy-"+tr.bucket())
	if n := download(ctx, t, tr.server(e), tr.bucket(), files); n < 3 {
		t.Fatalf("%d objects are left in the bucket %s", n, tr.bucket())
	}
	args := []string{"validate-logs", "--dir", files, "--head", e.headFile(tr), "--bucket", tr.bucket(), "--account", account}
	if tr.namespace != "" {
		args = append(args, "--prefix", tr.prefix())
	}
	validate := exec.CommandContext(ctx, filepath.Join(e.dir, "bin", "kubectl-trail"), args...)
	validate.Env = []string{"HOME=" + e.dir, "PATH=" + os.Getenv("PATH")} // no kubeconfig: nothing is asked of a cluster
	output, err := validate.CombinedOutput()
	if err != nil {
		t.Fatalf("validating %s without the cluster: %v\n%s", tr, err, output)
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
