package validation

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr/testr"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/trail-operator/trail-operator/api/v1alpha1"
	"github.com/trail-operator/trail-operator/controllers/installation"
	"github.com/trail-operator/trail-operator/controllers/trail"
	"github.com/trail-operator/trail-operator/internal/managerconfig"
	"github.com/trail-operator/trail-operator/internal/manifests"
	"github.com/trail-operator/trail-operator/internal/receiverconfig"
	"github.com/trail-operator/trail-operator/internal/record"
	"github.com/trail-operator/trail-operator/internal/validation"
)

const home = "trail-operator-system"

var noon = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

// world is a scheduler with a fake API server, which makes UIDs of Jobs.
type world struct {
	*Scheduler
	t      *testing.T
	clock  *clocktesting.FakePassiveClock
	events []record.OwnEvent
	away   bool  // the receiver
	refuse error // of a Create
	jobs   int
	shared int // objects that were applied
}

func (w *world) Record(_ context.Context, events ...record.OwnEvent) error {
	if w.away {
		return errors.New("away")
	}
	w.events = append(w.events, events...)
	return nil
}

func (w *world) Trail(_ context.Context, uid string) (receiverconfig.Trail, bool, error) {
	return receiverconfig.Trail{UID: uid, Destination: receiverconfig.Destination{
		Bucket: "logs", AccessKeyID: "planted-key", SecretAccessKey: "planted-secret", Retention: receiverconfig.Retention{Mode: "x", Days: 1},
	}}, true, nil
}

func newWorld(t *testing.T, trails ...*v1alpha1.Trail) *world {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	c, err := managerconfig.Parse([]byte("apiVersion: config.trail-operator.io/v1alpha1\nkind: ManagerConfig\nregion: eu-1\nnamespace: " + home +
		"\nreceiver: {apiServers: [cp-1], workload: {image: receiver:v1}}\n"))
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, clock: clocktesting.NewFakePassiveClock(noon)}
	b := fake.NewClientBuilder().WithScheme(scheme).WithStatusSubresource(&v1alpha1.Trail{}, &batchv1.Job{}, &corev1.Pod{})
	for _, tr := range trails {
		b.WithObjects(tr)
	}
	b.WithInterceptorFuncs(interceptor.Funcs{
		Apply: func(context.Context, client.WithWatch, runtime.ApplyConfiguration, ...client.ApplyOption) error {
			w.shared++
			return nil
		},
		Create: func(ctx context.Context, cl client.WithWatch, o client.Object, opts ...client.CreateOption) error {
			if w.refuse != nil {
				return w.refuse
			}
			if job, ok := o.(*batchv1.Job); ok {
				w.jobs++
				job.UID = types.UID(fmt.Sprintf("job-%d", w.jobs))
				job.CreationTimestamp = metav1.NewTime(w.clock.Now())
			}
			return cl.Create(ctx, o, opts...)
		},
	})
	c0 := b.Build()
	w.Scheduler = &Scheduler{
		Client: c0, Direct: c0, Config: c, Rendered: w, Receiver: w, Clock: w.clock, Metrics: NewMetrics(),
		Kinds: []trail.Kind{trail.Namespaced{}},
		Installation: &installation.Installation{
			Installation: receiverconfig.Installation{UID: "in", Account: "000000000042", Region: "eu-1"},
			Keys:         []record.PublishedKey{{Fingerprint: "f"}},
		},
	}
	return w
}

// audit is a trail that is to be validated at half past four, and has a digest.
func audit(ns, uid string, change ...func(*v1alpha1.Trail)) *v1alpha1.Trail {
	t := &v1alpha1.Trail{
		ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "audit", UID: types.UID(uid), CreationTimestamp: metav1.NewTime(noon.AddDate(0, -6, 0))},
	}
	t.Spec.Destination.Bucket = "logs"
	t.Spec.LogFileValidation.Schedule = "30 4 * * *"
	t.Status.Head = headAt(noon, 5)
	for _, f := range change {
		f(t)
	}
	return t
}

// headAt is the digest that ends then.
func headAt(end time.Time, sequence int64) *v1alpha1.DigestHead {
	return &v1alpha1.DigestHead{
		TrailARN: "arn", ChainID: "c", Sequence: sequence, S3Bucket: "logs", S3Object: fmt.Sprintf("digest-%d", sequence), EndTime: end.Format(record.TimeFormat),
		HashValue: "h", PublicKeyFingerprint: "f", PublicKeySHA256: "s",
	}
}

