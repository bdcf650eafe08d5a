package managerconfig

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const valid = `apiVersion: config.trail-operator.io/v1alpha1
kind: ManagerConfig
account: "000000000042"
region: eu-central-1
organization: o-abcdefghij
namespace: trail-operator-system
receiver:
  address: trail-receiver.trail-operator-system.svc:8443
  apiServerAddress: 10.0.0.9:8443
  apiServers: [cp-1, cp-2]
  names: [localhost]
allowedAddresses: [127.0.0.1:7070, "localhost", 169.254.0.0/16]
trustedProxies: [10.0.0.0/8]
`

func TestParse(t *testing.T) {
	path := filepath.Join(t.TempDir(), "manager.yaml")
	if err := os.WriteFile(path, []byte(valid), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	if c.MetricsBindAddress != "127.0.0.1:8080" || c.HealthBindAddress != ":8081" {
		t.Errorf("defaults are %q and %q", c.MetricsBindAddress, c.HealthBindAddress)
	}
	if c.TrailsPerNamespace != 5 {
		t.Errorf("a namespace may have %d trails", c.TrailsPerNamespace)
	}
	want := []string{"trail-receiver.trail-operator-system.svc", "10.0.0.9", "localhost"}
	if d := cmp.Diff(want, c.Receiver.ServerNames()); d != "" {
		t.Error(d)
	}
	if _, err := Load(path + ".missing"); err == nil {
		t.Error("a missing file was accepted")
	}
}

func TestParseRefuses(t *testing.T) {
	for name, tc := range map[string]struct{ old, new, want string }{
		"kind":             {"kind: ManagerConfig", "kind: Config", "apiVersion, kind: must be"},
		"unknown field":    {"region:", "zone: x\nregion:", `unknown field "zone"`},
		"account":          {`"000000000042"`, `"42"`, "account: must be 12 digits"},
		"region":           {"eu-central-1", "EU", "region: must be"},
		"organization":     {"o-abcdefghij", "abc", "organization: must be"},
		"namespace":        {"namespace: trail-operator-system", "namespace: ''", "namespace: must be"},
		"address":          {"  address: trail-receiver.trail-operator-system.svc:8443", "  address: https://x", "receiver.address: must be host:port"},
		"second address":   {"10.0.0.9:8443", "10.0.0.9:0", "receiver.apiServerAddress"},
		"no API server":    {"[cp-1, cp-2]", "[]", "receiver.apiServers: must name"},
		"API server name":  {"[cp-1, cp-2]", "[CP_1]", "receiver.apiServers[0]: must be"},
		"API server twice": {"[cp-1, cp-2]", "[cp-1, cp-1]", "receiver.apiServers[1]: stands there twice"},
		"names":            {"[localhost]", "['a b']", "receiver.names[0]"},
		"allowed":          {`"localhost"`, `"http://localhost"`, "allowedAddresses[1]: must be"},
		"allowed port":     {"127.0.0.1:7070", "127.0.0.1:99999", "allowedAddresses[0]: must be"},
		"no trails":        {"region:", "trailsPerNamespace: 0\nregion:", "trailsPerNamespace: must be 1 to 100"},
		"too many trails":  {"region:", "trailsPerNamespace: 101\nregion:", "trailsPerNamespace: must be 1 to 100"},
		"proxy":            {"10.0.0.0/8", "10.0.0.1", "trustedProxies[0]: must be an address range"},
	} {
		t.Run(name, func(t *testing.T) {
			in := strings.Replace(valid, tc.old, tc.new, 1)
			if in == valid {
				t.Fatal("the change changes nothing")
			}
			if _, err := Parse([]byte(in)); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
}

const withWorkload = `apiVersion: config.trail-operator.io/v1alpha1
kind: ManagerConfig
region: eu-central-1
namespace: trail-operator-system
receiver:
  apiServers: [cp-1]
  workload:
    image: trail-operator/receiver:dev
    imagePullPolicy: IfNotPresent
    imagePullSecrets: [registry]
    storage: {size: 40Gi, className: fast}
    reserveBytes: 100663296
    trailQuotaBytes: 1048576
    nodeSelector: {disk: ssd}
    tolerations: [{key: audit, operator: Exists}]
    labels: {team: audit}
    annotations: {example.com/team: audit}
    priorityClassName: system-cluster-critical
    metricsPort: 9090
    env: [{name: HTTPS_PROXY, value: "http://proxy:3128"}]
    service: {type: NodePort, clusterIP: 10.96.0.200, nodePort: 30443}
    networkPolicy: {egressPorts: [443, 9000], metricsFrom: [{podSelector: {matchLabels: {a: b}}}]}
    serviceMonitor: {interval: 30s, labels: {release: prometheus}}
`

func TestWorkload(t *testing.T) {
	c, err := Parse([]byte(withWorkload))
	if err != nil {
		t.Fatal(err)
	}
	if c.Receiver.Address != "trail-receiver.trail-operator-system.svc:8443" || c.Receiver.APIServerAddress != "" {
		t.Errorf("addresses are %q and %q", c.Receiver.Address, c.Receiver.APIServerAddress)
	}
	for ip, want := range map[string]string{"10.96.0.7": "10.96.0.7:8443", "fd00::7": "[fd00::7]:8443"} {
		served := c.Receiver.ServedAt(ip)
		if d := cmp.Diff([]string{"trail-receiver.trail-operator-system.svc", ip}, served.ServerNames()); served.APIServerAddress != want || d != "" {
			t.Errorf("served at %s: %s %s", ip, served.APIServerAddress, d)
		}
	}
	minimal, _, _ := strings.Cut(withWorkload, "    imagePullPolicy")
	if c, err = Parse([]byte(minimal)); err != nil {
		t.Fatal(err)
	}
	w := c.Receiver.Workload
	if w.Storage.Size.String() != "20Gi" || w.MetricsPort != 8080 || !*w.NetworkPolicy.Enabled || !*w.ServiceMonitor.Enabled ||
		w.Resources.Limits.Memory().String() != "512Mi" || len(w.NetworkPolicy.EgressPorts) == 0 {
		t.Errorf("defaults: %+v", w)
	}
}

func TestWorkloadRefuses(t *testing.T) {
	const at = "receiver.workload."
	for name, tc := range map[string]struct{ old, new, want string }{
		"image":         {"trail-operator/receiver:dev", `""`, at + "image: must be"},
		"pull policy":   {"IfNotPresent", "Sometimes", at + "imagePullPolicy: must be"},
		"pull secret":   {"[registry]", "[A B]", at + "imagePullSecrets[0]: must be"},
		"size":          {"40Gi", "1Mi", at + "storage.size: must be at least 1Gi"},
		"no size":       {"40Gi", "large", "reading YAML"},
		"class":         {"fast", "FAST", at + "storage.className: must be"},
		"reserve":       {"100663296", "100663295", at + "reserveBytes: must be at least 100663296 (96 MiB)"},
		"all reserve":   {"100663296", "40000000000", at + "reserveBytes: must be at most half"},
		"quota":         {"1048576", "1", at + "trailQuotaBytes: must be"},
		"label":         {"team: audit", "team: '/'", at + `labels["team"]: must have`},
		"our label":     {"team: audit", "app.kubernetes.io/name: x", `is set by the manager`},
		"annotation":    {"example.com/team", "a/b/c", `is no valid key`},
		"priority":      {"system-cluster-critical", "A_B", at + "priorityClassName: must be"},
		"metrics port":  {"9090", "8443", at + "metricsPort: must be"},
		"env":           {"HTTPS_PROXY", "a=b", at + "env[0].name: must be"},
		"service type":  {"NodePort,", "ExternalName,", at + "service.type: must be"},
		"cluster IP":    {"10.96.0.200", "None", at + "service.clusterIP: must be"},
		"node port":     {"type: NodePort, ", "", at + "service.nodePort: needs"},
		"egress port":   {"[443, 9000]", "[0]", at + "networkPolicy.egressPorts[0]: must be"},
		"interval":      {"30s", "often", at + "serviceMonitor.interval: must be"},
		"address":       {"  apiServers", "  address: x\n  apiServers", "receiver.address: must be"},
		"unknown field": {"operator: Exists", "operators: Exists", "unknown field"},
	} {
		t.Run(name, func(t *testing.T) {
			in := strings.Replace(withWorkload, tc.old, tc.new, 1)
			if in == withWorkload {
				t.Fatal("the change changes nothing")
			}
			if _, err := Parse([]byte(in)); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
}

func TestAllows(t *testing.T) {
	c, err := Parse([]byte(valid))
	if err != nil {
		t.Fatal(err)
	}
	for endpoint, want := range map[string]bool{
		"http://127.0.0.1:7070":          true,
		"http://127.0.0.1:7071":          false,
		"http://127.0.0.1":               false,
		"https://localhost":              true,
		"https://LOCALHOST:9":            true,
		"https://localhost.example":      false,
		"http://169.254.169.254":         true,
		"http://[::ffff:127.0.0.1]:7070": true,
		"http://[::1]:7070":              false,
		"":                               false,
		"http://127.1:7070":              false,
	} {
		if got := c.Allows(endpoint); got != want {
			t.Errorf("Allows(%q) = %v", endpoint, got)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(valid))
	f.Add([]byte(withWorkload))
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := Parse(b)
		if err != nil {
			return
		}
		if len(c.Receiver.ServerNames()) == 0 {
			t.Error("accepted a configuration without a name for the receiver")
		}
		c.Allows("http://127.0.0.1")
	})
}
