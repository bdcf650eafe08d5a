package validation

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/go-logr/logr"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/trail-operator/trail-operator/api/v1alpha1"
	"github.com/trail-operator/trail-operator/internal/manifests"
	"github.com/trail-operator/trail-operator/internal/record"
	"github.com/trail-operator/trail-operator/internal/validation"
)

// patience is how long a pod may take to start.
const patience = 10 * time.Minute

// outcome is how a validation has ended.
type outcome struct {
	report validation.Report
	cause  validation.Cause // of the report, or one that the manager has found
	at     time.Time
	keep   bool // the pod's log is worth reading
}

// outcomeOf looks at a Job and its pod, which may be nil. It is false while the
// validation is under way.
func outcomeOf(job *batchv1.Job, run manifests.ValidationRun, pod *corev1.Pod, now time.Time) (outcome, bool) {
	at, reason, finished := finish(job)
	failed := func(c validation.Cause) (outcome, bool) { return outcome{cause: c, at: at, keep: true}, true }
	end := terminated(pod)
	switch {
	case !finished:
		at = now
		if now.Sub(run.StartTime.Time) < patience || pod != nil && pod.Status.Phase != corev1.PodPending {
			return outcome{}, false
		}
		return failed(whyPending(pod))
	case reason == batchv1.JobReasonDeadlineExceeded:
		return failed(validation.CauseDeadline)
	case end == nil:
		return failed(validation.CauseGone)
	case end.Message == "" && end.Reason == "OOMKilled":
		return failed(validation.CauseMemory)
	}
	r, err := validation.ParseReport([]byte(end.Message))
	switch {
	case err != nil || r.Cause == "" && end.ExitCode != 0:
		return failed(validation.CauseReport)
	case r.Cause != "":
		return failed(r.Cause)
	}
	return outcome{report: r, at: at, keep: !r.Valid}, true
}

// finish tells when and why a Job has ended.
func finish(job *batchv1.Job) (at time.Time, reason string, finished bool) {
	for _, c := range job.Status.Conditions {
		if c.Status == corev1.ConditionTrue && (c.Type == batchv1.JobComplete || c.Type == batchv1.JobFailed) {
			return c.LastTransitionTime.Time, c.Reason, true
		}
	}
	return time.Time{}, "", false
}

func terminated(pod *corev1.Pod) *corev1.ContainerStateTerminated {
	if pod == nil {
		return nil
	}
	for i := range pod.Status.ContainerStatuses {
		if c := &pod.Status.ContainerStatuses[i]; c.Name == manifests.ValidationContainer {
			return c.State.Terminated
		}
	}
	return nil
}

func whyPending(pod *corev1.Pod) validation.Cause {
	if pod == nil {
		return validation.CauseNotStarted
	}
	for _, c := range pod.Status.ContainerStatuses {
		if w := c.State.Waiting; w != nil {
			switch w.Reason {
			case "ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "ImageInspectError", "RegistryUnavailable":
				return validation.CauseImage
			}
		}
	}
	return validation.CauseNotStarted
}

// settle stores the result in the trail's status and, when the trail is not
// valid, has that recorded. Doing it again changes nothing.
func (s *Scheduler) settle(ctx context.Context, log logr.Logger, t candidate, run manifests.ValidationRun, end outcome) error {
	if v := t.Status.LastValidation; v != nil && v.StartTime != nil && v.StartTime.After(run.StartTime.Time) {
		return nil // there is a newer one already
	}
	result := resultOf(t.Trail, run, end)
	known := t.Status.LastValidation != nil && equality.Semantic.DeepEqual(t.Status.LastValidation, result)
	if !known {
		if err := s.write(ctx, t, run, result); err != nil {
			return fmt.Errorf("writing the status: %w", err)
		}
	}
	if at := run.StartTime.Time; at.After(s.ended[t.UID]) {
		s.ended[t.UID] = at
		s.Metrics.count(result)
		log.Info("A trail was validated", "trail", t.CloudTrailName(), "result", result.Result, "cause", result.Cause, "full", run.Full,
			"digests", result.Digests, "logFiles", result.LogFiles, "findings", result.Invalid, "seconds", result.DurationSeconds)
	}
	if result.Result != v1alpha1.ValidationInvalid {
		return nil
	}
	if err := s.Receiver.Record(ctx, s.event(t.Trail, result)); err != nil {
		return fmt.Errorf("recording %s: %w", record.EventValidationFailed, err)
	}
	return nil
}

