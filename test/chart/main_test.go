// Package chart tests the Helm chart: what it renders, what it refuses, and
// what a real API server makes of it.
package chart

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/discovery"
	"sigs.k8s.io/yaml"

	"github.com/trail-operator/trail-operator/hack/assets"
	"github.com/trail-operator/trail-operator/test/testenv"
)

const (
	chart     = "../../charts/trail-operator"
	namespace = "trail-operator-system" // that config/default has
	release   = "trail-operator"
)

// What TestMain starts for all tests.
var (
	helmPath, kubeconfig, kubeVersion string
	controlPlane                      *testenv.ControlPlane
)

func TestMain(m *testing.M) {
	os.Exit(run(m))
}

func run(m *testing.M) int {
	ctx, cancel := context.WithTimeout(context.Background(), 15*time.Minute)
	defer cancel()
	dir, err := os.MkdirTemp("", "trail-chart")
	if err != nil {
		return fail(err)
	}
	defer os.RemoveAll(dir)
	programs, err := assets.Ensure(ctx, os.Stderr, "helm")
	if err != nil {
		return fail(err)
	}
	helmPath = programs["helm"]
	controlPlane, err = testenv.StartControlPlane(ctx, testenv.Options{
		Dir: dir, Progress: os.Stderr, ExtraArgs: []string{"--service-cluster-ip-range=10.96.0.0/16"},
	})
	if err != nil {
		return fail(err)
	}
	defer func() {
		if err := controlPlane.Stop(); err != nil {
			fail(err)
		}
	}()
	kubeconfig = filepath.Join(dir, "kubeconfig")
	if err := controlPlane.WriteKubeconfig(kubeconfig, "admin", "system:masters"); err != nil {
		return fail(err)
	}
	server, err := discovery.NewDiscoveryClientForConfig(controlPlane.Config)
	if err != nil {
		return fail(err)
	}
	version, err := server.ServerVersion()
	if err != nil {
		return fail(err)
	}
	kubeVersion = version.GitVersion
	return m.Run()
}

func fail(err error) int {
	fmt.Fprintln(os.Stderr, "chart:", err)
	return 1
}

// command runs a program and returns its output; the error has what it said.
func command(t *testing.T, stdin []byte, path string, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), path, args...) // cleanups run some, too
	home := filepath.Dir(kubeconfig)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+kubeconfig, "HOME="+home, "HELM_CACHE_HOME="+home, "HELM_CONFIG_HOME="+home, "HELM_DATA_HOME="+home)
	cmd.Stdin = bytes.NewReader(stdin)
	var out, complaints bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &complaints
	if err = cmd.Run(); err != nil {
		err = fmt.Errorf("%s %s: %w\n%s", filepath.Base(path), strings.Join(args, " "), err, &complaints)
	}
	return out.String(), complaints.String(), err
}

// helm runs Helm, which must succeed.
func helm(t *testing.T, args ...string) string {
	t.Helper()
	out, _, err := command(t, nil, helmPath, args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// kubectl runs kubectl, which must succeed without a warning.
func kubectl(t *testing.T, stdin []byte, args ...string) string {
	t.Helper()
	out, stderr, err := command(t, stdin, controlPlane.Kubectl(), args...)
	if err != nil {
		t.Fatal(err)
	}
	if stderr != "" {
		t.Fatalf("kubectl %s: %s", strings.Join(args, " "), stderr)
	}
	return out
}

// template renders the chart as for a cluster of the API server's version.
func template(t *testing.T, args ...string) string {
	t.Helper()
	return helm(t, append([]string{"template", release, chart, "--namespace", namespace, "--kube-version", kubeVersion}, args...)...)
}

// objects are manifests by kind and name.
type objects map[string]*unstructured.Unstructured

func parse(t *testing.T, manifests string) objects {
	t.Helper()
	list := objects{}
	for document := range strings.SplitSeq("\n"+manifests, "\n---\n") {
		u := &unstructured.Unstructured{}
		if err := yaml.Unmarshal([]byte(document), &u.Object); err != nil {
			t.Fatalf("%v in\n%s", err, document)
		}
		if len(u.Object) == 0 {
			continue
		}
		key := u.GetKind() + "/" + u.GetName()
		if list[key] != nil {
			t.Fatalf("%s is there twice", key)
		}
		list[key] = u
	}
	return list
}
