package testenv_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"

	"github.com/trail-operator/trail-operator/internal/auditpolicy"
	"github.com/trail-operator/trail-operator/test/testenv"
)

// TestControlPlane starts a real API server with the standard audit policy,
// restarts it with the minimal one, and reads its audit log.
func TestControlPlane(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	dir := t.TempDir()
	log := filepath.Join(dir, "audit.log")
	policy, err := auditpolicy.Standard.YAML()
	if err != nil {
		t.Fatal(err)
	}
	cp, err := testenv.StartControlPlane(ctx, testenv.Options{Dir: dir, AuditPolicy: policy, AuditLog: log})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := cp.Stop(); err != nil {
			t.Error(err)
		}
	}()
	admin := kubernetes.NewForConfigOrDie(cp.Config)
	create := func(name string) {
		t.Helper()
		cm := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name}, Data: map[string]string{"body-of": name}}
		if _, err := admin.CoreV1().ConfigMaps("default").Create(ctx, cm, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	create("first")

	jane, err := cp.ClientConfig("jane", "developers")
	if err != nil {
		t.Fatal(err)
	}
	_, err = kubernetes.NewForConfigOrDie(jane).CoreV1().Secrets("default").List(ctx, metav1.ListOptions{})
	if !apierrors.IsForbidden(err) {
		t.Errorf("jane lists Secrets: %v, want forbidden", err)
	}
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "s"}, StringData: map[string]string{"k": "planted-secret"}}
	if _, err := admin.CoreV1().Secrets("default").Create(ctx, secret, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	// With its body, kube-apiserver could not write the event of this call at all.
	if err := admin.CoreV1().RESTClient().Patch(types.ApplyYAMLPatchType).Namespace("default").Resource("configmaps").Name("in-yaml").
		Param("fieldManager", "test").Body([]byte("apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: in-yaml\n")).Do(ctx).Error(); err != nil {
		t.Fatal(err)
	}

	minimal, err := auditpolicy.Minimal.YAML()
	if err != nil {
		t.Fatal(err)
	}
	if err := cp.RestartAPIServer(ctx, func(o *testenv.Options) { o.AuditPolicy = minimal }); err != nil {
		t.Fatal(err)
	}
	create("second") // the data and the certificates are still good

	b, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	lines := string(b)
	for want, present := range map[string]bool{
		`"body-of":"first"`:  true,
		`"username":"jane"`:  true,
		`"name":"second"`:    true,
		`"name":"in-yaml"`:   true,
		`"body-of":"second"`: false, // minimal has no bodies
		`planted-secret`:     false,
		`cGxhbnRlZC1zZWNyZX`: false, // the same in base64
	} {
		if strings.Contains(lines, want) != present {
			t.Errorf("the audit log contains %s: %v, want %v", want, !present, present)
		}
	}
}
