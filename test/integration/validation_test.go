package integration

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	networkingv1 "k8s.io/api/networking/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/trail-operator/trail-operator/api/v1alpha1"
	"github.com/trail-operator/trail-operator/internal/managerconfig"
	"github.com/trail-operator/trail-operator/internal/manifests"
	"github.com/trail-operator/trail-operator/internal/objectstore"
	"github.com/trail-operator/trail-operator/internal/objectstore/minio"
	"github.com/trail-operator/trail-operator/internal/receiverconfig"
	"github.com/trail-operator/trail-operator/internal/receiverstatus"
	"github.com/trail-operator/trail-operator/internal/record"
	"github.com/trail-operator/trail-operator/internal/signing"
	"github.com/trail-operator/trail-operator/internal/validation"
	"github.com/trail-operator/trail-operator/internal/verify/verifytest"
	"github.com/trail-operator/trail-operator/test/testenv"
)

// kubelet runs the pods of validations as processes, and stands in for the
// controller of Jobs.
type kubelet struct {
	t      *testing.T
	binary string
	pods   int
}

func newKubelet(t *testing.T) *kubelet {
	t.Helper()
	k := &kubelet{t: t, binary: filepath.Join(t.TempDir(), "receiver")}
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", k.binary, "../../cmd/receiver").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return k
}

// job waits for the Job of a trail and the Secret that its pod mounts.
func (k *kubelet) job(trail *v1alpha1.Trail) (*batchv1.Job, *corev1.Secret) {
	k.t.Helper()
	job, secret := &batchv1.Job{}, &corev1.Secret{}
	eventually(k.t, func() string {
		if err := admin.Get(k.t.Context(), client.ObjectKey{Namespace: installed, Name: manifests.ValidationJobName(trail.UID)}, job); err != nil {
			return err.Error()
		}
		for _, c := range job.Status.Conditions {
			return "a Job that has not ended, not one that is " + string(c.Type)
		}
		name := job.Spec.Template.Spec.Volumes[0].Secret.SecretName
		if err := admin.Get(k.t.Context(), client.ObjectKey{Namespace: installed, Name: name}, secret); err != nil {
			return err.Error()
		}
		return ""
	})
	return job, secret
}

// run does what the container would do, and returns its message.
func (k *kubelet) run(job *batchv1.Job, secret *corev1.Secret) (message string, exit int) {
	k.t.Helper()
	dir := k.t.TempDir()
	for name, b := range secret.Data {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			k.t.Fatal(err)
		}
	}
	c := job.Spec.Template.Spec.Containers[0]
	args := []string{}
	for _, a := range c.Args {
		args = append(args, strings.Replace(a, c.VolumeMounts[0].MountPath, dir, 1))
	}
	log := filepath.Join(dir, "message")
	cmd := exec.CommandContext(k.t.Context(), k.binary, append(args, "--message="+log)...)
	cmd.Env = []string{}
	out, err := cmd.CombinedOutput()
	k.t.Logf("%s", out)
	if err != nil && cmd.ProcessState == nil {
		k.t.Fatal(err)
	}
	raw, err := os.ReadFile(log)
	if err != nil {
		k.t.Fatal(err)
	}
	if len(raw) > validation.MaxReport || strings.Contains(string(raw)+string(out), "SecretKey") {
		k.t.Errorf("the pod says %s\n%s", raw, out)
	}
	return string(raw), cmd.ProcessState.ExitCode()
}

// end makes the pod of the Job, ended with this message, and ends the Job.
func (k *kubelet) end(job *batchv1.Job, message string, exit int) {
	k.t.Helper()
	k.pods++
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: installed, Name: fmt.Sprintf("%s-%d", job.Name, k.pods), Labels: job.Spec.Template.Labels,
			OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(job, batchv1.SchemeGroupVersion.WithKind("Job"))},
		},
		Spec: job.Spec.Template.Spec,
	}
	if err := admin.Create(k.t.Context(), pod); err != nil {
		k.t.Fatal(err)
	}
	now := metav1.Now()
	pod.Status = corev1.PodStatus{Phase: corev1.PodSucceeded, ContainerStatuses: []corev1.ContainerStatus{{
		Name: manifests.ValidationContainer, Image: "x", State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
			ExitCode: int32(exit), Message: message, StartedAt: now, FinishedAt: now, Reason: "Completed",
		}},
	}}}
	if err := admin.Status().Update(k.t.Context(), pod); err != nil {
		k.t.Fatal(err)
	}
	kinds := []batchv1.JobConditionType{batchv1.JobSuccessCriteriaMet, batchv1.JobComplete}
	job.Status.StartTime = &now
	if exit != 0 {
		kinds = []batchv1.JobConditionType{batchv1.JobFailureTarget, batchv1.JobFailed}
		job.Status.Failed = 1
	} else {
		job.Status.Succeeded, job.Status.CompletionTime = 1, &now
	}
	for _, kind := range kinds {
		job.Status.Conditions = append(job.Status.Conditions, batchv1.JobCondition{
			Type: kind, Status: corev1.ConditionTrue, LastProbeTime: now, LastTransitionTime: now,
		})
	}
	if err := admin.Status().Update(k.t.Context(), job); err != nil {
		k.t.Fatal(err)
	}
}

