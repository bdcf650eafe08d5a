package bucket

import (
	"context"
	"errors"
	"strings"

	"github.com/trail-operator/trail-operator/api/v1alpha1"
	"github.com/trail-operator/trail-operator/internal/objectstore"
)

// Found is what the bucket's own rules of the trail say of how long its records
// live; nil when it has none for the trail's place. It takes the place of a
// status that is new or lost: who creates a trail again, or loses its status,
// must not shorten what is recorded. A server without lifecycle rules deletes
// nothing, whatever d asks for, so d is no change there.
func Found(ctx context.Context, a objectstore.Admin, d v1alpha1.Destination, t Trail) (*v1alpha1.BucketStatus, error) {
	all, err := a.Lifecycle(ctx)
	switch {
	case errors.Is(err, objectstore.ErrNotImplemented):
		s := Status(d, nil, Outcome{})
		s.ObjectLockDays, s.ObjectLockMode = 0, ""
		return s, nil
	case errors.Is(err, objectstore.ErrAccessDenied):
		return nil, nil // nothing is set without seeing what is there
	case err != nil:
		return nil, err
	}
	var s v1alpha1.BucketStatus
	p, has := t.places(), false
	ours, _ := own(all, t.owner())
	for _, r := range ours {
		if !r.Enabled || !strings.HasPrefix(r.Prefix, p.root) {
			continue
		}
		has = true
		switch {
		case r.ID == t.owner()+logRule && r.Prefix == p.logs:
			s.ExpireAfterDays, s.NoncurrentExpireAfterDays = int32(r.ExpireDays), int32(r.NoncurrentExpireDays)
		case r.ID == t.owner()+digestRule && r.Prefix == p.digests:
			s.DigestExpireAfterDays = int32(r.ExpireDays)
		}
	}
	if !has {
		return nil, nil
	}
	return &s, nil
}
