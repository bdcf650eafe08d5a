package manifests

import (
	"maps"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/intstr"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"
	metav1ac "k8s.io/client-go/applyconfigurations/meta/v1"
	networkingv1ac "k8s.io/client-go/applyconfigurations/networking/v1"

	"github.com/trail-operator/trail-operator/internal/managerconfig"
)

// ServiceMonitorKind is the kind of the Prometheus operator.
var ServiceMonitorKind = schema.GroupVersionKind{Group: "monitoring.coreos.com", Version: "v1", Kind: "ServiceMonitor"}

// ServiceAccount is that of the receiver's pod. It has no rights, and the pod
// has no token of it.
func (r *ReceiverWorkload) ServiceAccount() *corev1ac.ServiceAccountApplyConfiguration {
	return corev1ac.ServiceAccount(ReceiverName, r.Namespace).
		WithLabels(r.labels()).WithAnnotations(r.Workload.Annotations).WithAnnotations(r.Workload.ServiceAccountAnnotations).
		WithAutomountServiceAccountToken(false)
}

// Service leads the manager and the API servers to the receiver, also before
// it is ready: it then answers 503 with Retry-After, which API servers repeat.
// An empty clusterIP lets the API server choose. The metrics have no login, so
// they are not among its ports.
func (r *ReceiverWorkload) Service(clusterIP string) *corev1ac.ServiceApplyConfiguration {
	s := &r.Workload.Service
	port := corev1ac.ServicePort().WithName(intakePort).WithProtocol(corev1.ProtocolTCP).
		WithPort(managerconfig.IntakePort).WithTargetPort(intstr.FromString(intakePort))
	if s.NodePort != 0 {
		port.WithNodePort(s.NodePort)
	}
	spec := corev1ac.ServiceSpec().
		WithType(s.Type).
		WithPublishNotReadyAddresses(true).
		WithSelector(selector()).
		WithPorts(port)
	if clusterIP != "" {
		spec.WithClusterIP(clusterIP)
	}
	return corev1ac.Service(ReceiverName, r.Namespace).
		WithLabels(r.labels()).WithAnnotations(r.Workload.Annotations).WithAnnotations(s.Annotations).
		WithSpec(spec)
}

// NetworkPolicy bounds what reaches the receiver and what it reaches.
func (r *ReceiverWorkload) NetworkPolicy() *networkingv1ac.NetworkPolicyApplyConfiguration {
	p := &r.Workload.NetworkPolicy
	port := func(protocol corev1.Protocol, n int32) *networkingv1ac.NetworkPolicyPortApplyConfiguration {
		return networkingv1ac.NetworkPolicyPort().WithProtocol(protocol).WithPort(intstr.FromInt32(n))
	}
	metrics := networkingv1ac.NetworkPolicyIngressRule().WithPorts(port(corev1.ProtocolTCP, r.Workload.MetricsPort))
	for _, peer := range p.MetricsFrom {
		metrics.WithFrom(convert[networkingv1ac.NetworkPolicyPeerApplyConfiguration](peer))
	}
	if len(p.MetricsFrom) == 0 {
		metrics.WithFrom(networkingv1ac.NetworkPolicyPeer().WithNamespaceSelector(metav1ac.LabelSelector()))
	}
	dns := networkingv1ac.NetworkPolicyEgressRule().WithPorts(port(corev1.ProtocolUDP, 53), port(corev1.ProtocolTCP, 53))
	buckets := networkingv1ac.NetworkPolicyEgressRule()
	for _, n := range p.EgressPorts {
		buckets.WithPorts(port(corev1.ProtocolTCP, n))
	}
	return networkingv1ac.NetworkPolicy(ReceiverName, r.Namespace).
		WithLabels(r.labels()).WithAnnotations(r.Workload.Annotations).
		WithSpec(networkingv1ac.NetworkPolicySpec().
			WithPodSelector(metav1ac.LabelSelector().WithMatchLabels(selector())).
			WithPolicyTypes(networkingv1.PolicyTypeIngress, networkingv1.PolicyTypeEgress).
			WithIngress(networkingv1ac.NetworkPolicyIngressRule().WithPorts(port(corev1.ProtocolTCP, managerconfig.IntakePort)), metrics).
			WithEgress(dns, buckets))
}

// ServiceMonitor has Prometheus scrape the receiver. Its type is not among
// those of Kubernetes.
func (r *ReceiverWorkload) ServiceMonitor() *unstructured.Unstructured {
	m := &r.Workload.ServiceMonitor
	endpoint := map[string]any{"targetPort": metricsPort} // of the pod
	if m.Interval != "" {
		endpoint["interval"] = m.Interval
	}
	match := map[string]any{}
	for k, v := range selector() {
		match[k] = v
	}
	l := r.labels()
	maps.Copy(l, m.Labels)
	u := &unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{
		"selector":  map[string]any{"matchLabels": match},
		"endpoints": []any{endpoint},
	}}}
	u.SetGroupVersionKind(ServiceMonitorKind)
	u.SetNamespace(r.Namespace)
	u.SetName(ReceiverName)
	u.SetLabels(l)
	u.SetAnnotations(maps.Clone(r.Workload.Annotations))
	return u
}
