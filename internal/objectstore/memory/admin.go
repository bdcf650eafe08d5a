package memory

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/trail-operator/trail-operator/internal/objectstore"
)

// settings are those of the bucket.
type settings struct {
	versioning objectstore.Versioning
	encryption objectstore.DefaultEncryption
	lock       objectstore.ObjectLock
	lifecycle  []objectstore.LifecycleRule
	tags       map[string]string
	policy     string
}

// protect gives the object the encryption and the retention that were asked
// for, or else those of the bucket. s.mu is held.
func (s *Store) protect(stored *Object, o objectstore.PutOptions, f Fault) error {
	if err := o.Check(); err != nil {
		return err
	}
	stored.Encryption = s.encryption.Encryption
	if o.Encryption.Type != objectstore.EncryptionNone {
		stored.Encryption = o.Encryption
	}
	if d := s.lock.Default; d.Mode != objectstore.RetentionNone {
		stored.Retention = objectstore.Retention{Mode: d.Mode, Until: s.clock.Now().AddDate(d.Years, 0, d.Days)}
	}
	if o.Retention.Mode != objectstore.RetentionNone {
		if !s.lock.Enabled && !f.IgnoreRetention {
			return &objectstore.Error{Op: objectstore.OpPut, Code: "InvalidRequest", Status: 400, Err: objectstore.ErrBucketState}
		}
		stored.Retention = o.Retention
	}
	if f.IgnoreEncryption {
		stored.Encryption = objectstore.Encryption{}
	}
	if f.IgnoreRetention {
		stored.Retention = objectstore.Retention{}
	}
	return nil
}

// setting carries out an operation on a bucket that exists. s.mu is held in do.
func (s *Store) setting(ctx context.Context, op objectstore.Op, do func(*settings) error) error {
	return s.call(ctx, op, "", func(f Fault) error {
		s.mu.Lock()
		defer s.mu.Unlock()
		if !s.bucket {
			return objectstore.ErrNoBucket
		}
		changed := s.settings
		if err := do(&changed); err != nil {
			return err
		}
		if !f.IgnoreSetting {
			s.settings = changed
		}
		return nil
	})
}

// CreateLockedBucket implements objectstore.Admin.
func (s *Store) CreateLockedBucket(ctx context.Context) error {
	return s.call(ctx, objectstore.OpCreateBucket, "", func(f Fault) error {
		s.mu.Lock()
		defer s.mu.Unlock()
		if !s.bucket && !f.IgnoreSetting {
			s.versioning, s.lock.Enabled = objectstore.VersioningEnabled, true
		}
		s.bucket = true
		return nil
	})
}

// Versioning implements objectstore.Admin.
func (s *Store) Versioning(ctx context.Context) (v objectstore.Versioning, err error) {
	err = s.setting(ctx, objectstore.OpGetVersioning, func(b *settings) error {
		v = b.versioning
		return nil
	})
	return v, err
}

// SetVersioning implements objectstore.Admin.
func (s *Store) SetVersioning(ctx context.Context, v objectstore.Versioning) error {
	return s.setting(ctx, objectstore.OpSetVersioning, func(b *settings) error {
		switch {
		case v != objectstore.VersioningEnabled && v != objectstore.VersioningSuspended:
			return fmt.Errorf("versioning is neither %s nor %s", objectstore.VersioningEnabled, objectstore.VersioningSuspended)
		case v == objectstore.VersioningSuspended && b.lock.Enabled:
			return objectstore.ErrBucketState
		}
		b.versioning = v
		return nil
	})
}

// DefaultEncryption implements objectstore.Admin.
func (s *Store) DefaultEncryption(ctx context.Context) (e objectstore.DefaultEncryption, err error) {
	err = s.setting(ctx, objectstore.OpGetEncryption, func(b *settings) error {
		e = b.encryption
		return nil
	})
	return e, err
}

// SetDefaultEncryption implements objectstore.Admin.
func (s *Store) SetDefaultEncryption(ctx context.Context, e objectstore.DefaultEncryption) error {
	return s.setting(ctx, objectstore.OpSetEncryption, func(b *settings) error {
		b.encryption = e
		return e.Check()
	})
}