func (w *world) step(d time.Duration) {
	w.t.Helper()
	w.clock.SetTime(w.clock.Now().Add(d))
	if err := w.tick(w.t.Context(), testr.New(w.t)); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) list() []batchv1.Job {
	w.t.Helper()
	var l batchv1.JobList
	if err := w.Client.List(w.t.Context(), &l); err != nil {
		w.t.Fatal(err)
	}
	return l.Items
}

// job is the only one.
func (w *world) job() *batchv1.Job {
	w.t.Helper()
	l := w.list()
	if len(l) != 1 {
		w.t.Fatalf("there are %d Jobs at %v", len(l), w.clock.Now())
	}
	return &l[0]
}

func (w *world) get(ns string) *v1alpha1.Trail {
	w.t.Helper()
	var t v1alpha1.Trail
	if err := w.Client.Get(w.t.Context(), client.ObjectKey{Namespace: ns, Name: "audit"}, &t); err != nil {
		w.t.Fatal(err)
	}
	return &t
}

func (w *world) change(ns string, change func(*v1alpha1.Trail)) {
	w.t.Helper()
	t := w.get(ns)
	change(t)
	status := t.Status
	if err := w.Client.Update(w.t.Context(), t); err != nil {
		w.t.Fatal(err)
	}
	t.Status = status
	if err := w.Client.Status().Update(w.t.Context(), t); err != nil {
		w.t.Fatal(err)
	}
}

// input is what the pod of the Job would read.
func (w *world) input(job *batchv1.Job) validation.Input {
	w.t.Helper()
	var s corev1.Secret
	key := client.ObjectKey{Namespace: home, Name: job.Spec.Template.Spec.Volumes[0].Secret.SecretName}
	if err := w.Client.Get(w.t.Context(), key, &s); err != nil {
		w.t.Fatal(err)
	}
	if s.OwnerReferences[0].UID != job.UID {
		w.t.Errorf("the Secret belongs to %s, not to %s", s.OwnerReferences[0].UID, job.UID)
	}
	in, err := validation.ParseInput(s.Data[validation.FileInput])
	if err != nil {
		w.t.Fatal(err)
	}
	return in
}

// end plays Job controller and kubelet: the pod of the Job ends with the message.
func (w *world) end(job *batchv1.Job, message string, exit int32, reason string) {
	w.t.Helper()
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: home, Name: job.Name + "-x" + string(job.UID), Labels: job.Spec.Template.Labels,
			OwnerReferences: []metav1.OwnerReference{{APIVersion: "batch/v1", Kind: "Job", Name: job.Name, UID: job.UID}},
		},
		Spec: job.Spec.Template.Spec,
	}
	if err := w.Client.Create(w.t.Context(), pod); err != nil {
		w.t.Fatal(err)
	}
	pod.Status.Phase = corev1.PodSucceeded
	pod.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: manifests.ValidationContainer, State: corev1.ContainerState{
		Terminated: &corev1.ContainerStateTerminated{ExitCode: exit, Reason: reason, Message: message},
	}}}
	if err := w.Client.Status().Update(w.t.Context(), pod); err != nil {
		w.t.Fatal(err)
	}
	kind := batchv1.JobComplete
	if exit != 0 {
		kind = batchv1.JobFailed
	}
	w.finish(job, kind, "")
}

func (w *world) finish(job *batchv1.Job, kind batchv1.JobConditionType, reason string) {
	w.t.Helper()
	job.Status.Conditions = []batchv1.JobCondition{{
		Type: kind, Status: corev1.ConditionTrue, Reason: reason, LastTransitionTime: metav1.NewTime(w.clock.Now()),
	}}
	if err := w.Client.Status().Update(w.t.Context(), job); err != nil {
		w.t.Fatal(err)
	}
}

const (
	valid   = `{"version":1,"valid":true,"from":"2026-11-20T12:00:00Z","until":"2026-11-21T12:00:00Z","digests":{"total":24,"valid":24},"logFiles":{"total":12,"valid":9,"expired":2,"archived":1}}`
	invalid = `{"version":1,"from":"2026-11-20T12:00:00Z","until":"2026-11-21T12:00:00Z","digests":{"total":24,"valid":24},"logFiles":{"total":12,"valid":9},"findings":[{"kind":"LogFileMissing","count":3}]}`
	failed  = `{"version":1,"cause":"AccessDenied"}`
)

// says reports whether any of the world's objects but Secrets holds the text.
func (w *world) says(text string) bool {
	w.t.Helper()
	for _, o := range []any{w.list(), w.events} {
		if strings.Contains(string(record.MustJSON(o)), text) {
			return true
		}
	}
	return false
}
