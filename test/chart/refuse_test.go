package chart

import (
	"strings"
	"testing"
)

// TestRefuses: a value that is unknown or cannot be right is refused before
// anything is installed, by a message that names it.
func TestRefuses(t *testing.T) {
	for name, tc := range map[string]struct{ set, want string }{
		"no region":          {"region=", "region is required: where the cluster runs"},
		"region":             {"region=EU", "/region"},
		"account":            {"account=42", "/account"},
		"organization":       {"organization=acme", "/organization"},
		"unknown":            {"regions=eu", "additional properties 'regions' not allowed"},
		"unknown in manager": {"manager.replica=1", "additional properties 'replica' not allowed"},
		"unknown in storage": {"receiver.workload.storage.class=fast", "additional properties 'class' not allowed"},
		"image is derived":   {"receiver.workload.image=x", "additional properties 'image' not allowed"},
		"namespace":          {"namespace=x", "additional properties 'namespace' not allowed"},
		"toleration":         {"manager.tolerations[0].operators=Exists", "additional properties 'operators' not allowed"},
		"affinity":           {"receiver.workload.affinity.node=x", "additional properties 'node' not allowed"},
		"env":                {"manager.env[0].value=x", "missing property 'name'"},
		"no API server":      {"receiver.apiServers=null,receiver.apiServers={}", "/receiver/apiServers"},
		"API server":         {"receiver.apiServers={CP_1}", "/receiver/apiServers/0"},
		"API server twice":   {"receiver.apiServers={a,a}", "/receiver/apiServers"},
		"address":            {"receiver.address=receiver", "/receiver/address"},
		"tenant":             {"tenantDestinations[0].namespace=a", "missing properties 'region', 'bucket', 'prefix'"},
		"trails":             {"trailsPerNamespace=0", "/trailsPerNamespace"},
		"replicas":           {"manager.replicas=3", "/manager/replicas"},
		"no replicas":        {"manager.replicas=0", "/manager/replicas"},
		"digest":             {"image.manager.digest=sha256:abc", "/image/manager/digest"},
		"pull policy":        {"image.pullPolicy=Sometimes", "/image/pullPolicy"},
		"service type":       {"receiver.workload.service.type=ExternalName", "/receiver/workload/service/type"},
		"metrics port":       {"receiver.workload.metricsPort=8443", "/receiver/workload/metricsPort"},
		"health port":        {"metrics.port=8081", "/metrics/port"},
		"our label":          {`commonLabels.app\.kubernetes\.io/name=x`, "invalid propertyName 'app.kubernetes.io/name'"},
		"label":              {"commonLabels.a=b c", "/commonLabels/a"},
		"type":               {"keepSensitiveBodies=often", "/keepSensitiveBodies"},
		"forward timeout":    {"intake.forwardTo.timeoutSeconds=301", "/intake/forwardTo/timeoutSeconds"},
		"forward scheme":     {"intake.forwardTo.url=ftp://x", "/intake/forwardTo/url"},
		"interval":           {"metrics.serviceMonitor.interval=often", "/metrics/serviceMonitor/interval"},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := command(t, nil, helmPath, "template", release, chart, "--kube-version", kubeVersion,
				"--values", "testdata/minimal.values.yaml", "--set", tc.set)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
}

// TestOldCluster: one that lacks what the CustomResourceDefinitions need.
func TestOldCluster(t *testing.T) {
	_, _, err := command(t, nil, helmPath, "template", release, chart, "--kube-version", "1.30.9", "--set", "region=a")
	if err == nil || !strings.Contains(err.Error(), "kubeVersion") {
		t.Errorf("got %v", err)
	}
}

// TestGlobal: the chart may be part of another, to which Helm adds a value.
func TestGlobal(t *testing.T) {
	o := parse(t, template(t, "--values", "testdata/minimal.values.yaml", "--set", "global.a=b"))
	configuration(t, o) // refuses what it does not know
}

func TestLint(t *testing.T) {
	for name, path := range valuesFiles(t) {
		out := helm(t, "lint", chart, "--strict", "--kube-version", kubeVersion, "--values", path)
		if strings.Contains(out, "[WARNING]") || strings.Contains(out, "[ERROR]") {
			t.Errorf("%s: %s", name, out)
		}
	}
}
