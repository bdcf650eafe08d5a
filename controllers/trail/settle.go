package trail

import (
	"context"
	"fmt"

	"github.com/trail-operator/trail-operator/api/v1alpha1"
	"github.com/trail-operator/trail-operator/internal/bucket"
	"github.com/trail-operator/trail-operator/internal/record"
	"github.com/trail-operator/trail-operator/internal/status"
)

// settle decides what of the destination is put in force. What shortens the
// life of recorded data needs an annotation; without it, the trail goes on with
// what it had.
func (s *scope) settle(context.Context) error {
	d := *s.trail.Spec.Destination.DeepCopy()
	if s.mayBeAmbient() && !s.trail.IsOrganizationTrail() {
		d.ManagementPolicy = v1alpha1.PolicyObserve // the bucket is not the tenant's
	}
	s.destination, s.shortening = bucket.Settle(d, s.trail.Status.Bucket, s.trail.Annotations[v1alpha1.AnnotationAllowShortening])
	return nil
}

// refuseShortening says that the spec is not in force. Everything else goes on.
func (s *scope) refuseShortening() {
	if s.shortening != nil && !s.shortening.Allowed && s.seen.Problem == nil {
		s.seen.Problem = status.Shortening(s.shortening.Says, s.shortening.Annotation)
	}
}

// settled is the trail with the destination that is put in force.
func (s *scope) settled() *v1alpha1.Trail {
	t := s.trail.DeepCopy()
	t.Spec.Destination = s.destination
	return t
}

// announceShortening records that the life of recorded data is shortened,
// before it is: as long as the receiver is away, it is not. The annotation that
// allows it makes no generation, so there may have been an UpdateTrail already.
func (s *scope) announceShortening(ctx context.Context) error {
	if s.rendered == nil || s.shortening == nil || !s.shortening.Allowed {
		return nil
	}
	st := &s.trail.Status
	event := s.ownEvent(record.EventUpdateTrail)
	if st.RecordedGeneration >= s.trail.Generation {
		event.ID += "/" + s.shortening.Annotation
	}
	if err := s.Receiver.Record(ctx, event); err != nil {
		return fmt.Errorf("%w to record %s: %w", errReceiver, event.Name, err)
	}
	st.RecordedGeneration = s.trail.Generation
	return nil
}
