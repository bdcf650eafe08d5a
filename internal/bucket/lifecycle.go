package bucket

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/trail-operator/trail-operator/api/v1alpha1"
	"github.com/trail-operator/trail-operator/internal/objectstore"
	"github.com/trail-operator/trail-operator/internal/record"
)

// Ends of the IDs of rules.
const (
	logRule        = "logs"
	digestRule     = "digests"
	transitionRule = "transition-" // and the storage class
	abortRule      = "abort-uploads"
)

// rules are those that l asks for. What servers may refuse has rules of its own,
// so that the others stay in force. Whatever l says, digests are not moved,
// outlive the log files they list, and nothing concerns the public keys and the
// object that claims the prefix.
func rules(owner string, l v1alpha1.Lifecycle, p places) []objectstore.LifecycleRule {
	expire, digest := int(l.ExpireAfterDays), int(l.DigestExpireAfterDays)
	switch {
	case expire == 0:
		digest = 0
	case digest != 0:
		digest = max(digest, expire+1)
	}
	noncurrent := int(l.NoncurrentExpireAfterDays)
	later := func(days int) int { // than those of log files, or never
		if days == 0 || days > objectstore.MaxLifecycleDays {
			return 0
		}
		return days
	}
	var list []objectstore.LifecycleRule
	add := func(id, prefix string, r objectstore.LifecycleRule) {
		r.ID, r.Prefix, r.Enabled = owner+id, prefix, true
		list = append(list, r)
	}
	for _, t := range l.Transitions {
		if expire == 0 || int(t.AfterDays) < expire {
			add(transitionRule+t.StorageClass, p.logs, objectstore.LifecycleRule{TransitionDays: int(t.AfterDays), StorageClass: t.StorageClass})
		}
	}
	if expire > 0 || noncurrent > 0 {
		add(logRule, p.logs, objectstore.LifecycleRule{ExpireDays: expire, NoncurrentExpireDays: noncurrent})
	}
	digests := objectstore.LifecycleRule{ExpireDays: later(digest)}
	if noncurrent > 0 {
		digests.NoncurrentExpireDays = later(noncurrent + 1)
	}
	if digests != (objectstore.LifecycleRule{}) {
		add(digestRule, p.digests, digests)
	}
	if days := int(l.AbortIncompleteUploadAfterDays); days > 0 {
		add(abortRule, p.root, objectstore.LifecycleRule{AbortMultipartDays: days})
	}
	return list
}

// feature is what a rule of ours needs of the server.
func (d Desired) feature(r objectstore.LifecycleRule) Feature {
	switch id := strings.TrimPrefix(r.ID, d.Owner); {
	case strings.HasPrefix(id, transitionRule):
		return Transitions
	case id == abortRule:
		return AbortUploads
	}
	return Lifecycle
}

// Without returns d without what needs features. What the bucket has of them is
// left alone.
func (d Desired) Without(features ...Feature) Desired {
	out := d
	out.without = slices.Concat(d.without, features)
	out.Rules = slices.DeleteFunc(slices.Clone(d.Rules), func(r objectstore.LifecycleRule) bool {
		return slices.Contains(features, Lifecycle) || slices.Contains(features, d.feature(r))
	})
	for _, f := range features {
		switch f {
		case Versioning:
			out.Versioning = false
		case Encryption:
			out.Encryption = objectstore.Encryption{}
		case ObjectLock:
			out.Retention = objectstore.DefaultRetention{}
		case Tags:
			out.Tags = nil
		}
	}
	return out
}

// setLifecycle sets the rules, and leaves out what the server refuses if it
// takes the others then.
func (d Desired) setLifecycle(ctx context.Context, a objectstore.Admin) (left []Feature, err error) {
	needs := func(f Feature) bool {
		return slices.ContainsFunc(d.Rules, func(r objectstore.LifecycleRule) bool { return d.feature(r) == f })
	}
	for _, without := range [][]Feature{nil, {AbortUploads}, {Transitions}, {AbortUploads, Transitions}} {
		if slices.ContainsFunc(without, func(f Feature) bool { return !needs(f) }) || without != nil && len(d.Without(without...).Rules) == 0 {
			continue // there is nothing to leave out, or nothing is left
		}
		err = a.SetLifecycle(ctx, d.Owner, d.Without(without...).Rules)
		if err == nil {
			return without, nil
		}
		if !isRefusal(err) {
			return nil, err
		}
	}
	return []Feature{Lifecycle}, nil
}

// isRefusal reports whether the server does not want the rules as they are, and
// will not the next time.
func isRefusal(err error) bool {
	if errors.Is(err, objectstore.ErrNotImplemented) || errors.Is(err, objectstore.ErrNotKept) {
		return true
	}
	for _, known := range []error{
		objectstore.ErrBadCredentials, objectstore.ErrClockSkew, objectstore.ErrBadDigest, objectstore.ErrRegion, objectstore.ErrChanged,
	} {
		if errors.Is(err, known) {
			return false
		}
	}
	var e *objectstore.Error
	return errors.As(err, &e) && e.Status == http.StatusBadRequest
}

// own are the rules of owner among all of a bucket.
func own(all []objectstore.LifecycleRule, owner string) (ours, others []objectstore.LifecycleRule) {
	for _, r := range all {
		if strings.HasPrefix(r.ID, owner) {
			ours = append(ours, r)
		} else {
			others = append(others, r)
		}
	}
	return ours, others
}

// maxInForce bounds the rules that a digest lists.
const maxInForce = 16

// inForce are the rules, of whomever, for all of the trail's log files and
// digests, in the form in which digests list them: ours first. A rule for some
// of the objects is left out, for it would excuse that others are missing.
func inForce(all []objectstore.LifecycleRule, owner string, p places) []record.LifecycleRule {
	var list []record.LifecycleRule
	ours, others := own(all, owner)
	for _, r := range append(ours, others...) {
		if !r.Enabled || r.Partial {
			continue
		}
		said := record.LifecycleRule{ExpireDays: int32(r.ExpireDays)}
		if record.IsStorageClass(r.StorageClass) {
			said.StorageClass, said.TransitionDays = r.StorageClass, int32(r.TransitionDays)
		}
		if said == (record.LifecycleRule{}) {
			continue
		}
		if strings.HasPrefix(p.logs, r.Prefix) {
			said.Objects = record.LifecycleLogs
			list = append(list, said)
		}
		if strings.HasPrefix(p.digests, r.Prefix) {
			said.Objects = record.LifecycleDigests
			list = append(list, said)
		}
	}
	return list[:min(len(list), maxInForce)]
}
