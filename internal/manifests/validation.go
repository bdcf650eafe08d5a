package manifests

import (
	"encoding/json"
	"errors"
	"maps"
	"strconv"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"
	metav1ac "k8s.io/client-go/applyconfigurations/meta/v1"
	networkingv1ac "k8s.io/client-go/applyconfigurations/networking/v1"
	"k8s.io/utils/ptr"

	"github.com/trail-operator/trail-operator/api/v1alpha1"
	"github.com/trail-operator/trail-operator/internal/managerconfig"
	"github.com/trail-operator/trail-operator/internal/record"
	"github.com/trail-operator/trail-operator/internal/validation"
)

const (
	// ValidationName is the name of the objects that all validations share, and
	// what those of each begin with.
	ValidationName = "trail-validation"
	// ValidationAmbientName is the ServiceAccount of those that read with the
	// operator's own identity, which no other pod gets.
	ValidationAmbientName = ValidationName + "-ambient"
	// ValidationTrailLabel is on the Job of a validation: the UID of the trail.
	ValidationTrailLabel = "trail-operator.io/trail"
	// ValidationContainer is the container whose termination message is the report.
	ValidationContainer = "validator"

	validationAnnotation = "trail-operator.io/validation"
	validationTrailName  = "trail-operator.io/trail-name"
	validationVolume     = "input"
	validationDir        = "/etc/trail-validation"
	// keepValidation is how long a finished Job waits for a manager, in seconds.
	keepValidation = 24 * 60 * 60
	// share of the memory limit that Go's garbage collector aims at.
	memoryNumerator, memoryDenominator = 4, 5
)

// ValidationRun says what one validation is. It stands on its Job, which is all
// that a manager has to know of it.
type ValidationRun struct {
	StartTime metav1.Time `json:"startTime"`
	Full      bool        `json:"full,omitempty"`
	// Trigger is the value of the annotation that asked for it.
	Trigger string `json:"trigger,omitempty"`
	// Head is the newest digest when it was started.
	Head *v1alpha1.DigestHead `json:"head,omitempty"`
	// Ambient: it reads with the operator's own identity.
	Ambient bool `json:"ambient,omitempty"`
	// Settings is the hash of what of the trail decides how it is validated.
	Settings string `json:"settings"`
}

// ValidationWorkload builds the objects that validate trails.
type ValidationWorkload struct {
	Namespace  string
	Validation *managerconfig.Validation // with its defaults
	Receiver   *managerconfig.Workload   // nil where somebody else runs it
}

func validationSelector() map[string]string { return map[string]string{labelName: ValidationName} }

// ValidationLabels are on every Job and pod that validates.
func ValidationLabels() map[string]string {
	l := labels("validation")
	maps.Copy(l, validationSelector())
	return l
}

func (v *ValidationWorkload) labels() map[string]string {
	l := map[string]string{}
	if v.Receiver != nil {
		maps.Copy(l, v.Receiver.Labels)
	}
	maps.Copy(l, ValidationLabels())
	l[labelInstance] = projectName
	return l
}

// ValidationJobName is the name of the Job of a trail. It has one at a time.
func ValidationJobName(trail types.UID) string { return ValidationName + "-" + string(trail) }

// ServiceAccounts are those of the pods. They have no rights, and the pods have
// no token of them for the API server.
func (v *ValidationWorkload) ServiceAccounts() []*corev1ac.ServiceAccountApplyConfiguration {
	account := func(name string) *corev1ac.ServiceAccountApplyConfiguration {
		return corev1ac.ServiceAccount(name, v.Namespace).WithLabels(v.labels()).WithAutomountServiceAccountToken(false)
	}
	return []*corev1ac.ServiceAccountApplyConfiguration{
		account(ValidationName),
		account(ValidationAmbientName).WithAnnotations(v.Validation.ServiceAccountAnnotations),
	}
}

// NetworkPolicy lets nobody reach the pods, and these nothing but buckets; nil
// where the installer wants none.
func (v *ValidationWorkload) NetworkPolicy() *networkingv1ac.NetworkPolicyApplyConfiguration {
	ports := managerconfig.DefaultEgressPorts()
	if v.Receiver != nil {
		if !*v.Receiver.NetworkPolicy.Enabled {
			return nil
		}
		ports = v.Receiver.NetworkPolicy.EgressPorts
	}
	port := func(protocol corev1.Protocol, n int32) *networkingv1ac.NetworkPolicyPortApplyConfiguration {
		return networkingv1ac.NetworkPolicyPort().WithProtocol(protocol).WithPort(intstr.FromInt32(n))
	}
	dns := networkingv1ac.NetworkPolicyEgressRule().WithPorts(port(corev1.ProtocolUDP, 53), port(corev1.ProtocolTCP, 53))
	buckets := networkingv1ac.NetworkPolicyEgressRule()
	for _, n := range ports {
		buckets.WithPorts(port(corev1.ProtocolTCP, n))
	}
	return networkingv1ac.NetworkPolicy(ValidationName, v.Namespace).WithLabels(v.labels()).
		WithSpec(networkingv1ac.NetworkPolicySpec().
			WithPodSelector(metav1ac.LabelSelector().WithMatchLabels(validationSelector())).
			WithPolicyTypes(networkingv1.PolicyTypeIngress, networkingv1.PolicyTypeEgress).
			WithEgress(dns, buckets))
}

