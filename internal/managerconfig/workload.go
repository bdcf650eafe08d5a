package managerconfig

import (
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/utils/ptr"
)

// Defaults of a Workload.
const (
	// IntakePort is where the receiver's Service and its container listen.
	IntakePort = 8443

	defaultMetricsPort = 8080
	defaultStorage     = "20Gi"
)

// Bounds of a Workload, in bytes.
const (
	// minStorage leaves room for events beside the default reserve.
	minStorage = 1 << 30
	minQuota   = 1 << 20
)

// Workload says how the manager runs the receiver. The types of Kubernetes
// mean what they mean there.
type Workload struct {
	// Image of the receiver, by tag or by digest. It must be of the manager's version.
	Image string `json:"image"`
	// ImagePullPolicy is Always, IfNotPresent or Never; empty leaves it to Kubernetes.
	ImagePullPolicy corev1.PullPolicy `json:"imagePullPolicy,omitempty"`
	// ImagePullSecrets are names of Secrets of the installation's namespace.
	ImagePullSecrets []string `json:"imagePullSecrets,omitempty"`

	// Resources of the container; left out they are 200m of CPU and 256Mi of
	// memory, with a limit of 512Mi of memory.
	Resources *corev1.ResourceRequirements `json:"resources,omitempty"`
	Storage   Storage                      `json:"storage,omitempty"`
	// ReserveBytes of the volume are kept free of events, at least 100663296
	// (96 MiB); 0 means 536870912 (512 MiB).
	ReserveBytes int64 `json:"reserveBytes,omitempty"`
	// TrailQuotaBytes bounds the undelivered files of one trail; 0 means
	// 4294967296 (4 GiB).
	TrailQuotaBytes int64 `json:"trailQuotaBytes,omitempty"`

	NodeSelector              map[string]string                 `json:"nodeSelector,omitempty"`
	Tolerations               []corev1.Toleration               `json:"tolerations,omitempty"`
	Affinity                  *corev1.Affinity                  `json:"affinity,omitempty"`
	TopologySpreadConstraints []corev1.TopologySpreadConstraint `json:"topologySpreadConstraints,omitempty"`
	// PriorityClassName of the pod. A receiver that is evicted for others costs
	// events after about 80 seconds: system-cluster-critical suits it.
	PriorityClassName string `json:"priorityClassName,omitempty"`

	// Labels and Annotations are added to the pod and to every object that the
	// manager makes for the receiver.
	Labels      map[string]string `json:"labels,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
	// ServiceAccountAnnotations are added to the ServiceAccount of the pod, such
	// as the role that a cloud gives it. It has no token for the API server.
	ServiceAccountAnnotations map[string]string `json:"serviceAccountAnnotations,omitempty"`
	// Env are environment variables of the container.
	Env []corev1.EnvVar `json:"env,omitempty"`

	// MetricsPort serves /metrics, /healthz and /readyz without TLS; 0 means 8080.
	MetricsPort int32 `json:"metricsPort,omitempty"`

	Service        Service        `json:"service,omitempty"`
	NetworkPolicy  NetworkPolicy  `json:"networkPolicy,omitempty"`
	ServiceMonitor ServiceMonitor `json:"serviceMonitor,omitempty"`
}

// Storage is the receiver's volume claim.
type Storage struct {
	// Size of the volume; left out it is 20Gi. A larger size enlarges the claim
	// that is there, when its class allows it; a smaller one changes nothing.
	Size *resource.Quantity `json:"size,omitempty"`
	// ClassName is the StorageClass; left out means the cluster's default, ""
	// means none. It matters only when the claim is made.
	ClassName *string `json:"className,omitempty"`
}

// Service is how the receiver is reached. Its port is 8443.
type Service struct {
	// Type is ClusterIP, NodePort or LoadBalancer; empty means ClusterIP.
	Type corev1.ServiceType `json:"type,omitempty"`
	// ClusterIP is for the first start only; empty lets the API server choose.
	// The address stays for as long as the Service does.
	ClusterIP string `json:"clusterIP,omitempty"`
	// NodePort, for the types NodePort and LoadBalancer; 0 lets the API server choose.
	NodePort    int32             `json:"nodePort,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

// NetworkPolicy says what the receiver's pod may be reached by and reach.
// Everybody may reach the intake port: API servers run on the network of their
// nodes, where no selector finds them, and need a client certificate anyway.
type NetworkPolicy struct {
	// Enabled is true when left out.
	Enabled *bool `json:"enabled,omitempty"`
	// MetricsFrom are the peers that may reach the metrics port; empty means
	// every pod of the cluster.
	MetricsFrom []networkingv1.NetworkPolicyPeer `json:"metricsFrom,omitempty"`
	// EgressPorts are the TCP ports of the buckets, behind any Service; empty
	// means 443 and 9000. DNS is always allowed.
	EgressPorts []int32 `json:"egressPorts,omitempty"`
}

// ServiceMonitor has Prometheus scrape the receiver. It is made where the
// cluster knows the kind.
type ServiceMonitor struct {
	// Enabled is true when left out.
	Enabled *bool `json:"enabled,omitempty"`
	// Interval of the scrapes, such as 30s; empty means Prometheus' own.
	Interval string `json:"interval,omitempty"`
	// Labels by which a Prometheus selects it.
	Labels map[string]string `json:"labels,omitempty"`
}

// DefaultEgressPorts are the ports of buckets where nobody says otherwise.
func DefaultEgressPorts() []int32 { return []int32{443, 9000} }

// complete fills in what may be left out.
func (w *Workload) complete() {
	if w.Resources == nil {
		w.Resources = &corev1.ResourceRequirements{
			Requests: corev1.ResourceList{
				corev1.ResourceCPU: resource.MustParse("200m"), corev1.ResourceMemory: resource.MustParse("256Mi"),
			},
			Limits: corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("512Mi")},
		}
	}
	if w.Storage.Size == nil {
		w.Storage.Size = ptr.To(resource.MustParse(defaultStorage))
	}
	if w.MetricsPort == 0 {
		w.MetricsPort = defaultMetricsPort
	}
	if w.Service.Type == "" {
		w.Service.Type = corev1.ServiceTypeClusterIP
	}
	if w.NetworkPolicy.Enabled == nil {
		w.NetworkPolicy.Enabled = ptr.To(true)
	}
	if len(w.NetworkPolicy.EgressPorts) == 0 {
		w.NetworkPolicy.EgressPorts = DefaultEgressPorts()
	}
	if w.ServiceMonitor.Enabled == nil {
		w.ServiceMonitor.Enabled = ptr.To(true)
	}
}
