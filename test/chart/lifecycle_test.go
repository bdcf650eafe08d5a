package chart

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const trail = `
apiVersion: trail-operator.io/v1alpha1
kind: Trail
metadata: {name: audit, namespace: lifecycle-tenant}
spec:
  destination: {endpoint: "https://s3.example.com", bucket: audit-bucket, credentialsSecretRef: {name: bucket}}
`

func uid(t *testing.T, args ...string) string {
	t.Helper()
	return kubectl(t, nil, append([]string{"get", "--output=jsonpath={.metadata.uid}"}, args...)...)
}

// older copies the chart as it might have been: its Trail has no spec.suspend.
func older(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "chart")
	if err := os.CopyFS(dir, os.DirFS(chart)); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "files/crds/trail-operator.io_trails.yaml")
	was := string(read(t, path))
	is := strings.Replace(was, "              suspend:\n", "              formerName:\n", 1)
	if was == is {
		t.Fatal("the Trail has no spec.suspend")
	}
	if err := os.WriteFile(path, []byte(is), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestLifecycle: an upgrade changes the CustomResourceDefinitions and keeps
// them; uninstalling keeps them and the trails; the chart can then be installed
// again.
func TestLifecycle(t *testing.T) {
	const ns = "lifecycle"
	run := func(verb, from string, args ...string) {
		helm(t, append([]string{verb, release, from, "--namespace", ns, "--wait=false"}, args...)...)
	}
	restricted(t, ns)
	kubectl(t, nil, "create", "namespace", "lifecycle-tenant")

	run("install", older(t), "--set", "region=eu-central-1")
	kubectl(t, nil, "wait", "--for=condition=Established", "--timeout=30s", "crd/trails.trail-operator.io")
	kubectl(t, []byte(trail), "apply", "--server-side", "--filename", "-")
	ofCRD, ofTrail := uid(t, "crd/trails.trail-operator.io"), uid(t, "trail/audit", "--namespace=lifecycle-tenant")

	run("upgrade", chart, "--reset-then-reuse-values", "--set", "manager.replicas=2")
	if got := kubectl(t, nil, "get", "crd/trails.trail-operator.io", "--output=jsonpath={.spec.versions[0].schema.openAPIV3Schema.properties.spec.properties.suspend.type}"); got != "boolean" {
		t.Errorf("spec.suspend of the upgraded kind is a %q", got)
	}
	survived := func(after string) {
		t.Helper()
		if uid(t, "crd/trails.trail-operator.io") != ofCRD || uid(t, "trail/audit", "--namespace=lifecycle-tenant") != ofTrail {
			t.Errorf("the kind or the trail did not survive the %s", after)
		}
	}
	survived("upgrade")
	if got := kubectl(t, nil, "get", "deployment/trail-manager", "--namespace", ns, "--output=jsonpath={.spec.replicas}"); got != "2" {
		t.Errorf("%s managers run", got)
	}
	kubectl(t, nil, "get", "poddisruptionbudget/trail-manager", "--namespace", ns)

	helm(t, "uninstall", release, "--namespace", ns, "--wait=false")
	survived("uninstallation")
	if left := kubectl(t, nil, "get", "deployment,service,configmap,serviceaccount,role,rolebinding,networkpolicy,poddisruptionbudget",
		"--namespace", ns, "--selector=app.kubernetes.io/part-of=trail-operator", "--output=name", "--ignore-not-found"); left != "" {
		t.Errorf("uninstalling left %s", left)
	}
	if left := kubectl(t, nil, "get", "clusterrole,clusterrolebinding", "--selector=app.kubernetes.io/part-of=trail-operator", "--output=name", "--ignore-not-found"); left != "" {
		t.Errorf("uninstalling left %s", left)
	}

	run("install", chart, "--set", "region=eu-central-1,crds.keep=false")
	survived("second installation")
	helm(t, "uninstall", release, "--namespace", ns, "--wait=false")
	kubectl(t, nil, "wait", "--for=delete", "--timeout=60s", "crd/trails.trail-operator.io")
}

// TestFromManifests: what was installed with kubectl can be handed to Helm.
func TestFromManifests(t *testing.T) {
	kubectl(t, nil, "apply", "--server-side", "-k", "../../config/default")
	before := uid(t, "deployment/trail-manager", "--namespace", namespace)
	if _, _, err := command(t, nil, helmPath, "install", release, chart, "--namespace", namespace, "--wait=false", "--set", "region=eu-central-1"); err == nil {
		t.Error("Helm took over what it does not own without being told to")
	}
	helm(t, "install", release, chart, "--namespace", namespace, "--wait=false", "--take-ownership", "--set", "region=eu-central-1")
	if uid(t, "deployment/trail-manager", "--namespace", namespace) != before {
		t.Error("the manager was made anew")
	}
	helm(t, "uninstall", release, "--namespace", namespace, "--wait=false")
	kubectl(t, nil, "delete", "crd", "--selector=app.kubernetes.io/part-of=trail-operator", "--timeout=60s")
}
