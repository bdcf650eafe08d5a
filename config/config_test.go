// Package config_test applies the installation manifests to a real API server.
package config_test

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/yaml"

	"github.com/trail-operator/trail-operator/internal/managerconfig"
	"github.com/trail-operator/trail-operator/internal/manifests"
	"github.com/trail-operator/trail-operator/test/testenv"
)

const namespace = "trail-operator-system"

func read(t *testing.T, path string, into any) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err == nil {
		err = yaml.UnmarshalStrict(b, into)
	}
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}

// receiver is the StatefulSet that the manager makes with its configuration.
func receiver(t *testing.T) *appsv1.StatefulSet {
	t.Helper()
	c, err := managerconfig.Load("manager/manager.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if c.Namespace != namespace {
		t.Errorf("the installation is in %s, want %s", c.Namespace, namespace)
	}
	if c.Receiver.Workload == nil {
		t.Fatal("nobody runs the receiver")
	}
	r := manifests.ReceiverWorkload{Namespace: c.Namespace, Workload: c.Receiver.Workload}
	b, err := json.Marshal(r.StatefulSet(nil))
	if err != nil {
		t.Fatal(err)
	}
	s := &appsv1.StatefulSet{}
	if err := json.Unmarshal(b, s); err != nil {
		t.Fatal(err)
	}
	return s
}

// TestApply: a real API server takes everything without a warning, twice, and
// Pod Security "restricted" admits the pods.
func TestApply(t *testing.T) {
	cp, err := testenv.StartControlPlane(t.Context(), testenv.Options{
		Dir: t.TempDir(), ExtraArgs: []string{"--service-cluster-ip-range=10.96.0.0/16"},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cp.Stop() })
	kubeconfig := t.TempDir() + "/kubeconfig"
	if err := cp.WriteKubeconfig(kubeconfig, "admin", "system:masters"); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		cmd := exec.CommandContext(t.Context(), cp.Kubectl(), "--kubeconfig", kubeconfig, "apply", "--server-side", "-k", "default")
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		t.Logf("%s", out)
		if err != nil || stderr.Len() > 0 {
			t.Fatalf("kubectl apply: %v\n%s", err, &stderr)
		}
	}

	var deployment appsv1.Deployment
	read(t, "manager/deployment.yaml", &deployment)
	set := receiver(t)
	client, err := kubernetes.NewForConfig(cp.Config)
	if err != nil {
		t.Fatal(err)
	}
	create := func(spec corev1.PodSpec) error {
		pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "pod", Namespace: namespace}, Spec: spec}
		_, err := client.CoreV1().Pods(namespace).Create(t.Context(), pod, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		return err
	}
	set.Spec.Template.Spec.Volumes = append(set.Spec.Template.Spec.Volumes, corev1.Volume{
		Name:         set.Spec.VolumeClaimTemplates[0].Name, // as the controller adds it
		VolumeSource: corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "data"}},
	})
	for _, spec := range []corev1.PodSpec{deployment.Spec.Template.Spec, set.Spec.Template.Spec} {
		if err := create(spec); err != nil {
			t.Error(err)
		}
	}
	spec := deployment.Spec.Template.Spec
	spec.HostNetwork = true
	if err := create(spec); err == nil || !strings.Contains(err.Error(), "PodSecurity") {
		t.Errorf("Pod Security does not watch the namespace: %v", err)
	}
}
