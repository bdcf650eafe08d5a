package manifests

import (
	"encoding/json"
	"maps"
	"strconv"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	appsv1ac "k8s.io/client-go/applyconfigurations/apps/v1"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"
	metav1ac "k8s.io/client-go/applyconfigurations/meta/v1"

	"github.com/trail-operator/trail-operator/internal/managerconfig"
)

const (
	// ReceiverName is the name of every object that runs the receiver.
	ReceiverName = managerconfig.ServiceName
	// ReceiverClaim is the volume claim that the StatefulSet makes.
	ReceiverClaim = dataVolume + "-" + ReceiverName + "-0"

	dataVolume, configVolume = "data", "config"
	dataDir, configDir       = "/var/lib/trail-receiver", "/etc/trail-receiver"
	intakePort, metricsPort  = "intake", "metrics"

	user = int64(65532)
	// gracePeriod: requests in flight get 25 seconds; then open files are closed.
	gracePeriod = int64(60)
)

// ReceiverWorkload builds the objects that run the receiver. Nothing owns them:
// what is deleted and made again by a tool, or restored from a backup, has
// another UID, and whatever it owned would go while API servers send events.
type ReceiverWorkload struct {
	Namespace string
	Workload  *managerconfig.Workload // with its defaults
}

// selector never changes: it is that of a StatefulSet and of a Service in use.
func selector() map[string]string { return map[string]string{labelName: ReceiverName} }

func (r *ReceiverWorkload) labels() map[string]string {
	l := labels("receiver")
	maps.Copy(l, r.Workload.Labels)
	maps.Copy(l, selector())
	l[labelInstance] = projectName
	return l
}

// StatefulSet runs one receiver with a volume of its own. Fields that cannot be
// changed are those of present, the StatefulSet that is there; nil for none.
//
// There is no hash of the configuration in the template: the receiver loads a
// new one while it runs, and a restart would cost time in which nothing is
// received.
func (r *ReceiverWorkload) StatefulSet(present *appsv1.StatefulSet) *appsv1ac.StatefulSetApplyConfiguration {
	spec := appsv1ac.StatefulSetSpec().
		WithServiceName(ReceiverName).
		WithReplicas(1). // never more: API servers would be spread over two spools
		// A pod that does not become ready must not hold up its own replacement.
		WithPodManagementPolicy(appsv1.ParallelPodManagement).
		WithPersistentVolumeClaimRetentionPolicy(appsv1ac.StatefulSetPersistentVolumeClaimRetentionPolicy().
			WithWhenDeleted(appsv1.RetainPersistentVolumeClaimRetentionPolicyType).
			WithWhenScaled(appsv1.RetainPersistentVolumeClaimRetentionPolicyType)).
		WithSelector(metav1ac.LabelSelector().WithMatchLabels(selector())).
		WithTemplate(corev1ac.PodTemplateSpec().
			WithLabels(r.labels()).WithAnnotations(r.Workload.Annotations).
			WithSpec(r.pod())).
		WithVolumeClaimTemplates(r.claim())
	if present != nil {
		spec.PodManagementPolicy = &present.Spec.PodManagementPolicy
		spec.VolumeClaimTemplates = nil
		for i := range present.Spec.VolumeClaimTemplates {
			c := convert[corev1ac.PersistentVolumeClaimApplyConfiguration](present.Spec.VolumeClaimTemplates[i])
			c.Status = nil
			spec.WithVolumeClaimTemplates(c)
		}
	}
	return appsv1ac.StatefulSet(ReceiverName, r.Namespace).
		WithLabels(r.labels()).WithAnnotations(r.Workload.Annotations).WithSpec(spec)
}

func (r *ReceiverWorkload) claim() *corev1ac.PersistentVolumeClaimApplyConfiguration {
	spec := corev1ac.PersistentVolumeClaimSpec().
		WithAccessModes(corev1.ReadWriteOnce).
		WithResources(corev1ac.VolumeResourceRequirements().
			WithRequests(corev1.ResourceList{corev1.ResourceStorage: *r.Workload.Storage.Size}))
	spec.StorageClassName = r.Workload.Storage.ClassName
	c := corev1ac.PersistentVolumeClaim(dataVolume, "").WithSpec(spec)
	c.Namespace, c.Kind, c.APIVersion = nil, nil, nil
	return c
}