// resultOf is what becomes of the outcome in the status. What a validation that
// failed leaves open is as the last one found it.
func resultOf(t *v1alpha1.Trail, run manifests.ValidationRun, end outcome) *v1alpha1.LastValidation {
	v := &v1alpha1.LastValidation{}
	if before := t.Status.LastValidation; end.cause != "" && before != nil {
		v = before.DeepCopy()
	}
	v.StartTime, v.Time = stamp(run.StartTime.Time), stamp(end.at)
	v.Trigger, v.Full, v.Cause = run.Trigger, run.Full, string(end.cause)
	v.DurationSeconds = max(0, int64(end.at.Sub(run.StartTime.Time)/time.Second))
	if end.cause != "" {
		v.Result = v1alpha1.ValidationFailed
		return v
	}
	r := end.report
	v.Result = v1alpha1.ValidationValid
	if !r.Valid {
		v.Result = v1alpha1.ValidationInvalid
	}
	if r.Digests.Valid > 0 {
		v.From, v.Until = stamp(r.From), stamp(r.Until)
	}
	v.Digests, v.LogFiles, v.Expired, v.Archived = r.Digests.Valid, r.LogFiles.Valid, r.LogFiles.Expired, r.LogFiles.Archived
	for _, f := range r.Findings {
		v.Findings = append(v.Findings, v1alpha1.FindingCount{Kind: f.Kind, Count: f.Count})
		v.Invalid += f.Count
	}
	return v
}

// stamp is a time as the API server stores it.
func stamp(t time.Time) *metav1.Time { return &metav1.Time{Time: t.UTC().Truncate(time.Second)} }

type operation struct {
	Op    string `json:"op"`
	Path  string `json:"path"`
	Value any    `json:"value"`
}

// write replaces both fields of the status as a whole, if the trail is still
// the one that was validated. Everything else there is the trail controller's.
func (s *Scheduler) write(ctx context.Context, t candidate, run manifests.ValidationRun, result *v1alpha1.LastValidation) error {
	patch := []operation{{"test", "/metadata/uid", t.UID}, {"add", "/status/lastValidation", result}}
	if result.Result == v1alpha1.ValidationValid {
		until := &v1alpha1.ValidatedUntil{Head: run.Head}
		if before := t.Status.Validated; before != nil {
			until.FullTime = before.FullTime
		}
		if run.Full {
			until.FullTime = result.StartTime
		}
		patch = append(patch, operation{"add", "/status/validated", until})
	}
	b, err := json.Marshal(patch)
	if err != nil {
		return err
	}
	o := t.kind.Object(t.DeepCopy())
	return client.IgnoreNotFound(s.Client.Status().Patch(ctx, o, client.RawPatch(types.JSONPatchType, b)))
}

// details is what the record says.
type details struct {
	Name            string                  `json:"name"`
	Namespace       string                  `json:"namespace"`
	TrailARN        string                  `json:"trailARN"`
	ValidatedFrom   *metav1.Time            `json:"validatedFrom,omitempty"`
	ValidatedUntil  *metav1.Time            `json:"validatedUntil,omitempty"`
	ValidDigests    int64                   `json:"validDigests"`
	ValidLogFiles   int64                   `json:"validLogFiles"`
	InvalidFindings []v1alpha1.FindingCount `json:"findings"`
}

func (s *Scheduler) event(t *v1alpha1.Trail, v *v1alpha1.LastValidation) record.OwnEvent {
	arn := record.TrailARN(s.Installation.Region, s.Installation.Account, t.CloudTrailName())
	return record.OwnEvent{
		ID:   fmt.Sprintf("%s/%s/%d", t.UID, record.EventValidationFailed, v.StartTime.Unix()),
		Name: record.EventValidationFailed, Time: v.Time.UTC(), Trails: []string{string(t.UID)}, TrailARN: arn,
		Details: record.MustJSON(details{
			Name: t.CloudTrailName(), Namespace: t.Namespace, TrailARN: arn, ValidatedFrom: v.From, ValidatedUntil: v.Until,
			ValidDigests: v.Digests, ValidLogFiles: v.LogFiles, InvalidFindings: v.Findings,
		}),
	}
}

// policy applies the NetworkPolicy, or removes it.
func (s *Scheduler) policy(ctx context.Context, o *manifests.ValidationWorkload) error {
	if p := o.NetworkPolicy(); p != nil {
		return s.Client.Apply(ctx, p, client.FieldOwner(manifests.FieldOwner), client.ForceOwnership)
	}
	p := &networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: o.Namespace, Name: manifests.ValidationName}}
	return client.IgnoreNotFound(s.Client.Delete(ctx, p))
}
