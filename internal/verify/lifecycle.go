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
		if r.ExpireDays < 0 || r.ExpireDays > maxDays || len(r.Objects) > maxField || len(r.StorageClass) > maxField {
			return errors.New("one of its lifecycle rules is out of bounds")
		}
	}
	return nil
}

// age is the number of days after which a bucket deletes objects; 0 = never.
type age int32

// over tells whether what was delivered until end has reached the age.
func (a age) over(end, now time.Time) bool {
	return a > 0 && now.After(end.Add(time.Duration(a)*24*time.Hour))
}

func (a age) orEarlier(b age) age {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}

// expiry is when the objects of a trail expire.
type expiry struct{ logs, digests age }

// collectRules finds, for each digest, the shortest age at which its objects
// may have expired since: by the rules that it lists, or a later one. Only
// valid digests count, so nobody can excuse a deletion by a rule of his own.
func (v *verifier) collectRules() {
	var e expiry
	for _, l := range slices.Backward(v.links) {
		if l.ok {
			for _, r := range l.d.LifecycleRules {
				switch r.Objects {
				case record.LifecycleLogs:
					e.logs = e.logs.orEarlier(age(r.ExpireDays))
				case record.LifecycleDigests:
					e.digests = e.digests.orEarlier(age(r.ExpireDays))
				}
			}
		}
		l.expiry = e
	}
}

// digestExpired tells whether a digest that ended then may have expired, by the
// rules of those after it.
func (v *verifier) digestExpired(end time.Time) bool {
	i, _ := slices.BinarySearchFunc(v.links, end, func(l *link, t time.Time) int { return l.end.Compare(t) })
	return i < len(v.links) && v.links[i].expiry.digests.over(end, v.now)
}

// reportAbsent reports a digest that must have existed and is not there.
func (v *verifier) reportAbsent(key string, end time.Time, format string, args ...any) {
	if v.digestExpired(end) {
		v.notices.add(DigestExpired, key, "the digest has expired")
		return
	}
	v.findings.add(DigestMissing, key, format, args...)
}