func (r *ReceiverWorkload) pod() *corev1ac.PodSpecApplyConfiguration {
	w := r.Workload
	pod := corev1ac.PodSpec().
		WithServiceAccountName(ReceiverName).
		WithAutomountServiceAccountToken(false).
		WithEnableServiceLinks(false).
		WithTerminationGracePeriodSeconds(gracePeriod).
		WithSecurityContext(corev1ac.PodSecurityContext().
			WithRunAsNonRoot(true).WithRunAsUser(user).WithRunAsGroup(user).
			WithFSGroup(user).WithFSGroupChangePolicy(corev1.FSGroupChangeOnRootMismatch).
			WithSeccompProfile(corev1ac.SeccompProfile().WithType(corev1.SeccompProfileTypeRuntimeDefault))).
		WithContainers(r.container()).
		WithVolumes(r.configuration()).
		WithNodeSelector(w.NodeSelector)
	for _, name := range w.ImagePullSecrets {
		pod.WithImagePullSecrets(corev1ac.LocalObjectReference().WithName(name))
	}
	for _, t := range w.Tolerations {
		pod.WithTolerations(convert[corev1ac.TolerationApplyConfiguration](t))
	}
	for _, c := range w.TopologySpreadConstraints {
		pod.WithTopologySpreadConstraints(convert[corev1ac.TopologySpreadConstraintApplyConfiguration](c))
	}
	if w.Affinity != nil {
		pod.WithAffinity(convert[corev1ac.AffinityApplyConfiguration](w.Affinity))
	}
	if w.PriorityClassName != "" {
		pod.WithPriorityClassName(w.PriorityClassName)
	}
	return pod
}

func (r *ReceiverWorkload) container() *corev1ac.ContainerApplyConfiguration {
	w := r.Workload
	args := []string{
		"--config-dir=" + configDir, "--data-dir=" + dataDir,
		"--listen=:" + strconv.Itoa(managerconfig.IntakePort), "--metrics-listen=:" + strconv.Itoa(int(w.MetricsPort)),
	}
	if w.ReserveBytes > 0 {
		args = append(args, "--reserve-bytes="+strconv.FormatInt(w.ReserveBytes, 10))
	}
	if w.TrailQuotaBytes > 0 {
		args = append(args, "--trail-quota-bytes="+strconv.FormatInt(w.TrailQuotaBytes, 10))
	}
	probe := func(path string, period, failures int32) *corev1ac.ProbeApplyConfiguration {
		return corev1ac.Probe().
			WithHTTPGet(corev1ac.HTTPGetAction().WithPath(path).WithPort(intstr.FromString(metricsPort))).
			WithPeriodSeconds(period).WithFailureThreshold(failures).WithTimeoutSeconds(5)
	}
	c := corev1ac.Container().
		WithName("receiver").WithImage(w.Image).WithArgs(args...).
		WithPorts(
								corev1ac.ContainerPort().WithName(intakePort).WithContainerPort(managerconfig.IntakePort).WithProtocol(corev1.ProtocolTCP),
								corev1ac.ContainerPort().WithName(metricsPort).WithContainerPort(w.MetricsPort).WithProtocol(corev1.ProtocolTCP)).
		WithStartupProbe(probe("/healthz", 2, 150)). // a large spool takes its time to open after a crash
		WithLivenessProbe(probe("/healthz", 20, 3)).
		WithReadinessProbe(probe("/readyz", 5, 2)).
		WithResources(convert[corev1ac.ResourceRequirementsApplyConfiguration](w.Resources)).
		WithSecurityContext(corev1ac.SecurityContext().
			WithAllowPrivilegeEscalation(false).WithReadOnlyRootFilesystem(true).
			WithCapabilities(corev1ac.Capabilities().WithDrop("ALL"))).
		WithVolumeMounts(
			corev1ac.VolumeMount().WithName(configVolume).WithMountPath(configDir).WithReadOnly(true),
			corev1ac.VolumeMount().WithName(dataVolume).WithMountPath(dataDir))
	if w.ImagePullPolicy != "" {
		c.WithImagePullPolicy(w.ImagePullPolicy)
	}
	for _, e := range w.Env {
		c.WithEnv(convert[corev1ac.EnvVarApplyConfiguration](e))
	}
	return c
}

// configuration shows every Secret that may hold a part of the receiver's
// configuration as one folder. Each may be missing: the manager makes them, and
// those of trails as these come.
func (r *ReceiverWorkload) configuration() *corev1ac.VolumeApplyConfiguration {
	folder := corev1ac.ProjectedVolumeSource().WithDefaultMode(0o440)
	source := func(secret string) {
		folder.WithSources(corev1ac.VolumeProjection().WithSecret(corev1ac.SecretProjection().WithName(secret).WithOptional(true)))
	}
	source(ReceiverConfigName)
	for i := range ReceiverShards {
		source(ReceiverShardName(i))
	}
	return corev1ac.Volume().WithName(configVolume).WithProjected(folder)
}

// convert makes an apply configuration of an API type: both are the same JSON.
func convert[T any](v any) *T {
	b, err := json.Marshal(v)
	var out T
	if err == nil {
		err = json.Unmarshal(b, &out)
	}
	if err != nil {
		panic("manifests: " + err.Error()) // types of the same API group version always convert
	}
	return &out
}
