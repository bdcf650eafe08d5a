package main

import (
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"

	"github.com/trail-operator/trail-operator/internal/managerconfig"
)

// values is what values.yaml may hold: the manager's configuration, and what
// the chart itself decides on.
type values struct {
	managerconfig.Config `json:",inline"`

	Tail         tail              `json:"tail"`
	Image        image             `json:"image"`
	Manager      manager           `json:"manager"`
	Metrics      metrics           `json:"metrics"`
	CRDs         crdValues         `json:"crds"`
	RBAC         rbacValues        `json:"rbac"`
	CommonLabels map[string]string `json:"commonLabels"`
	// Global is what Helm gives to a chart that is part of another.
	Global map[string]any `json:"global"`
}

// derived are the fields of the manager's configuration that the chart sets by
// itself, and that are no values therefore.
var derived = map[string]string{
	"apiVersion":         "always the same",
	"kind":               "always the same",
	"namespace":          "that of the release",
	"leaderElection":     "always on, so that a replica may be added",
	"metricsBindAddress": "metrics.enabled, metrics.port",
	"healthBindAddress":  "the probes of the Deployment name it",

	"intake.tail": "tail.enabled",

	"receiver.workload.image":            "image.receiver",
	"receiver.workload.imagePullPolicy":  "image.pullPolicy",
	"receiver.workload.imagePullSecrets": "image.pullSecrets",

	"validation.image":            "image.receiver",
	"validation.imagePullPolicy":  "image.pullPolicy",
	"validation.imagePullSecrets": "image.pullSecrets",
}

type tail struct {
	Enabled           bool                        `json:"enabled"`
	AuditLog          string                      `json:"auditLog"`
	StateDir          string                      `json:"stateDir"`
	Backfill          bool                        `json:"backfill"`
	Resources         corev1.ResourceRequirements `json:"resources"`
	NodeSelector      map[string]string           `json:"nodeSelector"`
	Tolerations       []corev1.Toleration         `json:"tolerations"`
	PriorityClassName string                      `json:"priorityClassName"`
	SELinuxOptions    corev1.SELinuxOptions       `json:"seLinuxOptions"`
	Labels            map[string]string           `json:"labels"`
	Annotations       map[string]string           `json:"annotations"`
	Env               []corev1.EnvVar             `json:"env"`
	MetricsPort       int32                       `json:"metricsPort"`
	NetworkPolicy     tailPolicy                  `json:"networkPolicy"`
	PodMonitor        serviceMonitor              `json:"podMonitor"`
}

type tailPolicy struct {
	Enabled     bool                             `json:"enabled"`
	MetricsFrom []networkingv1.NetworkPolicyPeer `json:"metricsFrom"`
}

type image struct {
	Registry    string            `json:"registry"`
	Tag         string            `json:"tag"`
	PullPolicy  corev1.PullPolicy `json:"pullPolicy"`
	PullSecrets []string          `json:"pullSecrets"`
	Manager     repository        `json:"manager"`
	Receiver    repository        `json:"receiver"`
	Recorder    repository        `json:"recorder"`
}

type repository struct {
	Repository string `json:"repository"`
	Digest     string `json:"digest"`
}

type manager struct {
	Replicas                  int                               `json:"replicas"`
	Resources                 corev1.ResourceRequirements       `json:"resources"`
	NodeSelector              map[string]string                 `json:"nodeSelector"`
	Tolerations               []corev1.Toleration               `json:"tolerations"`
	Affinity                  corev1.Affinity                   `json:"affinity"`
	TopologySpreadConstraints []corev1.TopologySpreadConstraint `json:"topologySpreadConstraints"`
	PriorityClassName         string                            `json:"priorityClassName"`
	Labels                    map[string]string                 `json:"labels"`
	Annotations               map[string]string                 `json:"annotations"`
	ServiceAccountAnnotations map[string]string                 `json:"serviceAccountAnnotations"`
	Env                       []corev1.EnvVar                   `json:"env"`
	NetworkPolicy             managerPolicy                     `json:"networkPolicy"`
}

type managerPolicy struct {
	Enabled        bool                             `json:"enabled"`
	APIServerPorts []int32                          `json:"apiServerPorts"`
	MetricsFrom    []networkingv1.NetworkPolicyPeer `json:"metricsFrom"`
}

type metrics struct {
	Enabled        bool           `json:"enabled"`
	Port           int32          `json:"port"`
	ServiceMonitor serviceMonitor `json:"serviceMonitor"`
	PrometheusRule prometheusRule `json:"prometheusRule"`
}

type serviceMonitor struct {
	Enabled  bool              `json:"enabled"`
	Interval string            `json:"interval"`
	Labels   map[string]string `json:"labels"`
}

type prometheusRule struct {
	Enabled bool              `json:"enabled"`
	Labels  map[string]string `json:"labels"`
}

type crdValues struct {
	Enabled bool `json:"enabled"`
	Keep    bool `json:"keep"`
}

type rbacValues struct {
	Aggregate bool `json:"aggregate"`
}
