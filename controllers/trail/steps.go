package trail

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"

	"github.com/trail-operator/trail-operator/api/v1alpha1"
	"github.com/trail-operator/trail-operator/controllers/installation"
	"github.com/trail-operator/trail-operator/internal/manifests"
	"github.com/trail-operator/trail-operator/internal/pki"
	"github.com/trail-operator/trail-operator/internal/receiverconfig"
	"github.com/trail-operator/trail-operator/internal/receiverstatus"
	"github.com/trail-operator/trail-operator/internal/record"
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
	if err := s.revoke(ctx); err != nil {
		return err
	}
	if err := s.keepToMapping(); err != nil {
		return err
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

// homeNamespace holds the Secrets and EventSelectors that the trail names.
func (s *scope) homeNamespace() string { return s.homeOf(s.trail) }

func (r *Reconciler) homeOf(t *v1alpha1.Trail) string {
	if t.IsOrganizationTrail() {
		return r.Config.Namespace
	}
	return t.Namespace
}

// reach is how far the dialer may go for this trail.
func (s *scope) reach() manifests.Reach {
	return manifests.Reach{AllowPrivate: s.Config.Allows(s.trail.Spec.Destination.Endpoint), DenyHosts: s.Poller.denied()}
}

// render writes the trail into the receiver's configuration.
func (s *scope) render(ctx context.Context) error {
	if s.credentials == nil { // unreadable now: the receiver goes on with those it has
		c := s.lastCredentials()
		s.credentials = &c
	}
	file := manifests.Trail(s.settled(), s.Installation.Installation, *s.credentials, s.reach())
	file.Selection, file.Lifecycle = s.selection, s.lifecycle
	if s.canWait(file) {
		s.Installation.Publisher.PutLater(file)
		s.seen.Rendered = true
		return nil
	}
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

// canWait reports whether there is nothing new but a newer digest, of which the
// receiver has told itself. Only one on another volume has to learn of it.
func (s *scope) canWait(file receiverconfig.Trail) bool {
	if s.rendered == nil || s.rendered.LastHead == nil || equality.Semantic.DeepEqual(file.LastHead, s.rendered.LastHead) || s.forgotten() {
		return false
	}
	file.LastHead = s.rendered.LastHead
	return bytes.Equal(record.MustJSON(file), record.MustJSON(s.rendered))
}

// forgotten reports whether the receiver says that it knows no digest of the trail.
func (s *scope) forgotten() bool {
	if s.seen.Receiver == nil {
		return false
	}
	return !slices.ContainsFunc(s.seen.Receiver.Trails, func(t receiverstatus.Trail) bool {
		return t.UID == string(s.trail.UID) && t.Head != nil
	})
}
