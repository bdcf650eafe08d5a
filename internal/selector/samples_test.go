package selector_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/trail-operator/trail-operator/api/v1alpha1"
	"github.com/trail-operator/trail-operator/internal/record"
	"github.com/trail-operator/trail-operator/internal/selector"
)

// goldenFacts are the facts of the events that the mapping is tested with, by
// name, and of some that a quiet cluster makes all the time.
func goldenFacts(t *testing.T) map[string]record.Facts {
	t.Helper()
	facts := map[string]record.Facts{}
	files, err := filepath.Glob("../mapping/testdata/records/*.json")
	if err != nil || len(files) < 40 {
		t.Fatalf("%d golden records, %v", len(files), err)
	}
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var golden struct{ Facts record.Facts }
		if err := json.Unmarshal(raw, &golden); err != nil {
			t.Fatal(err)
		}
		facts[strings.TrimSuffix(filepath.Base(file), ".json")] = golden.Facts
	}
	const (
		account    = "eu-central-1:123456789012:"
		node       = "arn:k8s:iam:" + account + "user/system:node:node1"
		admin      = "arn:k8s:iam:" + account + "user/admin"
		controller = "arn:k8s:core:" + account + "kube-system/serviceaccounts/"
	)
	add := func(name, event, source, kind, user string) {
		of := record.TypeAPICall
		if user == node {
			of = record.TypeServiceEvent
		}
		facts[name] = record.Facts{
			Category: record.CategoryManagement, EventName: event, EventSource: source, EventType: of, UserARN: user,
			Resources: []record.FactResource{{Type: "K8S::" + kind, ARN: "arn:k8s:any"}},
		}
	}
	add("lease-by-kubelet", "UpdateLease", "coordination.k8s.io", "coordination.k8s.io::Lease", node)
	add("lease-by-controller", "UpdateLease", "coordination.k8s.io", "coordination.k8s.io::Lease", controller+"some")
	add("lease-delete", "DeleteLease", "coordination.k8s.io", "coordination.k8s.io::Lease", admin)
	add("event-by-controller", "CreateEvent", "core.k8s.io", "core::Event", controller+"replicaset-controller")
	add("event-new-by-kubelet", "PatchEvent", "events.k8s.io", "events.k8s.io::Event", node)
	add("events-delete", "DeleteEvents", "core.k8s.io", "core::Event", admin)
	add("endpointslice-by-controller", "UpdateEndpointSlice", "discovery.k8s.io", "discovery.k8s.io::EndpointSlice", controller+"endpointslice-controller")
	add("endpointslice-by-admin", "UpdateEndpointSlice", "discovery.k8s.io", "discovery.k8s.io::EndpointSlice", admin)
	add("node-status-by-kubelet", "PatchNodeStatus", "core.k8s.io", "core::Node", node)
	add("node-status-by-admin", "PatchNodeStatus", "core.k8s.io", "core::Node", admin)
	add("node-cordon", "PatchNode", "core.k8s.io", "core::Node", admin)
	add("rolebinding-create", "CreateRoleBinding", "rbac.authorization.k8s.io", "rbac.authorization.k8s.io::RoleBinding", admin)
	add("webhook-delete", "DeleteValidatingWebhookConfiguration", "admissionregistration.k8s.io", "admissionregistration.k8s.io::ValidatingWebhookConfiguration", admin)
	add("ingress-status", "UpdateIngressStatus", "networking.k8s.io", "networking.k8s.io::Ingress", controller+"ingress")
	add("secret-by-kubelet", "GetSecret", "core.k8s.io", "core::Secret", node)
	add("anonymous-call", "CreateConfigMap", "core.k8s.io", "core::ConfigMap", "arn:k8s:iam:"+account+"user/system:anonymous")
	add("trail-suspend", "PatchTrail", "trail-operator.io", "trail-operator.io::Trail", admin)
	return facts
}

// sample reads config/samples/eventselectors/name.yaml.
func sample(t *testing.T, name string) *v1alpha1.EventSelector {
	t.Helper()
	raw, err := os.ReadFile("../../config/samples/eventselectors/" + name + ".yaml")
	if err != nil {
		t.Fatal(err)
	}
	var e v1alpha1.EventSelector
	if err := yaml.UnmarshalStrict(raw, &e); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	if e.Name != name {
		t.Errorf("%s is named %s", name, e.Name)
	}
	return &e
}

func TestSamples(t *testing.T) {
	noise := []string{
		"lease-by-kubelet", "lease-by-controller", "event-by-controller", "event-new-by-kubelet", "endpointslice-by-controller",
		"node-status-by-kubelet", "pod-status-by-kubelet",
	}
	sessions := []string{"pod-exec", "pod-exec-spdy-failed", "pod-attach", "pod-ephemeralcontainer", "pod-portforward", "node-proxy-exec"}
	rights := []string{"rolebinding-create", "csr-approval", "token-request"}
	data := []string{"pod-log", "pod-portforward", "node-proxy-exec", "service-proxy"}
	secrets := func(name string, f record.Facts) bool {
		return slices.ContainsFunc(f.Resources, func(r record.FactResource) bool { return r.Type == "K8S::core::Secret" })
	}
	one := func(lists ...[]string) func(string, record.Facts) bool {
		all := slices.Concat(lists...)
		return func(name string, _ record.Facts) bool { return slices.Contains(all, name) }
	}
	facts := goldenFacts(t)
	for name, want := range map[string]func(name string, f record.Facts) bool{
		"write-only":           func(_ string, f record.Facts) bool { return f.Category == record.CategoryManagement && !f.ReadOnly },
		"secrets-access":       secrets,
		"rbac-changes":         one(rights),
		"exec-and-attach":      one(sessions),
		"everything-but-noise": func(name string, _ record.Facts) bool { return !one(noise, data)(name, record.Facts{}) },
		"security-relevant": func(name string, f record.Facts) bool {
			return secrets(name, f) && f.EventType == record.TypeAPICall || one(rights, sessions, []string{
				"anonymous-call", "webhook-delete", "trail-suspend", "namespace-create", "namespace-delete", "namespace-finalize", "node-cordon",
			})(name, f)
		},
	} {
		t.Run(name, func(t *testing.T) {
			e := sample(t, name)
			if err := selector.ValidateEventSelector(e); err != nil {
				t.Fatal(err)
			}
			s, err := selector.Compile(e.Spec.EventSelection, "")
			if err != nil {
				t.Fatal(err)
			}
			selected := 0
			for event, f := range facts {
				got := s.Match(&f)
				if got != want(event, f) {
					t.Errorf("%s: selected %v", event, got)
				}
				if got {
					selected++
				}
			}
			if selected == 0 || selected == len(facts) {
				t.Errorf("it selects %d of %d events", selected, len(facts))
			}
			t.Log(selector.Describe(e.Spec.EventSelection))
		})
	}
	files, err := filepath.Glob("../../config/samples/eventselectors/*.yaml")
	if err != nil || len(files) != 6 {
		t.Errorf("%d samples, but six are tested (%v)", len(files), err)
	}
}

// TestSamplesTogether: a trail may use all samples at once.
func TestSamplesTogether(t *testing.T) {
	var all []v1alpha1.EventSelection
	for _, name := range []string{"write-only", "secrets-access", "rbac-changes", "exec-and-attach", "everything-but-noise", "security-relevant"} {
		all = append(all, sample(t, name).Spec.EventSelection)
	}
	m, err := selector.Merge(all)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := selector.Compile(m, "shop"); err != nil {
		t.Error(err)
	}
}
