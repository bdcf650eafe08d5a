package validation

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/go-logr/logr"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/trail-operator/trail-operator/api/v1alpha1"
	"github.com/trail-operator/trail-operator/internal/manifests"
	"github.com/trail-operator/trail-operator/internal/receiverconfig"
	"github.com/trail-operator/trail-operator/internal/record"
	"github.com/trail-operator/trail-operator/internal/validation"
)

// maxCredentials bounds the values of a Secret, in bytes.
const maxCredentials = 16 << 10

// failure is why a validation cannot be started.
type failure struct {
	cause validation.Cause
	err   error
}

func (f failure) Error() string { return fmt.Sprintf("%s: %v", f.cause, f.err) }

// start starts what is due, as far as there are places: some in all, and one
// in each namespace, so that no tenant holds up the others. It returns how many
// have to wait.
func (s *Scheduler) start(ctx context.Context, log logr.Logger, due []candidate, running map[types.UID]candidate, now time.Time) (waiting int) {
	busy := map[string]bool{}
	for _, t := range running {
		busy[t.Namespace] = true
	}
	for _, t := range due {
		if len(running) >= s.Config.Validation.Concurrency || busy[t.Namespace] {
			waiting++
			continue
		}
		began, err := s.begin(ctx, log, t, now)
		var f failure
		switch {
		case errors.As(err, &f):
			log.Info("A trail cannot be validated", "trail", t.CloudTrailName(), "cause", f.Error())
			run := manifests.ValidationRun{StartTime: metav1.Time{Time: now}, Trigger: trigger(t.Trail)}
			if err := s.settle(ctx, log, t, run, outcome{cause: f.cause, at: now}); err != nil {
				log.Error(err, "Cannot store why", "trail", t.CloudTrailName())
			}
		case err != nil:
			log.Error(err, "Cannot start a validation; trying again", "trail", t.CloudTrailName())
			s.tried[t.UID] = now
			waiting++
		case began:
			s.started[t.UID], s.tried[t.UID] = now, now
			running[t.UID], busy[t.Namespace] = t, true
		default:
			waiting++
		}
	}
	return waiting
}

// begin makes the Job and its Secret. It returns false as long as the trail's
// last Job is there.
func (s *Scheduler) begin(ctx context.Context, log logr.Logger, t candidate, now time.Time) (bool, error) {
	var last batchv1.Job
	switch err := s.Client.Get(ctx, client.ObjectKey{Namespace: s.Config.Namespace, Name: manifests.ValidationJobName(t.UID)}, &last); {
	case err == nil:
		s.remove(ctx, log, &last)
		return false, nil
	case !apierrors.IsNotFound(err):
		return false, err
	}
	if !s.Config.Validation.IsPossible() {
		return false, failure{validation.CauseNoImage, errors.New("set validation.image")}
	}
	rendered, ok, err := s.Rendered.Trail(ctx, string(t.UID))
	if err != nil || !ok || !here(t.Status.Head, rendered.Destination) { // or its first digest there is to come
		return false, err
	}
	run := plan(t.Trail, rendered.Destination, now)
	run.Ambient = rendered.Destination.Ambient && t.Spec.LogFileValidation.CredentialsSecretRef == nil
	in, err := s.input(ctx, t.Trail, rendered, run)
	if err != nil {
		return false, err
	}
	if err := s.share(ctx, now); err != nil {
		return false, refused(err)
	}
	job := s.objects().Job(t.Trail, run)
	if err := s.Client.Create(ctx, job); err != nil {
		if apierrors.IsAlreadyExists(err) { // the cache did not show it
			return false, nil
		}
		return false, refused(err)
	}
	// Its pod waits for the Secret, which can only be made when the Job is there
	// that it goes with.
	if err := s.Client.Create(ctx, manifests.ValidationSecret(job, in)); err != nil {
		s.remove(ctx, log, job)
		return false, refused(err)
	}
	return true, nil
}

// refused tells what the API server refuses for good from what may work soon.
func refused(err error) error {
	// A webhook that gives no code refuses with 400.
	if apierrors.IsForbidden(err) || apierrors.IsInvalid(err) || apierrors.IsBadRequest(err) {
		return failure{validation.CauseForbidden, err}
	}
	return err
}

