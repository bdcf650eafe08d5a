package bucket

import (
	"github.com/trail-operator/trail-operator/api/v1alpha1"
)

// Bounds of the status.
const (
	maxSentences = 20
	maxSentence  = 1024
)

// Status is what stands in a trail's status once d is in force: the values are
// what later ones are compared with, also where the server lacks the feature.
func Status(d v1alpha1.Destination, was *v1alpha1.BucketStatus, out Outcome) *v1alpha1.BucketStatus {
	var s v1alpha1.BucketStatus
	if was != nil && !d.IsManaged() {
		s = *was.DeepCopy()
		s.Drift, s.Unsupported = nil, nil
	}
	s.ObjectLockDays, s.ObjectLockMode = 0, ""
	if d.ObjectLock != nil {
		s.ObjectLockDays, s.ObjectLockMode = d.ObjectLock.Days, d.ObjectLock.Mode
	}
	if d.IsManaged() {
		var l v1alpha1.Lifecycle
		if d.Lifecycle != nil {
			l = *d.Lifecycle
		}
		s.ExpireAfterDays, s.DigestExpireAfterDays, s.NoncurrentExpireAfterDays = l.ExpireAfterDays, l.DigestExpireAfterDays, l.NoncurrentExpireAfterDays
	}
	for _, sentence := range out.Drift[:min(len(out.Drift), maxSentences)] {
		s.Drift = append(s.Drift, v1alpha1.Cut(sentence, maxSentence))
	}
	for _, f := range out.Unsupported {
		s.Unsupported = append(s.Unsupported, string(f))
	}
	return &s
}