// validate runs the next validation of the trail for real.
func (k *kubelet) validate(trail *v1alpha1.Trail) {
	k.t.Helper()
	job, secret := k.job(trail)
	message, exit := k.run(job, secret)
	k.end(job, message, exit)
}

// signer is the key of the installation.
func signer(t *testing.T) *signing.PrivateKey {
	t.Helper()
	key, err := signing.ParsePEM(readSecret(t, installed, manifests.SigningKeyName).Data[receiverconfig.FileSigningKey])
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// hasNote waits for an Event of the trail with this type and reason.
func hasNote(t *testing.T, ns, kind, reason string) {
	t.Helper()
	eventually(t, func() string {
		var list eventsv1.EventList
		if err := admin.List(t.Context(), &list, client.InNamespace(ns)); err != nil {
			return err.Error()
		}
		for i := range list.Items {
			if list.Items[i].Type == kind && list.Items[i].Reason == reason && list.Items[i].Action == "Validate" {
				return ""
			}
		}
		return fmt.Sprintf("an Event %s %s", kind, reason)
	})
}

// TestScheduledValidation: a trail on a real server is validated by the real
// program, with nothing but what its Job and Secret hold.
func TestScheduledValidation(t *testing.T) {
	c, err := managerconfig.Parse([]byte(`
apiVersion: config.trail-operator.io/v1alpha1
kind: ManagerConfig
account: "000000000042"
region: eu-1
namespace: ` + installed + `
receiver: {address: "127.0.0.1:9443", apiServers: [cp-1]}
validation: {image: "receiver:v1"}
allowedAddresses: [127.0.0.1]
metricsBindAddress: "0"
healthBindAddress: "127.0.0.1:0"
`))
	if err != nil {
		t.Fatal(err)
	}
	k := newKubelet(t)
	e := startOnWith(t, testenv.StartVersityGW, testenv.S3Options{}, c)
	ns := e.tenant(t, "validated", e.owner())
	trail := e.create(t, ns)
	condition(t, trail, v1alpha1.ConditionReady, "True Recording")
	absent(t, trail, v1alpha1.ConditionValidated)
	// Once in four years: what comes after the first validation is asked for by hand.
	update(t, trail, func(t *v1alpha1.Trail) { t.Spec.LogFileValidation.Schedule = "0 0 29 2 *" })
	condition(t, trail, v1alpha1.ConditionValidated, "Unknown NeverRun", "no digest yet")

	store, err := minio.New(objectstore.Config{
		Endpoint: e.server.Endpoint, Region: e.server.Region, Bucket: ns, AccessKey: e.server.AccessKey, SecretKey: e.server.SecretKey, AllowPrivate: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	layout := record.Layout{Prefix: ns + "/audit", Account: "000000000042", Region: "eu-1"}
	written := verifytest.NewIn(store, ns, ns+".audit", layout, signer(t), time.Now().Add(-6*time.Hour).Truncate(time.Hour))
	deliver := func() { // another hour, as the receiver does it
		written.Hours(t, 1, 5)
		head := written.Last.Head
		e.receiver.set(string(trail.UID), func(s *receiverstatus.Trail) { s.Head, s.LastDigest = &head, ptr.To(time.Now()) })
	}
	written.Hours(t, 3, 5)
	deliver()
	job, secret := k.job(trail)
	least(t, job, secret)
	message, exit := k.run(job, secret)
	k.end(job, message, exit)
	condition(t, trail, v1alpha1.ConditionValidated, "True LogFilesValid", "20 log files in 4 digests")
	condition(t, trail, v1alpha1.ConditionReady, "True Recording")

	deliver()
	stolen := written.Files[len(written.Files)-1]
	body := take(t, store, stolen)
	if _, err := e.sdk().DeleteObject(t.Context(), &s3.DeleteObjectInput{Bucket: &ns, Key: &stolen}); err != nil {
		t.Fatal(err)
	}
	again := 0
	now := func() { // by hand
		again++
		e.clock.step(2 * time.Minute)
		update(t, trail, func(t *v1alpha1.Trail) {
			metav1.SetMetaDataAnnotation(&t.ObjectMeta, v1alpha1.AnnotationValidateNow, fmt.Sprint(again))
		})
	}
	headIs(t, trail, written.Last.Head)
	now()
	k.validate(trail)
	condition(t, trail, v1alpha1.ConditionValidated, "False LogFilesInvalid", "LogFileMissing 1", "9 log files in 2 digests")
	condition(t, trail, v1alpha1.ConditionReady, "True Recording")
	hasNote(t, ns, corev1.EventTypeWarning, v1alpha1.ReasonLogFilesInvalid)
	eventually(t, func() string {
		for _, name := range e.receiver.recorded(string(trail.UID)) {
			if name == record.EventValidationFailed {
				return ""
			}
		}
		return "the record ValidationFailed"
	})

	// What a pod says that was taken over changes nothing.
	for _, hostile := range []string{
		`{"version":1,"valid":true,"planted-secret":1}`, "planted-secret", `{"version":1,"valid":true}`, strings.Repeat("planted-secret", 1000), "",
	} {
		now()
		job, _ := k.job(trail)
		k.end(job, hostile, 0)
		eventually(t, func() string {
			if err := admin.Get(t.Context(), client.ObjectKeyFromObject(trail), trail); err != nil {
				return err.Error()
			}
			if v := trail.Status.LastValidation; v == nil || v.Trigger != fmt.Sprint(again) {
				return "the end of the validation"
			}
			return ""
		})
		if v := trail.Status.LastValidation; v.Result != v1alpha1.ValidationFailed || v.Cause != string(validation.CauseReport) || v.Invalid != 1 {
			t.Errorf("%.40q makes %+v", hostile, v)
		}
		if strings.Contains(string(record.MustJSON(trail.Status)), "planted-secret") {
			t.Errorf("the status quotes %.40q", hostile)
		}
		condition(t, trail, v1alpha1.ConditionValidated, "False LogFilesInvalid", "could not be carried out")
	}

	written.Put(t, stolen, body, nil)
	now()
	k.validate(trail)
	condition(t, trail, v1alpha1.ConditionValidated, "True LogFilesValid", "10 log files in 2 digests")
	hasNote(t, ns, corev1.EventTypeNormal, v1alpha1.ReasonLogFilesValid)

	now()
	k.job(trail)
	update(t, trail, func(t *v1alpha1.Trail) {
		t.Spec.LogFileValidation.Schedule = ""
		delete(t.Annotations, v1alpha1.AnnotationValidateNow)
	})
	eventually(t, func() string {
		var jobs batchv1.JobList
		if err := admin.List(t.Context(), &jobs, client.InNamespace(installed)); err != nil {
			return err.Error()
		}
		for _, j := range jobs.Items {
			if j.Labels[manifests.ValidationTrailLabel] == string(trail.UID) && j.DeletionTimestamp.IsZero() {
				return "the end of " + j.Name
			}
		}
		return ""
	})
	eventually(t, func() string {
		if err := admin.Get(t.Context(), client.ObjectKeyFromObject(trail), trail); err != nil {
			return err.Error()
		}
		if trail.Status.LastValidation != nil || trail.Status.Validated != nil {
			return "the end of what was validated"
		}
		return ""
	})
	absent(t, trail, v1alpha1.ConditionValidated)
}

// least checks that the pod can do nothing in the cluster.
func least(t *testing.T, job *batchv1.Job, secret *corev1.Secret) {
	t.Helper()
	pod := job.Spec.Template.Spec
	if pod.AutomountServiceAccountToken == nil || *pod.AutomountServiceAccountToken || pod.ServiceAccountName != manifests.ValidationName ||
		pod.HostNetwork || len(pod.Volumes) != 1 || *job.Spec.BackoffLimit != 0 {
		t.Errorf("the pod is %+v", pod)
	}
	if o := secret.OwnerReferences; len(o) != 1 || o[0].UID != job.UID {
		t.Errorf("the Secret belongs to %v", o)
	}
	var bindings rbacv1.RoleBindingList
	var cluster rbacv1.ClusterRoleBindingList
	for _, list := range []client.ObjectList{&bindings, &cluster} {
		if err := admin.List(t.Context(), list); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(record.MustJSON(list)), `"name":"`+manifests.ValidationName+`"`) {
			t.Error("somebody gives rights to the ServiceAccount")
		}
	}
	for _, o := range []client.Object{&corev1.ServiceAccount{}, &networkingv1.NetworkPolicy{}} {
		if err := admin.Get(t.Context(), client.ObjectKey{Namespace: installed, Name: manifests.ValidationName}, o); err != nil {
			t.Error(err)
		}
	}
}

// headIs waits until the status knows the digest.
func headIs(t *testing.T, trail *v1alpha1.Trail, head record.Head) {
	t.Helper()
	eventually(t, func() string {
		if err := admin.Get(t.Context(), client.ObjectKeyFromObject(trail), trail); err != nil {
			return err.Error()
		}
		if h := trail.Status.Head; h == nil || h.S3Object != head.Object {
			return "the head " + head.Object
		}
		return ""
	})
}

func take(t *testing.T, store objectstore.Store, key string) []byte {
	t.Helper()
	body, _, err := store.Get(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	var b bytes.Buffer
	if _, err := b.ReadFrom(body); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}
