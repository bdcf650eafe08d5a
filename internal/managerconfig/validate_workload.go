package managerconfig

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/trail-operator/trail-operator/internal/receiverconfig"
)

// maxEntries bounds each list and map of a Workload.
const maxEntries = 100

// validate checks what the API server would refuse only later, when nobody
// looks, and what it would not refuse. What is left, such as the values inside
// an affinity, it refuses when the receiver is applied.
func (w *Workload) validate(bad func(field, message string)) {
	field := func(name string) string { return "receiver.workload." + name }
	if w.Image == "" || strings.ContainsAny(w.Image, " \t\r\n") || len(w.Image) > 1000 {
		bad(field("image"), "must be the image of the receiver, such as registry.example.com/trail-operator/receiver:v1.0.0")
	}
	switch w.ImagePullPolicy {
	case "", corev1.PullAlways, corev1.PullIfNotPresent, corev1.PullNever:
	default:
		bad(field("imagePullPolicy"), "must be Always, IfNotPresent, Never or left out")
	}
	for i, s := range w.ImagePullSecrets {
		if len(validation.IsDNS1123Subdomain(s)) > 0 {
			bad(fmt.Sprintf("%s[%d]", field("imagePullSecrets"), i), "must be the name of a Secret")
		}
	}
	if size := w.Storage.Size; size != nil && size.Value() < minStorage {
		bad(field("storage.size"), "must be at least 1Gi, or left out for 20Gi")
	}
	if c := w.Storage.ClassName; c != nil && *c != "" && len(validation.IsDNS1123Subdomain(*c)) > 0 {
		bad(field("storage.className"), `must be the name of a StorageClass, "" for none, or left out for the cluster's default`)
	}
	if w.ReserveBytes != 0 && w.ReserveBytes < receiverconfig.MinReserveBytes {
		bad(field("reserveBytes"), "must be at least 100663296 (96 MiB), or left out for 512 MiB")
	}
	if size := w.Storage.Size; size != nil && w.ReserveBytes > size.Value()/2 {
		bad(field("reserveBytes"), "must be at most half of storage.size")
	}
	if w.TrailQuotaBytes != 0 && w.TrailQuotaBytes < minQuota {
		bad(field("trailQuotaBytes"), "must be at least 1048576 (1 MiB), or left out for 4 GiB")
	}
	if c := w.PriorityClassName; c != "" && len(validation.IsDNS1123Subdomain(c)) > 0 {
		bad(field("priorityClassName"), "must be the name of a PriorityClass")
	}
	if w.MetricsPort != 0 && (!isPortNumber(w.MetricsPort) || w.MetricsPort < 1024 || w.MetricsPort == IntakePort) {
		bad(field("metricsPort"), "must be 1024 to 65535, other than 8443, or left out for 8080")
	}
	for i, e := range w.Env {
		if len(validation.IsEnvVarName(e.Name)) > 0 {
			bad(fmt.Sprintf("%s[%d].name", field("env"), i), "must be the name of an environment variable")
		}
	}
	if max(len(w.ImagePullSecrets), len(w.Tolerations), len(w.TopologySpreadConstraints), len(w.Env),
		len(w.NetworkPolicy.MetricsFrom), len(w.NetworkPolicy.EgressPorts)) > maxEntries {
		bad(field("imagePullSecrets, tolerations, topologySpreadConstraints, env, networkPolicy"), "must have at most 100 entries each")
	}
	w.validateMaps(bad, field)
	w.validateNetwork(bad, field)
}

func (w *Workload) validateMaps(bad func(field, message string), field func(string) string) {
	for _, m := range []struct {
		name   string
		labels bool
		values map[string]string
	}{
		{"nodeSelector", true, w.NodeSelector},
		{"labels", true, w.Labels},
		{"annotations", false, w.Annotations},
		{"serviceAccountAnnotations", false, w.ServiceAccountAnnotations},
		{"service.annotations", false, w.Service.Annotations},
		{"serviceMonitor.labels", true, w.ServiceMonitor.Labels},
	} {
		if len(m.values) > maxEntries {
			bad(field(m.name), "must have at most 100 entries")
			continue
		}
		for _, k := range slices.Sorted(maps.Keys(m.values)) {
			name := fmt.Sprintf("%s[%q]", field(m.name), k)
			switch {
			case len(validation.IsQualifiedName(k)) > 0:
				bad(name, "is no valid key")
			case m.labels && len(validation.IsValidLabelValue(m.values[k])) > 0:
				bad(name, "must have at most 63 letters, digits and . _ - as its value")
			case m.name == "labels" && (strings.HasPrefix(k, "app.kubernetes.io/") || strings.HasPrefix(k, "trail-operator.io/")):
				bad(name, "is set by the manager: choose another key")
			}
		}
	}
}

func (w *Workload) validateNetwork(bad func(field, message string), field func(string) string) {
	s := &w.Service
	switch s.Type {
	case "", corev1.ServiceTypeClusterIP, corev1.ServiceTypeNodePort, corev1.ServiceTypeLoadBalancer:
	default:
		bad(field("service.type"), "must be ClusterIP, NodePort or LoadBalancer")
	}
	if _, err := netip.ParseAddr(s.ClusterIP); s.ClusterIP != "" && err != nil {
		bad(field("service.clusterIP"), "must be an IP address of the cluster's Service range, or left out")
	}
	switch {
	case s.NodePort == 0:
	case s.Type == "" || s.Type == corev1.ServiceTypeClusterIP:
		bad(field("service.nodePort"), "needs the service.type NodePort or LoadBalancer")
	case !isPortNumber(s.NodePort):
		bad(field("service.nodePort"), "must be a port of the cluster's node port range, or left out")
	}
	for i, p := range w.NetworkPolicy.EgressPorts {
		if !isPortNumber(p) {
			bad(fmt.Sprintf("%s[%d]", field("networkPolicy.egressPorts"), i), "must be 1 to 65535")
		}
	}
	if v := w.ServiceMonitor.Interval; v != "" {
		if d, err := time.ParseDuration(v); err != nil || d < time.Second || d > time.Hour {
			bad(field("serviceMonitor.interval"), "must be a duration of 1s to 1h, such as 30s")
		}
	}
}

func isPortNumber(p int32) bool { return p > 0 && p <= 65535 }