// plan decides how much is validated.
func plan(t *v1alpha1.Trail, d receiverconfig.Destination, now time.Time) manifests.ValidationRun {
	v := t.Status.Validated
	return manifests.ValidationRun{
		StartTime: metav1.Time{Time: now.Truncate(time.Second)}, Trigger: trigger(t), Head: t.Status.Head.DeepCopy(), Settings: settings(t),
		Full: v == nil || v.Head == nil || !here(v.Head, d) || v.FullTime == nil || now.Sub(v.FullTime.Time) >= fullInterval,
	}
}

// here reports whether a digest lies where the trail delivers to now: the trail
// may have left its bucket or prefix.
func here(h *v1alpha1.DigestHead, d receiverconfig.Destination) bool {
	prefix := h.S3Object[:max(0, strings.LastIndex(h.S3Object, "AWSLogs/"))]
	return h.S3Bucket == d.Bucket && strings.TrimSuffix(prefix, "/") == d.Prefix
}

// input is what the pod is given.
func (s *Scheduler) input(ctx context.Context, t *v1alpha1.Trail, rendered receiverconfig.Trail, run manifests.ValidationRun) (validation.Input, error) {
	d := rendered.Destination
	d.Encryption, d.Retention = receiverconfig.Encryption{}, receiverconfig.Retention{} // nothing is written
	if ref := t.Spec.LogFileValidation.CredentialsSecretRef; ref != nil {
		var err error
		if d.AccessKeyID, d.SecretAccessKey, d.SessionToken, err = s.credentials(ctx, t, ref.Name); err != nil {
			return validation.Input{}, err
		}
		d.Ambient = false
	}
	in := validation.Input{
		Version: validation.Version, Trail: t.CloudTrailName(), Layout: manifests.Layout(t, s.Installation.Installation),
		Destination: d, Keys: s.Installation.Keys, Heads: []record.Head{*manifests.Head(run.Head)},
		From: run.StartTime.UTC().AddDate(0, 0, -int(t.Spec.LogFileValidation.Lookback())).Truncate(time.Hour),
	}
	if run.Full {
		return in, nil
	}
	last := manifests.Head(t.Status.Validated.Head)
	end, err := time.Parse(record.TimeFormat, last.EndTime)
	if err != nil || !end.After(in.From) {
		return in, nil
	}
	// It begins with the digest at which the last one ended, which must be there.
	in.From = end.Add(-time.Second)
	if last.Object != in.Heads[0].Object {
		in.Heads = append(in.Heads, *last)
	}
	return in, nil
}

// credentials reads a Secret that may only read the bucket.
func (s *Scheduler) credentials(ctx context.Context, t *v1alpha1.Trail, name string) (key, secret, token string, err error) {
	home := t.Namespace
	if t.IsOrganizationTrail() {
		home = s.Config.Namespace
	}
	var o corev1.Secret
	err = s.Client.Get(ctx, client.ObjectKey{Namespace: home, Name: name}, &o)
	if apierrors.IsForbidden(err) || apierrors.IsNotFound(err) {
		return "", "", "", failure{validation.CauseCredentials, err}
	}
	if err != nil {
		return "", "", "", fmt.Errorf("reading the credentials: %w", err)
	}
	value := func(k string) string { return strings.TrimSpace(string(o.Data[k])) }
	key, secret, token = value(v1alpha1.SecretAccessKeyID), value(v1alpha1.SecretSecretAccessKey), value(v1alpha1.SecretSessionToken)
	if key == "" || secret == "" || len(key)+len(secret)+len(token) > maxCredentials {
		return "", "", "", failure{validation.CauseCredentials, errors.New("the Secret lacks a value, or has one that is too long")}
	}
	return key, secret, token, nil
}

func (s *Scheduler) objects() *manifests.ValidationWorkload {
	return &manifests.ValidationWorkload{Namespace: s.Config.Namespace, Validation: &s.Config.Validation, Receiver: s.Config.Receiver.Workload}
}

// share applies what all Jobs need.
func (s *Scheduler) share(ctx context.Context, now time.Time) error {
	if since := now.Sub(s.applied); since >= 0 && since < applyInterval {
		return nil
	}
	o := s.objects()
	for _, account := range o.ServiceAccounts() {
		if err := s.Client.Apply(ctx, account, client.FieldOwner(manifests.FieldOwner), client.ForceOwnership); err != nil {
			return err
		}
	}
	if err := s.policy(ctx, o); err != nil {
		return err
	}
	s.applied = now
	return nil
}
