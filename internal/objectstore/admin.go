package objectstore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strings"
	"unicode/utf8"
)

// Admin is what is done to a bucket as a whole. Each method returns
// ErrNotImplemented where the server has no such feature, ErrNoBucket where
// there is no bucket (some servers answer a question with "none" then), and the
// other errors of this package. A server that accepts a setting does not always
// keep it: read it back.
type Admin interface {
	// CreateLockedBucket creates the bucket with object lock, and so with
	// versioning. A bucket that exists and is ours is no error, whether it has
	// object lock or not; one that belongs to somebody else is ErrExists.
	CreateLockedBucket(ctx context.Context) error

	// Versioning returns whether the bucket keeps old versions of objects.
	Versioning(ctx context.Context) (Versioning, error)
	// SetVersioning takes VersioningEnabled or VersioningSuspended.
	SetVersioning(ctx context.Context, v Versioning) error

	// DefaultEncryption returns how objects are encrypted whose writers ask for
	// nothing; the zero value when they are not.
	DefaultEncryption(ctx context.Context) (DefaultEncryption, error)
	// SetDefaultEncryption removes the default where its type is EncryptionNone.
	SetDefaultEncryption(ctx context.Context, e DefaultEncryption) error

	// ObjectLock returns the bucket's object lock; the zero value without.
	ObjectLock(ctx context.Context) (ObjectLock, error)
	// SetDefaultRetention sets for how long new objects are retained whose
	// writers ask for nothing; the zero value ends that. On AWS it also gives
	// object lock to a bucket that has versioning and was created without.
	SetDefaultRetention(ctx context.Context, r DefaultRetention) error

	// Lifecycle returns all rules of the bucket in their order, ours and those
	// of others; none is no error.
	Lifecycle(ctx context.Context) ([]LifecycleRule, error)
	// SetLifecycle puts rules in place of those whose ID begins with owner, and
	// carries all others over as they are, with the parts that LifecycleRule
	// does not show. All IDs in rules begin with owner. No rules remove ours. It
	// writes only where that changes something, and reads back what it has
	// written. ErrNotKept: the server dropped parts of our rules. ErrChanged: the
	// rules of others, or all of ours, are not what was written; S3 cannot write
	// the rules of one only, so a concurrent writer may have lost or won.
	SetLifecycle(ctx context.Context, owner string, rules []LifecycleRule) error

	// Tags returns the tags of the bucket; none is no error.
	Tags(ctx context.Context) (map[string]string, error)
	// SetTags sets these tags, removes the ones in remove, and keeps all others.
	// It writes, reads back and fails like SetLifecycle, with ErrChanged.
	SetTags(ctx context.Context, set map[string]string, remove []string) error

	// Policy returns the policy of the bucket, a JSON document; empty is none.
	Policy(ctx context.Context) (string, error)
	// SetPolicy replaces the policy; empty removes it.
	SetPolicy(ctx context.Context, policy string) error
}

// Managed is a bucket that is read, written and looked after.
type Managed interface {
	Store
	Admin
}

// ManagedOpener makes a Managed from a Config. It does not contact the server.
type ManagedOpener func(Config) (Managed, error)

// Versioning is whether a bucket keeps old versions of objects.
type Versioning string

// The states of versioning, by their names in S3.
const (
	VersioningOff       Versioning = "" // never was enabled
	VersioningEnabled   Versioning = "Enabled"
	VersioningSuspended Versioning = "Suspended"
)

// DefaultEncryption encrypts the objects whose writers ask for nothing.
type DefaultEncryption struct {
	Encryption
	// BucketKey saves calls of the KMS on AWS.
	BucketKey bool
}

// ObjectLock is the object lock of a bucket.
type ObjectLock struct {
	Enabled bool
	Default DefaultRetention
}

// DefaultRetention retains the objects whose writers ask for nothing. One of
// Days and Years is set, or the whole is zero.
type DefaultRetention struct {
	Mode  RetentionMode
	Days  int
	Years int
}

