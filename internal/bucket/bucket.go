// Package bucket says what a trail wants of its bucket, finds what differs, and
// brings the one nearer to the other through objectstore.Admin. What it sets is
// never less than what is there for others: their lifecycle rules stay, and
// settings of the whole bucket are only ever raised.
package bucket

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"

	"github.com/trail-operator/trail-operator/api/v1alpha1"
	"github.com/trail-operator/trail-operator/internal/objectstore"
	"github.com/trail-operator/trail-operator/internal/record"
)

// Feature is something of a bucket that not every server has, by the name of
// its field in a destination.
type Feature string

// The features, in the order in which they are set.
const (
	Versioning   Feature = "versioning"
	Encryption   Feature = "encryption"
	ObjectLock   Feature = "objectLock"
	Lifecycle    Feature = "lifecycle"
	Transitions  Feature = "lifecycle.transitions"
	AbortUploads Feature = "lifecycle.abortIncompleteUploadAfterDays"
	Tags         Feature = "tags"
)

// Protects reports whether records are less safe without the feature.
func (f Feature) Protects() bool { return f == Versioning || f == Encryption || f == ObjectLock }

// Trail is whose objects a bucket holds.
type Trail struct {
	Installation string // its UID
	ARN          string
	Layout       record.Layout
}

// owner begins the IDs of the trail's lifecycle rules. A trail that is created
// again under its name finds its rules again; no owner begins another one.
func (t Trail) owner() string {
	sum := sha256.Sum256([]byte(t.Installation + "\n" + t.ARN))
	name := t.ARN[strings.LastIndexByte(t.ARN, '/')+1:]
	return "trail-operator/" + name + "/" + hex.EncodeToString(sum[:8]) + "/"
}

// places are the prefixes of the trail's objects.
type places struct {
	logs, digests, keys, owner, root string
}

func (t Trail) places() places {
	region := t.Layout.Region + "/"
	return places{
		logs: strings.TrimSuffix(t.Layout.LogFiles(), region), digests: strings.TrimSuffix(t.Layout.Digests(), region),
		keys: t.Layout.DigestKeys(), owner: t.Layout.Owner(), root: t.Layout.Place(),
	}
}

// Desired is what a trail wants of its bucket.
type Desired struct {
	Owner      string // of the lifecycle rules
	Versioning bool
	Encryption objectstore.Encryption
	Retention  objectstore.DefaultRetention
	Rules      []objectstore.LifecycleRule
	Tags       map[string]string
	// HadRules: rules were set that may not be asked for any more. They must be
	// seen to go.
	HadRules bool

	places places
	// without are the features that are left alone.
	without []Feature
}

// Want returns what d asks for, after was had been set; nil is nothing.
func Want(d v1alpha1.Destination, t Trail, was *v1alpha1.BucketStatus) Desired {
	want := Desired{
		Owner:      t.owner(),
		Versioning: d.Versioning == v1alpha1.VersioningEnabled,
		Encryption: EncryptionOf(d),
		Retention:  RetentionOf(d),
		HadRules:   was != nil && was.ExpireAfterDays+was.DigestExpireAfterDays+was.NoncurrentExpireAfterDays > 0,
		places:     t.places(),
	}
	if d.Lifecycle != nil {
		want.Rules = rules(want.Owner, *d.Lifecycle, want.places)
	}
	for _, tag := range d.Tags {
		if want.Tags == nil {
			want.Tags = map[string]string{}
		}
		want.Tags[tag.Key] = tag.Value
	}
	return want
}

// EncryptionOf is the encryption that d asks for, of each object.
func EncryptionOf(d v1alpha1.Destination) objectstore.Encryption {
	if d.Encryption == nil {
		return objectstore.Encryption{}
	}
	types := map[v1alpha1.EncryptionType]objectstore.EncryptionType{
		v1alpha1.EncryptionS3: objectstore.EncryptionS3, v1alpha1.EncryptionKMS: objectstore.EncryptionKMS,
	}
	return objectstore.Encryption{Type: types[d.Encryption.Type], KMSKeyID: d.Encryption.KMSKeyID}
}

// RetentionOf is the retention that d asks for, of each object.
func RetentionOf(d v1alpha1.Destination) objectstore.DefaultRetention {
	if d.ObjectLock == nil {
		return objectstore.DefaultRetention{}
	}
	modes := map[v1alpha1.LockMode]objectstore.RetentionMode{
		v1alpha1.LockGovernance: objectstore.RetentionGovernance, v1alpha1.LockCompliance: objectstore.RetentionCompliance,
	}
	return objectstore.DefaultRetention{Mode: modes[d.ObjectLock.Mode], Days: int(d.ObjectLock.Days)}
}
