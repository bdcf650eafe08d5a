package status

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/trail-operator/trail-operator/api/v1alpha1"
	"github.com/trail-operator/trail-operator/internal/auditpolicy"
	"github.com/trail-operator/trail-operator/internal/lossaccount"
	"github.com/trail-operator/trail-operator/internal/receiverstatus"
	"github.com/trail-operator/trail-operator/internal/record"
)

// digestGrace is the age at which the newest digest of an hourly chain is late.
const digestGrace = 90 * time.Minute

// Observation is what one reconciliation of a trail has seen.
type Observation struct {
	Trail *v1alpha1.Trail
	ARN   string
	// Problem is the first step that failed, nil when none did.
	Problem *Problem
	// Claimed: the bucket answered and the prefix belongs to this trail.
	Claimed bool
	// Bucket is what was found and set there; nil leaves what was found before.
	Bucket *v1alpha1.BucketStatus
	// Rendered: the receiver's configuration holds this generation.
	Rendered bool
	// Selection is receiverconfig.SelectionSHA256 of the selection that was
	// rendered; empty when none was, and the receiver's does not matter.
	Selection string
	// Classes are selector.Classes of the selection, and Gaps auditpolicy.Gaps of
	// what the receiver says.
	Classes map[receiverstatus.Class]bool
	Gaps    []auditpolicy.Gap
	// Receiver is its last answer; nil when it does not answer.
	Receiver *receiverstatus.Status
	// Expired says which certificate of the installation has expired, and what
	// to do; empty when none has.
	Expired string
	// Expiring says the same of one that will within 90 days and that people must
	// replace; empty when there is none.
	Expiring string
	// Loss is what is known of losses before the receiver; nil when nothing was
	// looked at yet.
	Loss *lossaccount.View
	Now  time.Time
}

// entry is the receiver's view of the trail, nil when it has none.
func (o *Observation) entry() *receiverstatus.Trail {
	if o.Receiver == nil {
		return nil
	}
	for i := range o.Receiver.Trails {
		if o.Receiver.Trails[i].UID == string(o.Trail.UID) {
			return &o.Receiver.Trails[i]
		}
	}
	return nil
}

// InForce reports whether the receiver runs the present generation with the
// present selection.
func (o *Observation) InForce() bool {
	e := o.entry()
	return o.Rendered && e != nil && e.Generation >= o.Trail.Generation &&
		(o.Selection == "" || o.Selection == e.SelectionSHA256)
}

// Flushed reports whether the receiver has nothing left to deliver for a
// suspended or deleted trail.
func (o *Observation) Flushed() bool { return o.InForce() && o.entry().Flushed }

// Of computes the status. What the receiver does not say stays as it was.
func Of(o Observation) v1alpha1.TrailStatus {
	s := *o.Trail.Status.DeepCopy()
	s.ObservedGeneration = o.Trail.Generation
	s.TrailARN = o.ARN
	s.Prefix = o.Trail.Prefix()
	if o.Bucket != nil {
		s.Bucket = o.Bucket.DeepCopy()
	}
	if e := o.entry(); e != nil {
		s.LatestDelivery = latestDelivery(e)
		s.LatestDigest = latestDigest(e)
		if e.Head != nil && fits(e.Head) {
			s.Head = head(e.Head)
		}
		s.Counts = &v1alpha1.RecordCounts{
			Accepted: e.Counts.Accepted, Delivered: e.Counts.Delivered, SelectedOut: e.Counts.SelectedOut,
			Pending: e.Counts.Pending, Quarantined: e.Counts.Quarantined, Expired: e.Counts.Expired,
		}
		s.DeliveredBytesPerDay = e.DeliveredBytesDay
		s.ExpiredFiles = int64(e.ExpiredFiles)
	}
	if !o.Trail.IsValidated() {
		s.LastValidation, s.Validated = nil, nil
	}
	s.Conditions = o.conditions(s.Conditions)
	return s
}

func timeOf(t *time.Time) *metav1.Time {
	if t == nil || !believable(*t) {
		return nil
	}
	return &metav1.Time{Time: t.UTC().Truncate(time.Second)} // as the API server stores it
}

func latestDelivery(e *receiverstatus.Trail) *v1alpha1.LatestDelivery {
	if e.LastDelivery == nil && e.DeliveryError == nil {
		return nil
	}
	d := &v1alpha1.LatestDelivery{Time: timeOf(e.LastDelivery), AttemptTime: timeOf(e.LastAttempt), Key: v1alpha1.Cut(e.LastObject, maxKey)}
	if e.DeliveryError != nil {
		d.Error = plain(e.DeliveryError.Code)
	}
	return d
}

func latestDigest(e *receiverstatus.Trail) *v1alpha1.LatestDigest {
	if e.LastDigest == nil && e.DigestError == nil {
		return nil
	}
	d := &v1alpha1.LatestDigest{Time: timeOf(e.LastDigest)}
	if e.DigestError != nil {
		d.Error = plain(e.DigestError.Code)
	}
	return d
}

func head(h *record.Head) *v1alpha1.DigestHead {
	return &v1alpha1.DigestHead{
		TrailARN: h.TrailARN, ChainID: h.ChainID, Sequence: h.Sequence, S3Bucket: h.Bucket, S3Object: h.Object,
		HashValue: h.HashValue, Signature: h.Signature, EndTime: h.EndTime, Final: h.Final,
		PublicKeyFingerprint: h.Fingerprint, PublicKeySHA256: h.Trust,
	}
}

// Urgent reports whether b differs from a in more than numbers and times,
// which may wait a minute.
func Urgent(a, b v1alpha1.TrailStatus) bool {
	return !equal(significant(a), significant(b))
}

// significant leaves out what changes all the time.
func significant(s v1alpha1.TrailStatus) v1alpha1.TrailStatus {
	s.Counts, s.DeliveredBytesPerDay, s.ExpiredFiles = nil, 0, 0
	if d := s.LatestDelivery; d != nil {
		s.LatestDelivery = &v1alpha1.LatestDelivery{Error: d.Error}
		if d.Time != nil { // the first delivery is news
			s.LatestDelivery.Key = "any"
		}
	}
	if d := s.LatestDigest; d != nil {
		s.LatestDigest = &v1alpha1.LatestDigest{Error: d.Error}
	}
	return s
}
