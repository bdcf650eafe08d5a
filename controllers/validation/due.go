package validation

import (
	"cmp"
	"hash/fnv"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/trail-operator/trail-operator/api/v1alpha1"
	"github.com/trail-operator/trail-operator/internal/cron"
	"github.com/trail-operator/trail-operator/internal/record"
)

const (
	// spread is the time over which trails with the same schedule are started.
	spread = 10 * time.Minute
	// least is the time between the starts of two validations of a trail by its
	// schedule, leastByHand that between two by the annotation.
	least       = 30 * time.Minute
	leastByHand = time.Minute
	// retry is when one that could not be carried out is tried again, unless the
	// schedule is sooner.
	retry = time.Hour
	// fullInterval is the time between two full validations.
	fullInterval = 7 * 24 * time.Hour
)

// wanted reports whether the trail is to be validated now and then.
func wanted(t *v1alpha1.Trail) bool {
	return t.IsValidated() && !t.Spec.Suspend && t.DeletionTimestamp.IsZero()
}

// settings is a hash of what decides how a trail is validated. A Job with
// another one is of no use any more.
func settings(t *v1alpha1.Trail) string {
	d := t.Spec.Destination
	return record.HexSHA256(record.MustJSON([]any{
		d.Endpoint, d.Bucket, d.RegionOrDefault(), t.Prefix(), d.CA, d.AddressingStyle, d.CredentialsSecret(),
		t.Spec.LogFileValidation.CredentialsSecretRef, t.Spec.LogFileValidation.Lookback(),
	}))
}

// maxTrigger bounds what is kept of the annotation's value.
const maxTrigger = 64

// trigger is the value of the annotation, in short.
func trigger(t *v1alpha1.Trail) string {
	v := t.Annotations[v1alpha1.AnnotationValidateNow]
	if len(v) > maxTrigger {
		return record.HexSHA256([]byte(v))
	}
	return strings.ToValidUTF8(v, "?")
}

// dueTime is when the trail is next to be validated; zero is never. last is the
// start of the last validation, zero for none.
func dueTime(t *v1alpha1.Trail, last time.Time) time.Time {
	if !wanted(t) || t.Status.Head == nil {
		return time.Time{}
	}
	first := last.IsZero()
	var due time.Time
	schedule, err := cron.Parse(t.Spec.LogFileValidation.Schedule)
	switch next := schedule.Next(last); {
	case t.Spec.LogFileValidation.Schedule == "" || err != nil || next.IsZero():
	case first:
		due = t.CreationTimestamp.Time // the first digest is what it waited for
	default:
		due = later(next, last.Add(least))
		if v := t.Status.LastValidation; v != nil && v.Result == v1alpha1.ValidationFailed {
			due = sooner(due, last.Add(retry))
		}
		due = due.Add(offset(t.UID))
	}
	var done string
	if v := t.Status.LastValidation; v != nil {
		done = v.Trigger
	}
	if asked := trigger(t); asked != "" && asked != done {
		now := t.CreationTimestamp.Time
		if !first {
			now = last.Add(leastByHand)
		}
		due = sooner(due, now)
	}
	return due.UTC()
}

// sooner returns the earlier of two times, of which zero is never.
func sooner(a, b time.Time) time.Time {
	if a.IsZero() || b.Before(a) {
		return b
	}
	return a
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// offset spreads trails by their UID.
func offset(uid types.UID) time.Duration {
	h := fnv.New32a()
	h.Write([]byte(uid))
	return time.Duration(h.Sum32()%uint32(spread/time.Second)) * time.Second
}

// lastStart is when the last validation was started, as far as it is known.
func (s *Scheduler) lastStart(t *v1alpha1.Trail) time.Time {
	last := s.ended[t.UID]
	if v := t.Status.LastValidation; v != nil && v.StartTime != nil && v.StartTime.After(last) {
		last = v.StartTime.Time
	}
	return last
}

// due returns the trails that are due, the longest first.
func (s *Scheduler) due(trails, running map[types.UID]candidate, now time.Time) []candidate {
	var list []candidate
	since := map[types.UID]time.Time{}
	for uid, t := range trails {
		if _, busy := running[uid]; busy {
			continue
		}
		if _, tried := s.tried[uid]; tried { // however often its settings change, or the API server refuses
			continue
		}
		if at := dueTime(t.Trail, s.lastStart(t.Trail)); !at.IsZero() && !at.After(now) {
			list = append(list, t)
			since[uid] = at
		}
	}
	slices.SortFunc(list, func(a, b candidate) int {
		return cmp.Or(since[a.UID].Compare(since[b.UID]), cmp.Compare(a.UID, b.UID))
	})
	return list
}
