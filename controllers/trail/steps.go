package trail

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/trail-operator/trail-operator/api/v1alpha1"
	"github.com/trail-operator/trail-operator/controllers/installation"
	"github.com/trail-operator/trail-operator/internal/manifests"
	"github.com/trail-operator/trail-operator/internal/pki"
	"github.com/trail-operator/trail-operator/internal/selector"
	"github.com/trail-operator/trail-operator/internal/status"
)

const (
	// retrySoon is how soon a problem that costs little to look at is
	// looked at again: somebody may be waiting for it.
	retrySoon = 15 * time.Second
	// retryNow takes its place for missing credentials while somebody is
	// probably at work: within atWork of the trail's creation or last change of
	// Ready. The operator may not watch Secrets and grants, so it has to ask.
	retryNow = 2 * time.Second
	atWork   = time.Minute
)

// validate checks again what the API server has checked, and what it cannot see.
func (s *scope) validate(ctx context.Context) error {
	rendered, ok, err := s.Installation.Publisher.Trail(ctx, string(s.trail.UID))
	if err != nil {
		return err
	}
	if ok {
		s.rendered = &rendered
	}
	if name := s.trail.CloudTrailName(); !v1alpha1.IsCloudTrailName(name) {
		return status.Invalid("The CloudTrail name of this trail, %s, has two of the characters . _ - beside each other. Use a namespace without a double hyphen in its name.", name)
	}
	if err := selector.Validate(s.trail.Selection()); err != nil {
		return status.Invalid("The field spec.eventSelectors is invalid: %v", err)
	}
	if ca := s.trail.Spec.Destination.CA; ca != "" {
		if _, err := pki.ParseBundle([]byte(ca)); err != nil {
			return status.Invalid("The field spec.destination.ca is invalid: %v.", err)
		}
	}
	return nil
}

// proceed lets a trail go on that recorded before: its bucket may fail while
// its events are kept, and it can be suspended all the same. Any other trail
// stops here.
func (s *scope) proceed(p *status.Problem) error {
	if s.rendered == nil {
		return p
	}
	if s.seen.Problem == nil {
		s.seen.Problem = p
	}
	return nil
}

// waitForGrant is when to look for the credentials again.
func (s *scope) waitForGrant() time.Duration {
	since := s.trail.CreationTimestamp.Time
	if ready := meta.FindStatusCondition(s.before.Status.Conditions, v1alpha1.ConditionReady); ready != nil && ready.LastTransitionTime.After(since) {
		since = ready.LastTransitionTime.Time
	}
	if s.seen.Now.Sub(since) < atWork {
		return retryNow
	}
	return retrySoon
}

// homeNamespace holds the Secrets and EventSelectors that the trail names.
func (s *scope) homeNamespace() string { return s.homeOf(s.trail) }

func (r *Reconciler) homeOf(t *v1alpha1.Trail) string {
	if t.IsOrganizationTrail() {
		return r.Config.Namespace
	}
	return t.Namespace
}

func (s *scope) readCredentials(ctx context.Context) error {
	s.retry = s.waitForGrant()
	name, namespace := s.trail.Spec.Destination.CredentialsSecret(), s.homeNamespace()
	var secret corev1.Secret
	err := s.Client.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, &secret)
	switch {
	case apierrors.IsForbidden(err):
		return s.proceed(&status.Problem{
			Reason: v1alpha1.ReasonCredentialsNotReadable,
			Message: fmt.Sprintf("The operator may not read the Secret %s. Allow it with `kubectl trail grant`, or apply this:\n%s", name,
				manifests.GrantYAML(namespace, name, s.Installation.Manager)),
		})
	case apierrors.IsNotFound(err):
		return s.proceed(&status.Problem{
			Reason: v1alpha1.ReasonCredentialsNotFound,
			Message: fmt.Sprintf("There is no Secret %s in the namespace %s. Create it with the keys %s and %s.", name, namespace,
				v1alpha1.SecretAccessKeyID, v1alpha1.SecretSecretAccessKey),
		})
	case err != nil:
		return fmt.Errorf("reading the credentials: %w", err)
	}
	value := func(key string) string { return strings.TrimSpace(string(secret.Data[key])) }
	c := manifests.Credentials{
		AccessKeyID:     value(v1alpha1.SecretAccessKeyID),
		SecretAccessKey: value(v1alpha1.SecretSecretAccessKey),
		SessionToken:    value(v1alpha1.SecretSessionToken),
	}
	if c.AccessKeyID == "" || c.SecretAccessKey == "" {
		return s.proceed(&status.Problem{
			Reason: v1alpha1.ReasonCredentialsIncomplete,
			Message: fmt.Sprintf("The Secret %s lacks a value. It needs the keys %s and %s.", name,
				v1alpha1.SecretAccessKeyID, v1alpha1.SecretSecretAccessKey),
		})
	}
	s.credentials, s.retry = &c, 0
	return nil
}

// reach is how far the dialer may go for this trail.
func (s *scope) reach() manifests.Reach {
	return manifests.Reach{AllowPrivate: s.Config.Allows(s.trail.Spec.Destination.Endpoint), DenyHosts: s.DenyHosts}
}

// render writes the trail into the receiver's configuration.
func (s *scope) render(ctx context.Context) error {
	c := s.credentials
	if c == nil { // unreadable now: the receiver goes on with those it has
		d := s.rendered.Destination
		c = &manifests.Credentials{AccessKeyID: d.AccessKeyID, SecretAccessKey: d.SecretAccessKey, SessionToken: d.SessionToken}
	}
	file := manifests.Trail(s.trail, s.Installation.Installation, *c, s.reach())
	file.Selection = s.selection
	err := s.Installation.Publisher.Put(ctx, file)
	if errors.Is(err, installation.ErrTooLarge) {
		return &status.Problem{
			Reason:  v1alpha1.ReasonConfigurationTooLarge,
			Message: "This trail does not fit into the receiver's configuration. Use fewer or shorter values in spec.eventSelectors, or fewer trails.",
		}
	}
	if err != nil {
		return err
	}
	s.seen.Rendered = true
	return nil
}
