package auditpolicy

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apiserver/pkg/apis/audit"
	"k8s.io/apiserver/pkg/audit/policy"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/yaml"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), string(got)); d != "" {
		t.Errorf("%s: %s", name, d)
	}
}

// call is a request; resource is group/resource[/subresource], or a path.
type call struct{ user, verb, resource string }

func (c call) attributes() authorizer.Attributes {
	groups := map[string][]string{
		"": nil, "anonymous": {"system:unauthenticated"}, "jane": {"system:authenticated"},
		"node":  {"system:nodes", "system:authenticated"},
		"sa":    {"system:serviceaccounts", "system:authenticated"},
		"sched": {"system:authenticated"},
	}
	name := c.user
	if name == "sched" {
		name = "system:kube-scheduler"
	}
	a := authorizer.AttributesRecord{User: &user.DefaultInfo{Name: name, Groups: groups[c.user]}, Verb: c.verb}
	if strings.HasPrefix(c.resource, "/") {
		a.Path = c.resource
		return a
	}
	parts := append(strings.SplitN(c.resource, "/", 3), "")
	a.ResourceRequest, a.APIGroup, a.Resource, a.Subresource = true, parts[0], parts[1], parts[2]
	if a.APIGroup == "core" {
		a.APIGroup = ""
	}
	return a
}

// TestLevels asks the API server's own evaluator.
func TestLevels(t *testing.T) {
	tests := []struct {
		call
		standard, minimal audit.Level
	}{
		{call{"jane", "create", "core/pods"}, "RequestResponse", "Metadata"},
		{call{"jane", "delete", "apps/deployments"}, "RequestResponse", "Metadata"},
		{call{"jane", "patch", "example.com/widgets"}, "Metadata", "Metadata"},
		{call{"jane", "deletecollection", "core/configmaps"}, "Metadata", "Metadata"},
		{call{"jane", "get", "core/pods"}, "Metadata", "None"},
		{call{"jane", "list", "apps/deployments"}, "Metadata", "None"},
		{call{"jane", "get", "core/secrets"}, "Metadata", "Metadata"},
		{call{"jane", "create", "core/secrets"}, "Metadata", "Metadata"},
		{call{"sched", "list", "core/secrets"}, "Metadata", "Metadata"},
		{call{"node", "create", "core/serviceaccounts/token"}, "Metadata", "Metadata"},
		{call{"sa", "create", "authentication.k8s.io/tokenreviews"}, "Metadata", "Metadata"},
		{call{"jane", "get", "core/pods/exec"}, "Metadata", "Metadata"},
		{call{"jane", "create", "core/pods/exec"}, "Metadata", "Metadata"},
		{call{"jane", "get", "core/pods/log"}, "Metadata", "Metadata"},
		{call{"jane", "update", "core/pods/ephemeralcontainers"}, "RequestResponse", "Metadata"},
		{call{"jane", "create", "core/pods/eviction"}, "RequestResponse", "Metadata"},
		{call{"sa", "update", "apps/deployments/status"}, "Metadata", "Metadata"},
		{call{"node", "patch", "core/nodes/status"}, "None", "Metadata"},
		{call{"node", "patch", "core/pods/status"}, "None", "Metadata"},
		{call{"node", "update", "coordination.k8s.io/leases"}, "None", "None"},
		{call{"sched", "update", "coordination.k8s.io/leases"}, "None", "None"},
		{call{"jane", "update", "coordination.k8s.io/leases"}, "RequestResponse", "Metadata"},
		{call{"sa", "delete", "coordination.k8s.io/leases"}, "RequestResponse", "Metadata"},
		{call{"sa", "create", "events.k8s.io/events"}, "None", "None"},
		{call{"sa", "delete", "core/events"}, "RequestResponse", "Metadata"},
		{call{"jane", "create", "core/events"}, "RequestResponse", "Metadata"},
		{call{"sched", "watch", "core/pods"}, "None", "None"},
		{call{"sched", "create", "core/pods/binding"}, "RequestResponse", "Metadata"},
		{call{"anonymous", "get", "/readyz"}, "None", "None"},
		{call{"jane", "get", "/apis/apps/v1"}, "None", "None"},
		{call{"jane", "get", "/api"}, "None", "None"},
		{call{"", "get", "/api"}, "Metadata", "None"},
		{call{"", "list", "core/pods"}, "Metadata", "None"},
		{call{"anonymous", "list", "core/pods"}, "Metadata", "None"},
		{call{"jane", "get", "/metrics"}, "Metadata", "None"},
	}
	for profile, name := range map[Profile]string{Standard: "standard", Minimal: "minimal"} {
		b, err := profile.YAML()
		if err != nil {
			t.Fatal(err)
		}
		golden(t, name+".yaml", b)
		loaded, err := policy.LoadPolicyFromBytes(b)
		if err != nil {
			t.Fatalf("%s: the API server refuses the policy: %v", name, err)
		}
		built, err := policy.LoadPolicyFromBytes(mustYAML(t, profile))
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(built, loaded); d != "" {
			t.Errorf("%s: comments change the policy: %s", name, d)
		}
		rules := policy.NewPolicyRuleEvaluator(loaded)
		for _, tc := range tests {
			want := tc.standard
			if profile == Minimal {
				want = tc.minimal
			}
			got := rules.EvaluatePolicyRule(tc.attributes())
			if got.Level != want {
				t.Errorf("%s: %v: level %s, want %s", name, tc.call, got.Level, want)
			}
			if !got.OmitManagedFields || len(got.OmitStages) != 1 {
				t.Errorf("%s: %v: managed fields or the first stage are kept", name, tc.call)
			}
		}
	}
}

func TestKubeconfig(t *testing.T) {
	w := Webhook{
		URL: "https://receiver.example:9443", Account: "000000000042", APIServer: "cp-1",
		CA: []byte("ca"), Cert: []byte("cert"), Key: []byte("key"),
	}
	b, err := w.Kubeconfig()
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "webhook.kubeconfig", b)
	config, err := clientcmd.RESTConfigFromKubeConfig(b)
	if err != nil {
		t.Fatal(err)
	}
	if want := "https://receiver.example:9443/v1/audit/000000000042/cp-1"; config.Host != want {
		t.Errorf("posts go to %s, want %s", config.Host, want)
	}
	for name, change := range map[string]func(*Webhook){
		"plain text": func(w *Webhook) { w.URL = "http://receiver" },
		"path":       func(w *Webhook) { w.URL = "https://receiver/x" },
		"query":      func(w *Webhook) { w.URL = "https://receiver?x" },
		"no host":    func(w *Webhook) { w.URL = "receiver" },
		"slash":      func(w *Webhook) { w.APIServer = "a/b" },
		"colon":      func(w *Webhook) { w.APIServer = "a:b" },
		"no name":    func(w *Webhook) { w.APIServer = "" },
	} {
		bad := w
		change(&bad)
		if _, err := bad.Kubeconfig(); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestFlags(t *testing.T) {
	f := Files{Policy: "/etc/audit/policy.yaml", Kubeconfig: "/etc/audit/webhook.kubeconfig"}
	short := len(Flags(f))
	f.Log = "/var/log/audit.log"
	var lines strings.Builder
	for _, fl := range Flags(f) {
		lines.WriteString(fl.String() + "\n")
	}
	golden(t, "flags.txt", []byte(lines.String()))
	if len(Flags(f)) != short+4 {
		t.Error("without a log there must be no log flags")
	}
}

func mustYAML(t *testing.T, p Profile) []byte {
	t.Helper()
	b, err := yaml.Marshal(p.Policy())
	if err != nil {
		t.Fatal(err)
	}
	return b
}
