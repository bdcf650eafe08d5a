package trail

import (
	"context"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/trail-operator/trail-operator/api/v1alpha1"
	"github.com/trail-operator/trail-operator/internal/manifests"
	"github.com/trail-operator/trail-operator/internal/status"
)

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

// maxCredentials bounds the values of a Secret, in bytes. Session tokens have
// 1 to 4 KB.
const maxCredentials = 16 << 10

func (s *scope) readCredentials(ctx context.Context) error {
	name, namespace := s.trail.Spec.Destination.CredentialsSecret(), s.homeNamespace()
	if name == "" {
		if !s.mayBeAmbient() {
			return s.proceed(status.NoCredentials(s.trail))
		}
		s.credentials = &manifests.Credentials{Ambient: true}
		return nil
	}
	s.retry = s.waitForGrant()
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
	if size := len(c.AccessKeyID) + len(c.SecretAccessKey) + len(c.SessionToken); size > maxCredentials {
		return s.proceed(&status.Problem{
			Reason: v1alpha1.ReasonInvalidCredentials,
			Message: fmt.Sprintf("The Secret %s has %d bytes under the keys %s, %s and %s. Credentials have at most %d.", name, size,
				v1alpha1.SecretAccessKeyID, v1alpha1.SecretSecretAccessKey, v1alpha1.SecretSessionToken, maxCredentials),
		})
	}
	s.credentials, s.retry = &c, 0
	return nil
}

// lastCredentials are those that the receiver has, for as long as there are no
// others. The operator's own identity is not kept by whoever has lost the right
// to it.
func (s *scope) lastCredentials() manifests.Credentials {
	d := s.rendered.Destination
	return manifests.Credentials{
		AccessKeyID: d.AccessKeyID, SecretAccessKey: d.SecretAccessKey, SessionToken: d.SessionToken,
		Ambient: d.Ambient && s.mayBeAmbient(),
	}
}
