package bucket

import (
	"fmt"
	"strings"

	"github.com/trail-operator/trail-operator/api/v1alpha1"
)

// setting is one of those that say how long records live, with its old and new
// value.
type setting struct {
	name     string
	old, new string
	shorter  bool
	keep     func(*v1alpha1.Destination) // puts the old value into a destination
}

// settings compares what a trail asks for with what was set.
func settings(d v1alpha1.Destination, was v1alpha1.BucketStatus) []setting {
	var l v1alpha1.Lifecycle
	if d.Lifecycle != nil {
		l = *d.Lifecycle
	}
	var lock v1alpha1.ObjectLock
	if d.ObjectLock != nil {
		lock = *d.ObjectLock
	}
	expiry := func(name string, old, asked int32, field func(*v1alpha1.Lifecycle) *int32) setting {
		return setting{
			name: name, old: fmt.Sprint(old), new: fmt.Sprint(asked),
			shorter: asked > 0 && (old == 0 || asked < old),
			keep: func(d *v1alpha1.Destination) {
				if d.Lifecycle == nil {
					d.Lifecycle = &v1alpha1.Lifecycle{}
				}
				*field(d.Lifecycle) = old
			},
		}
	}
	keepLock := func(d *v1alpha1.Destination) {
		d.ObjectLock = &v1alpha1.ObjectLock{Mode: was.ObjectLockMode, Days: was.ObjectLockDays}
		if lock.Mode == v1alpha1.LockCompliance {
			d.ObjectLock.Mode = lock.Mode
		}
		d.ObjectLock.Days = max(d.ObjectLock.Days, lock.Days)
	}
	list := []setting{{
		name: "objectLockDays", old: fmt.Sprint(was.ObjectLockDays), new: fmt.Sprint(lock.Days),
		shorter: lock.Days < was.ObjectLockDays, keep: keepLock,
	}, {
		name: "objectLockMode", old: string(was.ObjectLockMode), new: string(lock.Mode),
		shorter: was.ObjectLockMode == v1alpha1.LockCompliance && lock.Mode == v1alpha1.LockGovernance, keep: keepLock,
	}}
	if d.IsManaged() { // else others decide how long the bucket keeps objects
		list = append(list,
			expiry("expireAfterDays", was.ExpireAfterDays, l.ExpireAfterDays, func(l *v1alpha1.Lifecycle) *int32 { return &l.ExpireAfterDays }),
			expiry("digestExpireAfterDays", was.DigestExpireAfterDays, l.DigestExpireAfterDays, func(l *v1alpha1.Lifecycle) *int32 { return &l.DigestExpireAfterDays }),
			expiry("noncurrentExpireAfterDays", was.NoncurrentExpireAfterDays, l.NoncurrentExpireAfterDays, func(l *v1alpha1.Lifecycle) *int32 { return &l.NoncurrentExpireAfterDays }),
		)
	}
	return list
}

// Shortening is what a spec takes from the life of what is recorded already.
type Shortening struct {
	// Annotation is the value of v1alpha1.AnnotationAllowShortening that allows it.
	Annotation string
	// Says is what becomes shorter, for a sentence.
	Says    string
	Allowed bool
}

// Settle compares d with what was set; nil when nothing ever was, for then there
// is nothing to shorten. It returns the destination to put in force: d, or, as
// long as annotation does not allow all that d shortens, d with the old values.
func Settle(d v1alpha1.Destination, was *v1alpha1.BucketStatus, annotation string) (v1alpha1.Destination, *Shortening) {
	if was == nil {
		return d, nil
	}
	allowed := map[string]bool{}
	for entry := range strings.SplitSeq(annotation, ",") {
		allowed[strings.TrimSpace(entry)] = true
	}
	var needs, says []string
	ok := true
	settled := *d.DeepCopy()
	for _, s := range settings(d, *was) {
		if !s.shorter {
			continue
		}
		entry := s.name + "=" + s.new
		needs = append(needs, entry)
		says = append(says, s.says())
		ok = ok && allowed[entry]
		s.keep(&settled)
	}
	if len(needs) == 0 {
		return d, nil
	}
	s := &Shortening{Annotation: strings.Join(needs, ","), Says: strings.Join(says, ", "), Allowed: ok}
	if ok {
		return d, s
	}
	return settled, s
}

func (s setting) says() string {
	value := func(v string) string {
		if v == "0" || v == "" {
			return "none"
		}
		return v
	}
	return fmt.Sprintf("%s from %s to %s", s.name, value(s.old), value(s.new))
}
