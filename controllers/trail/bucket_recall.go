package trail

import (
	"context"
	"strings"
	"time"

	"github.com/trail-operator/trail-operator/api/v1alpha1"
	"github.com/trail-operator/trail-operator/internal/bucket"
	"github.com/trail-operator/trail-operator/internal/objectstore"
)

// recall finds in the bucket what was in force where the status does not say it:
// for a trail that was deleted and created again, or whose status was lost. What
// was recorded then is as hard to shorten as ever.
func (v *visit) recall(ctx context.Context) error {
	if !v.claimed || v.was != nil {
		return nil
	}
	was, err := bucket.Found(ctx, v.store, v.asked(), v.owner())
	if err != nil {
		return err
	}
	if was == nil { // nothing deletes what is there, if there is something
		if recorded, err := v.hasRecords(ctx); err != nil || !recorded {
			return err
		}
		was = &v1alpha1.BucketStatus{}
	}
	lock, err := v.foundLock(ctx)
	if err != nil {
		return err
	}
	was.ObjectLockDays, was.ObjectLockMode = lock.Days, lock.Mode
	v.was = was
	v.settleAgainst(was)
	v.desired = bucket.Want(v.destination, v.owner(), was)
	return nil
}

func (v *visit) hasRecords(ctx context.Context) (bool, error) {
	for _, prefix := range []string{v.layout().LogFiles(), v.layout().Digests()} {
		for _, err := range v.store.List(ctx, prefix, "") {
			return err == nil, err
		}
	}
	return false, nil
}

// maxWishes bounds the objects that are looked at for their locks.
const maxWishes = 32

// foundLock is the longest lock among the objects that claim the prefix and
// prove how objects are kept: that of the bucket may be another trail's.
func (v *visit) foundLock(ctx context.Context) (longest v1alpha1.ObjectLock, err error) {
	keys := []string{v.layout().Owner()}
	prefix := proofs(v.layout().Owner())
	for o, err := range v.store.List(ctx, prefix, "") {
		if err != nil {
			return longest, err
		}
		last := keys[len(keys)-1]
		switch wish, _, _ := strings.Cut(o.Key[len(prefix):], "-"); {
		case strings.HasPrefix(last, prefix+wish+"-"):
			keys[len(keys)-1] = o.Key // the server was mended meanwhile, or not
		case len(keys) <= maxWishes:
			keys = append(keys, o.Key)
		}
	}
	for _, key := range keys {
		info, err := v.store.Head(ctx, key)
		if err != nil {
			return longest, err
		}
		if lock := lockOf(info); lock.Days > longest.Days || lock.Days == longest.Days && lock.Mode == v1alpha1.LockCompliance {
			longest = lock
		}
	}
	return longest, nil
}

// lockOf is the lock that an object was written with.
func lockOf(o objectstore.Info) v1alpha1.ObjectLock {
	const day = 24 * time.Hour
	days := min((o.Retention.Until.Sub(o.Modified)+day/2)/day, objectstore.MaxLifecycleDays)
	if o.Retention.Mode == objectstore.RetentionNone || days < 1 {
		return v1alpha1.ObjectLock{}
	}
	return v1alpha1.ObjectLock{Mode: lockMode(o.Retention.Mode), Days: int32(days)}
}

// proofs begin the keys of the objects that prove how objects are kept.
func proofs(owner string) string { return strings.TrimSuffix(owner, ".json") + "-" }
