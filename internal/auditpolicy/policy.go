// Package auditpolicy builds what a kube-apiserver needs to send its audit
// events: the audit policy, the kubeconfig of the webhook and the flags.
//
// The standard policy serves the event history and every trail, whatever their
// selectors, so that no change of a trail asks for a change, and a restart, of
// the API server.
package auditpolicy

import (
	"bytes"
	"fmt"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	auditv1 "k8s.io/apiserver/pkg/apis/audit/v1"
	"sigs.k8s.io/yaml"
)

// Profile is one of the ready-made policies.
type Profile int

const (
	// Standard records who did what, with the bodies of writes.
	Standard Profile = iota
	// Minimal records writes, sessions into pods and access to Secrets, without bodies.
	Minimal
)

// rule is a policy rule with the reason for it.
type rule struct {
	why string
	auditv1.PolicyRule
}

// machines are the identities whose routine is noise. Rules that leave
// something out name who may be left out, so that the same call by anybody
// else, or by nobody (failed authentication has no groups), is recorded.
var (
	controlPlane = []string{
		"system:apiserver", "system:kube-controller-manager", "system:kube-scheduler", "system:kube-proxy",
	}
	machineGroups = []string{"system:nodes", "system:serviceaccounts"}
	reads         = []string{"get", "list", "watch"}
	writes        = []string{"create", "update", "patch", "delete"}
)

func on(group string, resources ...string) []auditv1.GroupResources {
	return []auditv1.GroupResources{{Group: group, Resources: resources}}
}

// secrets are resources whose bodies are credentials.
func secrets() []auditv1.GroupResources {
	return append(on("", "secrets", "serviceaccounts/token"), on("authentication.k8s.io", "tokenreviews")...)
}

// sessions are subresources that open a way into a pod, a node or a service.
func sessions() []auditv1.GroupResources {
	return on("", "pods/exec", "pods/attach", "pods/portforward", "pods/proxy", "pods/log", "services/proxy", "nodes/proxy")
}

func noise() []rule {
	rules := []rule{
		{
			"Health checks of load balancers and probes carry no object and come every second.",
			auditv1.PolicyRule{
				Level: auditv1.LevelNone, Verbs: []string{"get"},
				NonResourceURLs: []string{"/healthz*", "/livez*", "/readyz*"},
				UserGroups:      []string{"system:authenticated", "system:unauthenticated"},
			},
		},
		{
			"Discovery by clients that are logged in: every kubectl call makes several. Failed logins stay visible.",
			auditv1.PolicyRule{
				Level: auditv1.LevelNone, Verbs: []string{"get"}, UserGroups: []string{"system:authenticated"},
				NonResourceURLs: []string{"/api", "/api/*", "/apis", "/apis/*", "/openapi/*", "/version"},
			},
		},
	}
	leases := on("coordination.k8s.io", "leases")
	events := append(on("", "events"), on("events.k8s.io", "events")...)
	rules = append(rules, machine("Heartbeats of nodes and leader elections renew a lease every few seconds.",
		[]string{"get", "update", "patch"}, leases)...)
	return append(rules, machine("Events are the cluster's own diary; that somebody deletes them is recorded.",
		[]string{"create", "update", "patch"}, events)...)
}

// machine leaves a call out when a machine makes it. Users and groups of one
// rule must both match, so it takes two.
func machine(why string, verbs []string, resources []auditv1.GroupResources) []rule {
	return []rule{
		{why, auditv1.PolicyRule{Level: auditv1.LevelNone, Verbs: verbs, Resources: resources, UserGroups: machineGroups}},
		{"The same by the control plane.", auditv1.PolicyRule{Level: auditv1.LevelNone, Verbs: verbs, Resources: resources, Users: controlPlane}},
	}
}

func (p Profile) rules() []rule {
	rules := append(noise(), rule{
		"Secrets, token requests and token reviews: who touched them, never what they hold.",
		auditv1.PolicyRule{Level: auditv1.LevelMetadata, Resources: secrets()},
	})
	if p == Minimal {
		return append(rules,
			rule{"Sessions into pods and nodes, whose verb may be get.", auditv1.PolicyRule{Level: auditv1.LevelMetadata, Resources: sessions()}},
			rule{"Everything that changes something.", auditv1.PolicyRule{
				Level: auditv1.LevelMetadata, Verbs: append([]string{"deletecollection"}, writes...),
			}},
		)
	}
	return append(rules,
		rule{"The control plane reads everything all the time to do its work.", auditv1.PolicyRule{
			Level: auditv1.LevelNone, Verbs: reads, Users: controlPlane,
		}},
		rule{"Nodes report their own state and that of their pods without end.", auditv1.PolicyRule{
			Level: auditv1.LevelNone, Verbs: []string{"get", "update", "patch"}, UserGroups: []string{"system:nodes"},
			Resources: on("", "nodes", "nodes/status", "pods/status"),
		}},
		rule{"Sessions into pods and nodes: the command stands in the URL, so there is no body to keep.", auditv1.PolicyRule{
			Level: auditv1.LevelMetadata, Resources: sessions(),
		}},
		rule{"Status is written often, by machines, and says what happened rather than what was asked.", auditv1.PolicyRule{
			Level: auditv1.LevelMetadata, Verbs: writes, Resources: on("*", "*/status"),
		}},
		rule{"The answer to a deletion of many is all that was deleted: who and which is enough.", auditv1.PolicyRule{
			Level: auditv1.LevelMetadata, Verbs: []string{"deletecollection"},
		}},
		rule{
			"A patch with a body that is not JSON, such as a server-side apply in YAML, cannot be written with its body: kube-apiserver would drop the whole event.",
			auditv1.PolicyRule{Level: auditv1.LevelMetadata, Verbs: []string{"patch"}},
		},
		rule{"Writes, with what was sent and what came of it.", auditv1.PolicyRule{
			Level: auditv1.LevelRequestResponse, Verbs: writes,
		}},
		rule{"All the rest, reads above all, without bodies: a list can be hundreds of megabytes.", auditv1.PolicyRule{
			Level: auditv1.LevelMetadata,
		}},
	)
}

// Policy returns the profile as an audit policy.
func (p Profile) Policy() *auditv1.Policy {
	policy := &auditv1.Policy{
		TypeMeta:          metav1.TypeMeta{APIVersion: "audit.k8s.io/v1", Kind: "Policy"},
		OmitStages:        []auditv1.Stage{auditv1.StageRequestReceived},
		OmitManagedFields: true,
	}
	for _, r := range p.rules() {
		policy.Rules = append(policy.Rules, r.PolicyRule)
	}
	return policy
}

// YAML returns the profile as a file for --audit-policy-file, with the reason
// for each rule as a comment.
func (p Profile) YAML() ([]byte, error) {
	var out bytes.Buffer
	out.WriteString(`apiVersion: audit.k8s.io/v1
kind: Policy
# Every call is recorded when it is over, or when a long one has begun.
omitStages: [RequestReceived]
omitManagedFields: true
# The first rule that matches decides.
rules:
`)
	for _, r := range p.rules() {
		b, err := yaml.Marshal(r.PolicyRule)
		if err != nil {
			return nil, fmt.Errorf("encoding an audit policy rule: %w", err)
		}
		body := strings.ReplaceAll(strings.TrimSuffix(string(b), "\n"), "\n", "\n  ")
		fmt.Fprintf(&out, "# %s\n- %s\n", r.why, body)
	}
	return out.Bytes(), nil
}
