package bucket

import (
	"context"
	"errors"
	"slices"

	"github.com/trail-operator/trail-operator/internal/objectstore"
)

// observed is what a bucket has of what a trail may want.
type observed struct {
	Versioning objectstore.Versioning
	Encryption objectstore.DefaultEncryption
	Lock       objectstore.ObjectLock
	Rules      []objectstore.LifecycleRule // of everybody
	Tags       map[string]string

	// Lacks are the features that the server does not have, Denied those that
	// the credentials may not look at. Only what is wanted is listed.
	Lacks, Denied []Feature
	// denial is the error of the first in Denied.
	denial error
}

// observe reads what d wants, and the lifecycle rules unless they are left alone:
// those of others may delete what the trail delivers.
func (d Desired) observe(ctx context.Context, a objectstore.Admin) (observed, error) {
	var o observed
	for _, q := range []struct {
		feature Feature
		wanted  bool
		always  bool
		ask     func() error
	}{
		{Versioning, d.Versioning, false, func() (err error) { o.Versioning, err = a.Versioning(ctx); return err }},
		{Encryption, d.Encryption.Type != objectstore.EncryptionNone, false, func() (err error) { o.Encryption, err = a.DefaultEncryption(ctx); return err }},
		{ObjectLock, d.Retention != objectstore.DefaultRetention{}, false, func() (err error) { o.Lock, err = a.ObjectLock(ctx); return err }},
		{Lifecycle, len(d.Rules) > 0 || d.HadRules && !slices.Contains(d.without, Lifecycle), !slices.Contains(d.without, Lifecycle), func() (err error) { o.Rules, err = a.Lifecycle(ctx); return err }},
		{Tags, len(d.Tags) > 0, false, func() (err error) { o.Tags, err = a.Tags(ctx); return err }},
	} {
		if !q.wanted && !q.always {
			continue
		}
		switch err := q.ask(); {
		case err == nil:
		case errors.Is(err, objectstore.ErrNotImplemented):
			if q.wanted {
				o.Lacks = append(o.Lacks, q.feature)
			}
		case errors.Is(err, objectstore.ErrAccessDenied):
			if q.wanted {
				o.Denied = append(o.Denied, q.feature)
				if o.denial == nil {
					o.denial = err
				}
			}
		default:
			return observed{}, err
		}
	}
	return o, nil
}

// unknown are the features about which nothing can be said.
func (o observed) unknown() []Feature { return slices.Concat(o.Lacks, o.Denied) }
