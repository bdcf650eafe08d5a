package bucket

import (
	"context"
	"errors"
	"slices"

	"github.com/trail-operator/trail-operator/internal/objectstore"
	"github.com/trail-operator/trail-operator/internal/record"
)

// Outcome is how a bucket is, after what was to be set was set.
type Outcome struct {
	// Changed says what was set, Drift what differs all the same, in sentences.
	Changed, Drift []string
	// Unsupported are the features that the server does not have, or accepts
	// and does not keep.
	Unsupported []Feature
	// Missing are protections that the bucket is without, see Desired.missing.
	Missing []Feature
	// InForce are the rules for the trail's objects.
	InForce []record.LifecycleRule
}

// Manage sets what differs, and reads it back. The error is that of the call
// that failed; what was set before it stays.
func Manage(ctx context.Context, a objectstore.Admin, d Desired) (Outcome, error) {
	before, err := d.observe(ctx, a)
	if err != nil {
		return Outcome{}, err
	}
	if before.denial != nil {
		return Outcome{}, before.denial
	}
	out := Outcome{Unsupported: before.Lacks, Missing: d.missing(before, true)}
	if len(out.Missing) > 0 {
		return out, nil // nothing is changed of a bucket that cannot be used
	}
	changes := d.changes(before)
	for _, c := range changes {
		left, err := d.set(ctx, a, c.Feature, before)
		if err != nil {
			return Outcome{}, err
		}
		out.Unsupported = append(out.Unsupported, left...)
	}
	after := before
	if len(changes) > 0 {
		if after, err = d.observe(ctx, a); err != nil {
			return Outcome{}, err
		}
	}
	for _, c := range d.Without(out.Unsupported...).changes(after) {
		if !slices.Contains(out.Unsupported, c.Feature) {
			out.Unsupported = append(out.Unsupported, c.Feature) // it was accepted, and not kept
		}
	}
	var remains []string
	for _, c := range d.changes(after) {
		remains = append(remains, c.Drift...)
	}
	for _, c := range changes {
		for _, sentence := range c.Drift {
			if !slices.Contains(remains, sentence) && !slices.Contains(out.Unsupported, c.Feature) {
				out.Changed = append(out.Changed, sentence)
			}
		}
	}
	out.finish(d, after)
	return out, nil
}

// Inspect says what Manage would set.
func Inspect(ctx context.Context, a objectstore.Admin, d Desired) (Outcome, error) {
	o, err := d.observe(ctx, a)
	if err != nil {
		return Outcome{}, err
	}
	out := Outcome{Unsupported: o.Lacks, Missing: d.missing(o, false)}
	for _, f := range o.Denied {
		if f.Protects() {
			return Outcome{}, o.denial // it may be missing
		}
		out.Drift = append(out.Drift, "The credentials may not read what the bucket has of "+string(f)+".")
	}
	for _, c := range d.changes(o) {
		out.Drift = append(out.Drift, c.Drift...)
	}
	out.finish(d, o)
	return out, nil
}

func (out *Outcome) finish(d Desired, o observed) {
	out.Drift = append(out.Drift, d.conflicts(o)...)
	slices.Sort(out.Unsupported)
	out.Unsupported = slices.Compact(out.Unsupported)
	out.InForce = inForce(o.Rules, d.Owner, d.places)
}

// set makes one setting. It returns the features that the server does not have.
func (d Desired) set(ctx context.Context, a objectstore.Admin, f Feature, o observed) (left []Feature, err error) {
	switch f {
	case Versioning:
		err = a.SetVersioning(ctx, objectstore.VersioningEnabled)
	case Encryption:
		err = a.SetDefaultEncryption(ctx, objectstore.DefaultEncryption{Encryption: d.Encryption, BucketKey: o.Encryption.BucketKey})
	case ObjectLock:
		err = a.SetDefaultRetention(ctx, raise(o.Lock.Default, d.Retention))
	case Lifecycle:
		return d.setLifecycle(ctx, a)
	case Tags:
		err = a.SetTags(ctx, d.Tags, nil)
	}
	if errors.Is(err, objectstore.ErrNotImplemented) {
		return []Feature{f}, nil
	}
	return nil, err
}

// raise returns a default that is neither less than r nor than asked.
func raise(r, asked objectstore.DefaultRetention) objectstore.DefaultRetention {
	if days := r.Days + 365*r.Years; days > asked.Days {
		asked.Days = days
	}
	if r.Mode == objectstore.RetentionCompliance {
		asked.Mode = r.Mode
	}
	return asked
}