// Job validates a trail. Its pod may do nothing in the cluster: it gets what it
// needs from a Secret, and answers with its termination message.
func (v *ValidationWorkload) Job(t *v1alpha1.Trail, run ValidationRun) *batchv1.Job {
	name := ValidationJobName(t.UID)
	l := v.labels()
	l[ValidationTrailLabel] = string(t.UID)
	return &batchv1.Job{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: v.Namespace, Name: name, Labels: l,
			Annotations: map[string]string{validationAnnotation: string(record.MustJSON(run)), validationTrailName: t.CloudTrailName()},
		},
		Spec: batchv1.JobSpec{
			BackoffLimit:            ptr.To[int32](0),
			ActiveDeadlineSeconds:   ptr.To(v.Validation.DeadlineSeconds),
			TTLSecondsAfterFinished: ptr.To[int32](keepValidation),
			Template:                corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: l}, Spec: v.pod(secretName(name, run), run.Ambient)},
		},
	}
}

// secretName differs from run to run: that of the one before goes only after its Job.
func secretName(job string, run ValidationRun) string {
	return job + "-" + strconv.FormatInt(run.StartTime.Unix(), 36)
}

func (v *ValidationWorkload) pod(secret string, ambient bool) corev1.PodSpec {
	c := v.Validation
	limits := c.Resources.Limits
	var env []corev1.EnvVar
	account := ValidationName
	if ambient {
		account = ValidationAmbientName
		if v.Receiver != nil {
			env = append(env, v.Receiver.Env...) // the identity may come from there
		}
	}
	if memory, ok := limits[corev1.ResourceMemory]; ok {
		env = append(env, corev1.EnvVar{Name: "GOMEMLIMIT", Value: strconv.FormatInt(memory.Value()/memoryDenominator*memoryNumerator, 10)})
	}
	pod := corev1.PodSpec{
		ServiceAccountName:            account,
		AutomountServiceAccountToken:  ptr.To(false),
		EnableServiceLinks:            ptr.To(false),
		RestartPolicy:                 corev1.RestartPolicyNever,
		TerminationGracePeriodSeconds: ptr.To[int64](5),
		NodeSelector:                  c.NodeSelector,
		Tolerations:                   c.Tolerations,
		SecurityContext: &corev1.PodSecurityContext{
			RunAsNonRoot: ptr.To(true), RunAsUser: ptr.To(user), RunAsGroup: ptr.To(user), FSGroup: ptr.To(user),
			SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
		},
		Containers: []corev1.Container{{
			Name: ValidationContainer, Image: c.Image, ImagePullPolicy: c.ImagePullPolicy,
			Args: []string{"validate-logs", "--input=" + validationDir + "/" + validation.FileInput},
			Env:  env, Resources: *c.Resources.DeepCopy(),
			SecurityContext: &corev1.SecurityContext{
				AllowPrivilegeEscalation: ptr.To(false), ReadOnlyRootFilesystem: ptr.To(true),
				Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
			},
			VolumeMounts: []corev1.VolumeMount{{Name: validationVolume, MountPath: validationDir, ReadOnly: true}},
		}},
		Volumes: []corev1.Volume{{Name: validationVolume, VolumeSource: corev1.VolumeSource{
			Secret: &corev1.SecretVolumeSource{SecretName: secret, DefaultMode: ptr.To[int32](0o440)},
		}}},
	}
	for _, name := range c.ImagePullSecrets {
		pod.ImagePullSecrets = append(pod.ImagePullSecrets, corev1.LocalObjectReference{Name: name})
	}
	return pod
}

// ValidationSecret holds what the pod of a Job, as the API server has made it,
// needs. It goes with the Job.
func ValidationSecret(job *batchv1.Job, in validation.Input) *corev1.Secret {
	return &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: job.Namespace, Name: job.Spec.Template.Spec.Volumes[0].Secret.SecretName, Labels: job.Labels,
			OwnerReferences: []metav1.OwnerReference{{
				APIVersion: batchv1.SchemeGroupVersion.String(), Kind: "Job", Name: job.Name, UID: job.UID, Controller: ptr.To(true),
			}},
		},
		Immutable: ptr.To(true),
		Data:      map[string][]byte{validation.FileInput: record.MustJSON(in)},
	}
}

var errNoRun = errors.New("the Job does not say what it validates")

// ParseValidationRun reads what a Job says of its validation.
func ParseValidationRun(job *batchv1.Job) (types.UID, ValidationRun, error) {
	var run ValidationRun
	uid := types.UID(job.Labels[ValidationTrailLabel])
	if err := json.Unmarshal([]byte(job.Annotations[validationAnnotation]), &run); err != nil || uid == "" || run.StartTime.IsZero() {
		return "", ValidationRun{}, errNoRun
	}
	return uid, run, nil
}
