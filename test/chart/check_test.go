package chart

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/yaml"

	"github.com/trail-operator/trail-operator/internal/manifests"
)

// build compiles a program of cmd/.
func build(t *testing.T, name string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	cmd := exec.CommandContext(t.Context(), "go", "build", "-o", path, "../../cmd/"+name)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("building %s: %v\n%s", name, err, out)
	}
	return path
}

// start runs a program until the test ends.
func start(t *testing.T, path string, args ...string) {
	t.Helper()
	log, err := os.Create(filepath.Join(t.TempDir(), filepath.Base(path)+".log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), path, args...)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Wait() // the test's context has ended it
		log.Close()
		if content, err := os.ReadFile(log.Name()); err == nil && t.Failed() {
			t.Logf("%s said\n%s", filepath.Base(path), content)
		}
	})
}

// managerFiles writes the kubeconfig of the chart's service account and the
// configuration of the chart's ConfigMap, which is changed as a process that
// shares its machine needs it.
func managerFiles(t *testing.T, ns string) []string {
	t.Helper()
	dir := t.TempDir()
	account := filepath.Join(dir, "kubeconfig")
	err := controlPlane.WriteKubeconfig(account, "system:serviceaccount:"+ns+":trail-operator-manager",
		"system:serviceaccounts", "system:serviceaccounts:"+ns)
	if err != nil {
		t.Fatal(err)
	}
	var c map[string]any
	rendered := kubectl(t, nil, "get", "configmap/trail-operator-manager", "--namespace", ns, `--output=jsonpath={.data.manager\.yaml}`)
	if err := yaml.Unmarshal([]byte(rendered), &c); err != nil {
		t.Fatal(err)
	}
	c["metricsBindAddress"], c["healthBindAddress"] = "0", "127.0.0.1:0"
	raw, err := yaml.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "manager.yaml")
	if err := os.WriteFile(file, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	return []string{"--config=" + file, "--kubeconfig=" + account}
}

// receiverFolder writes what a kubelet would show to the receiver.
func receiverFolder(t *testing.T, ns string) string {
	t.Helper()
	client, err := kubernetes.NewForConfig(controlPlane.Config)
	if err != nil {
		t.Fatal(err)
	}
	var list *corev1.SecretList
	if list, err = client.CoreV1().Secrets(ns).List(t.Context(), metav1.ListOptions{LabelSelector: manifests.ReceiverConfigLabel + "=true"}); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for _, secret := range list.Items {
		for name, content := range secret.Data {
			if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	return dir
}

// TestCheck: what `helm test` runs fails as long as a part is missing, and
// passes with the rights that the chart gives when all are there.
func TestCheck(t *testing.T) {
	const ns = "check"
	restricted(t, ns)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	helm(t, "install", release, chart, "--namespace", ns, "--wait=false", "--values", "testdata/external-receiver.values.yaml",
		"--set", "crds.keep=false,receiver.address="+address)
	defer kubectl(t, nil, "wait", "--for=delete", "--timeout=60s", "crd/trails.trail-operator.io")
	defer helm(t, "uninstall", release, "--namespace", ns, "--wait=false")
	manager, files := build(t, "manager"), managerFiles(t, ns)
	check := func(timeout string) (string, error) {
		out, _, err := command(t, nil, manager, append([]string{"check", "--timeout=" + timeout}, files...)...)
		return out, err
	}

	if out, err := check("100ms"); err == nil || !strings.Contains(err.Error(), "no manager has started") || !strings.Contains(out, "ok  kinds") {
		t.Errorf("without a manager: %s%v", out, err)
	}
	start(t, manager, files...)
	deadline := time.Now().Add(time.Minute)
	for {
		out, err := check("5s")
		if err != nil && strings.Contains(out, "ok  manager") && strings.Contains(err.Error(), "receiver: "+address+": the receiver does not answer") {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("without a receiver: %s%v", out, err)
		}
	}
	start(t, build(t, "receiver"), "--config-dir="+receiverFolder(t, ns), "--data-dir="+t.TempDir(), "--listen="+address, "--metrics-listen=127.0.0.1:0")
	if out, err := check("1m"); err != nil || !strings.Contains(out, "ok  receiver") {
		t.Errorf("%s%v", out, err)
	}
}
