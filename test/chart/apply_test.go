package chart

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// monitoring are stand-ins for the kinds of the Prometheus operator.
const monitoring = `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: PLURAL.monitoring.coreos.com}
spec:
  group: monitoring.coreos.com
  names: {kind: KIND, plural: PLURAL}
  scope: Namespaced
  versions:
  - name: v1
    served: true
    storage: true
    schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
`

// restricted makes a namespace that enforces Pod Security "restricted".
func restricted(t *testing.T, name string) {
	t.Helper()
	if exists := kubectl(t, nil, "get", "namespace", name, "--ignore-not-found", "--output=name"); exists == "" {
		kubectl(t, nil, "create", "namespace", name)
	}
	podSecurity(t, name, "restricted")
}

// podSecurity has a namespace enforce a level.
func podSecurity(t *testing.T, namespace, level string) {
	t.Helper()
	kubectl(t, nil, "label", "--overwrite", "namespace", namespace, "pod-security.kubernetes.io/enforce="+level, "pod-security.kubernetes.io/warn="+level)
}

// TestApply: a real API server takes each of the rendered objects without a
// warning, and Pod Security admits the pods.
func TestApply(t *testing.T) {
	for plural, kind := range map[string]string{"servicemonitors": "ServiceMonitor", "podmonitors": "PodMonitor", "prometheusrules": "PrometheusRule"} {
		kubectl(t, []byte(strings.NewReplacer("KIND", kind, "PLURAL", plural).Replace(monitoring)), "apply", "--filename", "-")
		kubectl(t, nil, "wait", "--for=condition=Established", "--timeout=30s", "crd/"+plural+".monitoring.coreos.com")
	}
	for name, path := range valuesFiles(t) {
		t.Run(name, func(t *testing.T) {
			ns := "apply-" + name
			restricted(t, ns)
			manifests := helm(t, "template", release, chart, "--namespace", ns, "--kube-version", kubeVersion, "--values", path)
			if parse(t, manifests)["DaemonSet/trail-tail"] != nil {
				podSecurity(t, ns, "privileged")
			}
			kubectl(t, []byte(manifests), "apply", "--server-side", "--dry-run=server", "--filename", "-")
			restricted(t, ns)

			// A Deployment is admitted with a warning at most, its pods are not.
			deployment := parse(t, manifests)["Deployment/trail-manager"]
			spec, _, _ := unstructured.NestedMap(deployment.Object, "spec", "template", "spec")
			delete(spec, "priorityClassName") // resolved only where there are such classes
			pod := &unstructured.Unstructured{Object: map[string]any{"spec": spec}}
			pod.SetAPIVersion("v1")
			pod.SetKind("Pod")
			pod.SetName("pod")
			pod.SetNamespace(ns)
			raw, err := pod.MarshalJSON()
			if err != nil {
				t.Fatal(err)
			}
			kubectl(t, raw, "apply", "--server-side", "--dry-run=server", "--filename", "-")
		})
	}
}