// LifecycleRule is what a server does by itself to the objects under a prefix.
// Zero days mean that it does not, except in a transition.
type LifecycleRule struct {
	ID      string
	Prefix  string
	Enabled bool
	// ExpireDays is the age at which objects are deleted; with versioning, they
	// become noncurrent then.
	ExpireDays int
	// NoncurrentExpireDays after it became noncurrent a version is deleted.
	NoncurrentExpireDays int
	// AbortMultipartDays is the age at which unfinished uploads are deleted.
	AbortMultipartDays int
	// TransitionDays is the age at which objects move to StorageClass; without
	// a StorageClass they do not.
	TransitionDays int
	StorageClass   string
	// Partial says that the rule of somebody else has more than is shown here:
	// tags, sizes, dates or more transitions. It cannot be set.
	Partial bool
}

// Bounds of what Admin takes and believes.
const (
	MaxLifecycleRules = 1000 // of S3
	MaxLifecycleDays  = 100 * 365
	MaxTags           = 50       // of S3
	MaxPolicySize     = 20 << 10 // of S3
)

// Check says what is wrong with a retention that somebody wants to set.
func (r DefaultRetention) Check() error {
	switch {
	case r == DefaultRetention{}:
		return nil
	case r.Mode != RetentionGovernance && r.Mode != RetentionCompliance:
		return errors.New("the mode of the default retention is neither GOVERNANCE nor COMPLIANCE")
	case r.Days < 0 || r.Years < 0 || (r.Days == 0) == (r.Years == 0):
		return errors.New("the default retention takes either days or years")
	case r.Days > MaxLifecycleDays || r.Years > MaxLifecycleDays/365:
		return errors.New("the default retention is longer than 100 years")
	}
	return nil
}

// MergeTags returns the tags of a bucket after set and remove, or what is
// wrong with them.
func MergeTags(tags, set map[string]string, remove []string) (map[string]string, error) {
	merged := make(map[string]string, len(tags)+len(set))
	maps.Copy(merged, tags)
	for _, k := range remove {
		delete(merged, k)
	}
	maps.Copy(merged, set)
	if len(merged) > MaxTags {
		return nil, fmt.Errorf("a bucket has at most %d tags", MaxTags)
	}
	for k, v := range set {
		if k == "" || len(k) > 128*utf8.UTFMax || len(v) > 256*utf8.UTFMax || !utf8.ValidString(k+v) {
			return nil, errors.New("a tag has no key, or its key is longer than 128 characters or its value than 256")
		}
	}
	return merged, nil
}

// CheckPolicy says what is wrong with a policy that somebody wants to set.
func CheckPolicy(policy string) error {
	switch {
	case len(policy) > MaxPolicySize:
		return fmt.Errorf("the policy is longer than %d bytes", MaxPolicySize)
	case policy != "" && !json.Valid([]byte(policy)):
		return errors.New("the policy is not JSON")
	}
	return nil
}

// CheckLifecycle says what is wrong with rules that owner wants to set.
func CheckLifecycle(owner string, rules []LifecycleRule) error {
	if owner == "" {
		return errors.New("the owner of lifecycle rules is missing")
	}
	if len(rules) > MaxLifecycleRules {
		return fmt.Errorf("there are more than %d lifecycle rules", MaxLifecycleRules)
	}
	seen := make(map[string]bool, len(rules))
	for _, r := range rules {
		switch {
		case !strings.HasPrefix(r.ID, owner) || len(r.ID) > 255:
			return fmt.Errorf("the ID of a lifecycle rule does not begin with %q or is longer than 255 bytes", owner)
		case seen[r.ID]:
			return errors.New("two lifecycle rules have one ID")
		case r.Partial:
			return errors.New("a lifecycle rule of somebody else cannot be set")
		case r.TransitionDays != 0 && r.StorageClass == "":
			return errors.New("a lifecycle rule moves objects to no storage class")
		case r.ExpireDays == 0 && r.NoncurrentExpireDays == 0 && r.AbortMultipartDays == 0 && r.StorageClass == "":
			return errors.New("a lifecycle rule does nothing")
		}
		for _, days := range []int{r.ExpireDays, r.NoncurrentExpireDays, r.AbortMultipartDays, r.TransitionDays} {
			if days < 0 || days > MaxLifecycleDays {
				return fmt.Errorf("the days of a lifecycle rule are not within 0 and %d", MaxLifecycleDays)
			}
		}
		seen[r.ID] = true
	}
	return nil
}
