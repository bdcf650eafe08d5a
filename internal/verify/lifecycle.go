package verify

import (
	"errors"
	"slices"
	"time"

	"github.com/trail-operator/trail-operator/internal/record"
)

// Bounds of the lifecycle rules in a digest.
const (
	maxRules = 16
	maxDays  = 36500
)

func checkRules(rules []record.LifecycleRule) error {
	if len(rules) > maxRules {
		return errors.New("it has too many lifecycle rules")
	}
	for _, r := range rules {
		if r.ExpireDays < 0 || r.ExpireDays > maxDays || r.TransitionDays < 0 || r.TransitionDays > maxDays ||
			len(r.Objects) > maxField || len(r.StorageClass) > maxField {
			return errors.New("one of its lifecycle rules is out of bounds")
		}
	}
	return nil
}

// age is the number of days after which a bucket deletes or moves objects.
type age int32

const never age = -1

// over tells whether what was delivered until end has reached the age.
func (a age) over(end, now time.Time) bool {
	return a != never && now.After(end.Add(time.Duration(a)*24*time.Hour))
}

func (a age) orEarlier(b age) age {
	if a == never || b != never && b < a {
		return b
	}
	return a
}

// lifecycle is when the objects of a trail expire, and when its log files are
// archived.
type lifecycle struct{ logs, digests, archive age }

func (l *lifecycle) add(r record.LifecycleRule) {
	expire := never
	if r.ExpireDays > 0 {
		expire = age(r.ExpireDays)
	}
	switch r.Objects {
	case record.LifecycleLogs:
		l.logs = l.logs.orEarlier(expire)
		if r.StorageClass != "" {
			l.archive = l.archive.orEarlier(age(r.TransitionDays))
		}
	case record.LifecycleDigests:
		l.digests = l.digests.orEarlier(expire)
	}
}

// collectRules finds, for each digest, the shortest ages at which its objects
// may have expired or have been archived since: by the rules that it lists, or
// a later one. Only valid digests count, so nobody can excuse a deletion by a
// rule of his own.
func (v *verifier) collectRules() {
	all := lifecycle{never, never, never}
	for _, l := range slices.Backward(v.links) {
		if l.ok {
			for _, r := range l.d.LifecycleRules {
				all.add(r)
			}
		}
		l.lifecycle = all
	}
}

// digestExpired tells whether a digest that ended then may have expired, by the
// rules of those after it.
func (v *verifier) digestExpired(end time.Time) bool {
	i, _ := slices.BinarySearchFunc(v.links, end, func(l *link, t time.Time) int { return l.end.Compare(t) })
	return i < len(v.links) && v.links[i].lifecycle.digests.over(end, v.now)
}

// reportAbsent reports a digest that must have existed and is not there.
func (v *verifier) reportAbsent(key string, end time.Time, format string, args ...any) {
	if v.digestExpired(end) {
		v.notices.add(DigestExpired, key, "the digest has expired")
		return
	}
	v.findings.add(DigestMissing, key, format, args...)
}
