package manifests

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/trail-operator/trail-operator/internal/managerconfig"
)

const minimalWorkload = `{image: trail-operator/receiver:dev}`

const fullWorkload = `
image: registry.example.com/receiver@sha256:0000000000000000000000000000000000000000000000000000000000000000
imagePullPolicy: Always
imagePullSecrets: [registry]
resources: {requests: {cpu: "1", memory: 1Gi}, limits: {memory: 1Gi}}
storage: {size: 100Gi, className: fast}
reserveBytes: 1073741824
trailQuotaBytes: 8589934592
nodeSelector: {disk: ssd}
tolerations: [{key: audit, operator: Exists, effect: NoSchedule}]
affinity:
  nodeAffinity:
    requiredDuringSchedulingIgnoredDuringExecution:
      nodeSelectorTerms: [{matchExpressions: [{key: zone, operator: In, values: [a]}]}]
topologySpreadConstraints:
- {maxSkew: 1, topologyKey: zone, whenUnsatisfiable: ScheduleAnyway, labelSelector: {matchLabels: {a: b}}}
priorityClassName: system-cluster-critical
labels: {team: audit}
annotations: {example.com/owner: audit}
serviceAccountAnnotations: {example.com/role: writer}
env: [{name: HTTPS_PROXY, value: "http://proxy:3128"}]
metricsPort: 9090
service: {type: LoadBalancer, clusterIP: 10.96.0.200, nodePort: 30443, annotations: {example.com/internal: "true"}}
networkPolicy: {egressPorts: [443], metricsFrom: [{namespaceSelector: {matchLabels: {name: monitoring}}}]}
serviceMonitor: {interval: 30s, labels: {release: prometheus}}
`

func workload(t *testing.T, y string) *ReceiverWorkload {
	t.Helper()
	indented := "    " + strings.ReplaceAll(strings.TrimSpace(y), "\n", "\n    ")
	c, err := managerconfig.Parse([]byte("apiVersion: config.trail-operator.io/v1alpha1\nkind: ManagerConfig\nregion: eu-1\nnamespace: trail\n" +
		"receiver:\n  apiServers: [cp-1]\n  workload:\n" + indented))
	if err != nil {
		t.Fatal(err)
	}
	return &ReceiverWorkload{Namespace: c.Namespace, Workload: c.Receiver.Workload}
}

func TestReceiverWorkload(t *testing.T) {
	for name, y := range map[string]string{"minimal": minimalWorkload, "full": fullWorkload} {
		t.Run(name, func(t *testing.T) {
			r := workload(t, y)
			golden(t, "workload-"+name+".yaml", map[string]any{
				"serviceAccount": r.ServiceAccount(), "service": r.Service(r.Workload.Service.ClusterIP),
				"networkPolicy": r.NetworkPolicy(), "serviceMonitor": r.ServiceMonitor(), "statefulSet": r.StatefulSet(nil),
			})
		})
	}
}

// TestStatefulSetKeeps: what a StatefulSet cannot change is applied as it is.
func TestStatefulSetKeeps(t *testing.T) {
	r := workload(t, fullWorkload)
	size := resource.MustParse("20Gi")
	present := &appsv1.StatefulSet{Spec: appsv1.StatefulSetSpec{
		PodManagementPolicy: appsv1.OrderedReadyPodManagement,
		VolumeClaimTemplates: []corev1.PersistentVolumeClaim{{
			ObjectMeta: metav1.ObjectMeta{Name: "data"},
			Spec: corev1.PersistentVolumeClaimSpec{
				AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
				Resources:   corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: size}},
			},
			Status: corev1.PersistentVolumeClaimStatus{Phase: corev1.ClaimPending},
		}},
	}}
	spec := r.StatefulSet(present).Spec
	if *spec.PodManagementPolicy != appsv1.OrderedReadyPodManagement {
		t.Errorf("the pod management policy becomes %s", *spec.PodManagementPolicy)
	}
	claim := spec.VolumeClaimTemplates[0]
	if d := cmp.Diff(size, (*claim.Spec.Resources.Requests)[corev1.ResourceStorage]); d != "" || claim.Status != nil || claim.Spec.StorageClassName != nil {
		t.Errorf("the claim becomes %+v: %s", claim, d)
	}
}

// TestSelectorsStay: selectors are for ever.
func TestSelectorsStay(t *testing.T) {
	r := workload(t, fullWorkload)
	want := map[string]string{"app.kubernetes.io/name": "trail-receiver"}
	for name, got := range map[string]map[string]string{
		"StatefulSet":   r.StatefulSet(nil).Spec.Selector.MatchLabels,
		"Service":       r.Service("").Spec.Selector,
		"NetworkPolicy": r.NetworkPolicy().Spec.PodSelector.MatchLabels,
	} {
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("the selector of the %s has changed, which no upgrade survives: %s", name, d)
		}
	}
	for k, v := range want {
		if r.StatefulSet(nil).Spec.Template.Labels[k] != v {
			t.Error("the pod is not selected")
		}
	}
}