// ObjectLock implements objectstore.Admin.
func (s *Store) ObjectLock(ctx context.Context) (l objectstore.ObjectLock, err error) {
	err = s.setting(ctx, objectstore.OpGetObjectLock, func(b *settings) error {
		l = b.lock
		return nil
	})
	return l, err
}

// SetDefaultRetention implements objectstore.Admin.
func (s *Store) SetDefaultRetention(ctx context.Context, r objectstore.DefaultRetention) error {
	return s.setting(ctx, objectstore.OpSetObjectLock, func(b *settings) error {
		if err := r.Check(); err != nil {
			return err
		}
		if b.versioning != objectstore.VersioningEnabled {
			return objectstore.ErrBucketState
		}
		b.lock = objectstore.ObjectLock{Enabled: true, Default: r}
		return nil
	})
}

// Lifecycle implements objectstore.Admin.
func (s *Store) Lifecycle(ctx context.Context) (rules []objectstore.LifecycleRule, err error) {
	err = s.setting(ctx, objectstore.OpGetLifecycle, func(b *settings) error {
		rules = slices.Clone(b.lifecycle)
		return nil
	})
	return rules, err
}

// SetLifecycle implements objectstore.Admin.
func (s *Store) SetLifecycle(ctx context.Context, owner string, rules []objectstore.LifecycleRule) error {
	if err := objectstore.CheckLifecycle(owner, rules); err != nil {
		return wrap(objectstore.OpSetLifecycle, err)
	}
	before, err := s.Lifecycle(ctx)
	if err != nil {
		return err
	}
	merged := slices.DeleteFunc(slices.Clone(before), func(r objectstore.LifecycleRule) bool { return strings.HasPrefix(r.ID, owner) })
	merged = append(merged, rules...)
	if slices.Equal(before, merged) {
		return nil
	}
	err = s.setting(ctx, objectstore.OpSetLifecycle, func(b *settings) error {
		b.lifecycle = merged
		return nil
	})
	if err != nil {
		return err
	}
	after, err := s.Lifecycle(ctx)
	if err == nil && !slices.Equal(after, merged) {
		err = wrap(objectstore.OpSetLifecycle, objectstore.ErrChanged)
	}
	return err
}

// AddLifecycle adds a rule of somebody else, which may be one that cannot be
// set with SetLifecycle.
func (s *Store) AddLifecycle(r objectstore.LifecycleRule) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lifecycle = append(slices.Clip(s.lifecycle), r)
}

// Tags implements objectstore.Admin.
func (s *Store) Tags(ctx context.Context) (tags map[string]string, err error) {
	err = s.setting(ctx, objectstore.OpGetTags, func(b *settings) error {
		tags = maps.Clone(b.tags)
		return nil
	})
	return tags, err
}

// SetTags implements objectstore.Admin.
func (s *Store) SetTags(ctx context.Context, set map[string]string, remove []string) error {
	before, err := s.Tags(ctx)
	if err != nil {
		return err
	}
	merged, err := objectstore.MergeTags(before, set, remove)
	if err != nil || maps.Equal(before, merged) {
		return wrap(objectstore.OpSetTags, err)
	}
	err = s.setting(ctx, objectstore.OpSetTags, func(b *settings) error {
		b.tags = merged
		return nil
	})
	if err != nil {
		return err
	}
	after, err := s.Tags(ctx)
	if err == nil && !maps.Equal(after, merged) {
		err = wrap(objectstore.OpSetTags, objectstore.ErrChanged)
	}
	return err
}

// Policy implements objectstore.Admin.
func (s *Store) Policy(ctx context.Context) (policy string, err error) {
	err = s.setting(ctx, objectstore.OpGetPolicy, func(b *settings) error {
		policy = b.policy
		return nil
	})
	return policy, err
}

// SetPolicy implements objectstore.Admin.
func (s *Store) SetPolicy(ctx context.Context, policy string) error {
	if err := objectstore.CheckPolicy(policy); err != nil {
		return wrap(objectstore.OpSetPolicy, err)
	}
	return s.setting(ctx, objectstore.OpSetPolicy, func(b *settings) error {
		b.policy = policy
		return nil
	})
}
