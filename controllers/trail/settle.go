package trail

import (
	"cmp"
	"context"
	"fmt"

	"github.com/trail-operator/trail-operator/api/v1alpha1"
	"github.com/trail-operator/trail-operator/internal/bucket"
	"github.com/trail-operator/trail-operator/internal/objectstore"
	"github.com/trail-operator/trail-operator/internal/record"
	"github.com/trail-operator/trail-operator/internal/status"
)

// settle decides what of the destination is put in force. What shortens the
// life of recorded data needs an annotation; without it, the trail goes on with
// what it had. It is recorded here, before anything can be made shorter.
func (s *scope) settle(ctx context.Context) error {
	was := s.known()
	if was == nil && s.rendered != nil {
		was = s.lastLock()
	}
	s.settleAgainst(was)
	return s.announceShortening(ctx)
}

// settleAgainst compares with what was in force; nil is nothing. A shortening is
// put off until there is a trail to record it in.
func (s *scope) settleAgainst(was *v1alpha1.BucketStatus) {
	d := s.asked()
	if m, mapped := s.mapping(); mapped && was != nil && was.ObjectLockDays > m.MaxObjectLockDays {
		was = was.DeepCopy() // what the installer allows no more is not kept
		if was.ObjectLockDays = m.MaxObjectLockDays; was.ObjectLockDays == 0 {
			was.ObjectLockMode = ""
		}
	}
	s.destination, s.shortening = bucket.Settle(d, was, s.trail.Annotations[v1alpha1.AnnotationAllowShortening])
	if s.shortening != nil && s.shortening.Allowed && (s.rendered == nil || s.trail.Status.Bucket == nil || s.trail.Status.RecordedGeneration == 0) {
		s.destination, _ = bucket.Settle(d, was, "")
		s.shortening = nil
	}
}

// asked is the destination as far as it is the trail's to ask for.
func (s *scope) asked() v1alpha1.Destination {
	d := *s.trail.Spec.Destination.DeepCopy()
	if s.mayBeAmbient() && !s.trail.IsOrganizationTrail() {
		d.ManagementPolicy = v1alpha1.PolicyObserve // the bucket is not the tenant's
	}
	return d
}

// known is what was in force: the status says it or, while that is not written
// or lost, the last look at the bucket. Nil before the first one.
func (s *scope) known() *v1alpha1.BucketStatus {
	last := s.buckets.get(s.trail.UID)
	return cmp.Or(s.trail.Status.Bucket, last.status, last.found)
}

// lastLock is what the receiver locks objects with, beside all that is asked
// for: for a trail whose status is lost, until its bucket says more.
func (s *scope) lastLock() *v1alpha1.BucketStatus {
	was := bucket.Status(s.asked(), nil, bucket.Outcome{})
	r := s.rendered.Destination.Retention
	was.ObjectLockDays, was.ObjectLockMode = r.Days, lockMode(objectstore.RetentionMode(r.Mode))
	return was
}

// lockMode is a mode by the name that specs have for it.
func lockMode(m objectstore.RetentionMode) v1alpha1.LockMode {
	switch m {
	case objectstore.RetentionGovernance:
		return v1alpha1.LockGovernance
	case objectstore.RetentionCompliance:
		return v1alpha1.LockCompliance
	}
	return ""
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
	if s.shortening == nil || !s.shortening.Allowed {
		return nil
	}
	event := s.ownEvent(record.EventUpdateTrail)
	event.ID += "/" + s.shortening.Annotation
	if err := s.Receiver.Record(ctx, event); err != nil {
		return fmt.Errorf("%w to record %s: %w", errReceiver, event.Name, err)
	}
	s.trail.Status.RecordedGeneration = s.trail.Generation
	return nil
}
