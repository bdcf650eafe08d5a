package bucket

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/trail-operator/trail-operator/internal/objectstore"
)

// change is one setting that is to be made.
type change struct {
	Feature Feature
	// Drift says what differs, in sentences.
	Drift []string
}

// changes are what has to be set, in order, so that the bucket is as wanted. An
// object lock that the bucket was not created with is not among them: see
// missing.
func (d Desired) changes(o observed) []change {
	d = d.Without(o.unknown()...)
	var list []change
	add := func(f Feature, drift ...string) { list = append(list, change{f, drift}) }
	if d.Versioning && o.Versioning != objectstore.VersioningEnabled {
		add(Versioning, "The bucket does not keep versions of objects, as versioning asks for.")
	}
	if !o.Encryption.Meets(d.Encryption) && !d.otherKey(o) {
		add(Encryption, "The bucket's default encryption is less than encryption asks for.")
	}
	if o.Lock.Enabled && !atLeast(o.Lock.Default, d.Retention) {
		add(ObjectLock, "The bucket's default retention is less than objectLock asks for.")
	}
	if drift := d.ruleDrift(o.Rules); len(drift) > 0 && !slices.Contains(d.without, Lifecycle) {
		add(Lifecycle, drift...)
	}
	var tags []string
	for _, k := range slices.Sorted(maps.Keys(d.Tags)) {
		if v, ok := o.Tags[k]; !ok || v != d.Tags[k] {
			tags = append(tags, fmt.Sprintf("The tag %q of the bucket is missing or has another value.", k))
		}
	}
	if len(tags) > 0 {
		add(Tags, tags...)
	}
	return list
}

// otherKey: the bucket's default key is another one. It may be that of others,
// and is left: each object of the trail names its key by itself.
func (d Desired) otherKey(o observed) bool {
	return !o.Encryption.Meets(d.Encryption) && o.Encryption.Meets(objectstore.Encryption{Type: objectstore.EncryptionKMS})
}

// atLeast reports whether a retention protects no less than asked. The default
// of a bucket is only ever raised: it is there for all who write to the bucket,
// and each object of the trail has its own retention.
func atLeast(r, asked objectstore.DefaultRetention) bool {
	if asked == (objectstore.DefaultRetention{}) {
		return true
	}
	return (r.Mode == asked.Mode || r.Mode == objectstore.RetentionCompliance) && r.Days+365*r.Years >= asked.Days
}

func (d Desired) ruleDrift(all []objectstore.LifecycleRule) []string {
	var drift []string
	say := func(r objectstore.LifecycleRule, what string) {
		drift = append(drift, fmt.Sprintf("The lifecycle rule %s of this trail %s.", shown(strings.TrimPrefix(r.ID, d.Owner)), what))
	}
	ours, _ := own(all, d.Owner)
	for _, want := range d.Rules {
		i := slices.IndexFunc(ours, func(r objectstore.LifecycleRule) bool { return r.ID == want.ID })
		switch {
		case i < 0:
			say(want, "is missing")
		case ours[i] != want:
			say(want, "was changed")
		}
	}
	for _, have := range ours {
		if !slices.ContainsFunc(d.Rules, func(r objectstore.LifecycleRule) bool { return r.ID == have.ID }) {
			say(have, "is not asked for")
		}
	}
	return drift
}

// missing are the protections that are asked for, that the bucket is without,
// and that nobody can give it any more or, where the bucket is only observed,
// that are not the operator's to give.
func (d Desired) missing(o observed, managed bool) []Feature {
	var list []Feature
	if d.Versioning && o.Versioning != objectstore.VersioningEnabled && !managed && !slices.Contains(o.unknown(), Versioning) {
		list = append(list, Versioning)
	}
	if d.Retention != (objectstore.DefaultRetention{}) && !o.Lock.Enabled && !slices.Contains(o.unknown(), ObjectLock) {
		list = append(list, ObjectLock)
	}
	return list
}

// conflicts says what others have set that works against the trail, and that
// the operator does not change: it is theirs.
func (d Desired) conflicts(o observed) []string {
	var list []string
	if d.otherKey(o) && !slices.Contains(o.unknown(), Encryption) {
		list = append(list, "The bucket's default encryption uses another key than encryption.kmsKeyID. It is left to those who set it; each object of this trail names its own key.")
	}
	_, others := own(o.Rules, d.Owner)
	for _, r := range others {
		if r.Enabled {
			list = append(list, d.against(r)...)
		}
	}
	return list
}

// against says what a rule of somebody else does to the objects of the trail.
func (d Desired) against(r objectstore.LifecycleRule) []string {
	days := func(id string) (expire, noncurrent int) {
		for _, own := range d.Rules {
			if own.ID == d.Owner+id {
				return own.ExpireDays, own.NoncurrentExpireDays
			}
		}
		return 0, 0
	}
	// What r does, as far as it is shown: the rest can only narrow it.
	sooner := func(days, ours int) bool { return days > 0 && (ours == 0 || days < ours) }
	whose := "of somebody else"
	if strings.HasPrefix(r.ID, "trail-operator/") {
		whose = "of another trail"
	}
	var list []string
	say := func(format string, args ...any) {
		list = append(list, fmt.Sprintf("The lifecycle rule %s %s ", shown(r.ID), whose)+fmt.Sprintf(format, args...))
	}
	for _, kind := range []struct{ name, prefix, id string }{
		{"log files", d.places.logs, logRule}, {"digests", d.places.digests, digestRule},
	} {
		if !overlap(r.Prefix, kind.prefix) {
			continue
		}
		expire, noncurrent := days(kind.id)
		if sooner(r.ExpireDays, expire) {
			say("deletes %s of this trail after %d days, sooner than asked for. Narrow its prefix, or remove it.", kind.name, r.ExpireDays)
		}
		if sooner(r.NoncurrentExpireDays, noncurrent) && (d.Versioning || noncurrent > 0 || d.Retention.Days > 0) {
			say("deletes old versions of %s of this trail after %d days, sooner than asked for. Narrow its prefix, or remove it.", kind.name, r.NoncurrentExpireDays)
		}
		if r.StorageClass != "" && kind.id == digestRule {
			say("moves digests of this trail to another storage class, where they may not be readable at once. Narrow its prefix, or remove it.")
		}
	}
	if r.ExpireDays > 0 && (overlap(r.Prefix, d.places.keys) || overlap(r.Prefix, d.places.owner)) {
		say("deletes the public keys of the digests, or the object that claims the prefix. Narrow its prefix, or remove it.")
	}
	if r.Partial && len(list) == 0 && overlap(r.Prefix, d.places.root) {
		say("has conditions or dates that are not understood, and may concern objects of this trail. Check it.")
	}
	return list
}

// overlap reports whether a rule for prefix a concerns an object below b.
func overlap(a, b string) bool { return strings.HasPrefix(a, b) || strings.HasPrefix(b, a) }

// shown is the ID of a rule, which anybody can have chosen, for a sentence.
func shown(id string) string {
	const most = 80
	clean := strings.Map(func(c rune) rune {
		if c > ' ' && c < 0x7f && c != '"' {
			return c
		}
		return '_'
	}, id)
	if len(clean) > most {
		clean = clean[:most] + "..."
	}
	return `"` + clean + `"`
}
