package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// TrailStatus is what was observed of a trail. Numbers and times follow with a
// delay of up to a minute; conditions and the head follow at once.
type TrailStatus struct {
	// conditions are Ready, BucketReady, Receiving, Delivering and
	// DigestsCurrent; Validated, if that is asked for; and, only while they are
	// true, Reconciling and Stalled.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// observedGeneration is the generation that the conditions speak of.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// trailARN is the ARN of the trail.
	// +optional
	// +kubebuilder:validation:MaxLength=512
	TrailARN string `json:"trailARN,omitempty"`

	// prefix is the prefix in force: that of the spec, or <namespace>/<name>, or
	// none for an OrganizationTrail.
	// +optional
	// +kubebuilder:validation:MaxLength=200
	Prefix string `json:"prefix,omitempty"`

	// startLoggingTime is when recording was last started.
	// +optional
	StartLoggingTime *metav1.Time `json:"startLoggingTime,omitempty"`

	// stopLoggingTime is when recording was last stopped; absent while the
	// trail records.
	// +optional
	StopLoggingTime *metav1.Time `json:"stopLoggingTime,omitempty"`

	// recordedGeneration is the newest generation whose change stands in the
	// trail as an event of its own: CreateTrail or UpdateTrail.
	// +optional
	RecordedGeneration int64 `json:"recordedGeneration,omitempty"`

	// recordedSelection is the newest selection that the records of the trail
	// tell of. Absent, it is that of a new trail: all management events.
	// +optional
	RecordedSelection *RecordedSelection `json:"recordedSelection,omitempty"`

	// latestDelivery is the newest log file in the bucket.
	// +optional
	LatestDelivery *LatestDelivery `json:"latestDelivery,omitempty"`

	// latestDigest is the newest digest in the bucket.
	// +optional
	LatestDigest *LatestDigest `json:"latestDigest,omitempty"`

	// head names the newest digest of the chain. With it a verifier notices
	// when the newest digests were deleted.
	// +optional
	Head *DigestHead `json:"head,omitempty"`

	// bucket is what was observed of the bucket.
	// +optional
	Bucket *BucketStatus `json:"bucket,omitempty"`

	// counts account for every record:
	// accepted = delivered + selectedOut + pending + quarantined + expired.
	// +optional
	Counts *RecordCounts `json:"counts,omitempty"`

	// expiredFiles are log files that were given up, and that the receiver still
	// keeps: `kubectl trail redeliver` has them delivered.
	// +optional
	ExpiredFiles int64 `json:"expiredFiles,omitempty"`

	// deliveredBytesPerDay are the compressed bytes that reached the bucket in
	// the last 24 hours.
	// +optional
	DeliveredBytesPerDay int64 `json:"deliveredBytesPerDay,omitempty"`

	// lastValidation is the last validation that has ended.
	// +optional
	LastValidation *LastValidation `json:"lastValidation,omitempty"`

	// validated is how far everything was found valid.
	// +optional
	Validated *ValidatedUntil `json:"validated,omitempty"`
}

// RecordedSelection is a selection that stands in the trail as an event of its
// own: PutEventSelectors.
type RecordedSelection struct {
	// sha256 is the hex SHA-256 of the selection.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	SHA256 string `json:"sha256,omitempty"`

	// changes is the number of events PutEventSelectors so far. It tells a
	// selection from the same one earlier.
	// +optional
	Changes int64 `json:"changes,omitempty"`
}

// LatestDelivery is the newest log file that the bucket confirmed.
type LatestDelivery struct {
	// time of the confirmation.
	// +optional
	Time *metav1.Time `json:"time,omitempty"`

	// attemptTime is when a log file was last sent. It is later than time while
	// deliveries fail.
	// +optional
	AttemptTime *metav1.Time `json:"attemptTime,omitempty"`

	// key of the object.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Key string `json:"key,omitempty"`

	// error is the S3 error code of the present failure; empty when deliveries succeed.
	// +optional
	// +kubebuilder:validation:MaxLength=128
	Error string `json:"error,omitempty"`
}

// LatestDigest is the newest digest that the bucket confirmed.
type LatestDigest struct {
	// time of the confirmation.
	// +optional
	Time *metav1.Time `json:"time,omitempty"`

	// error is the S3 error code of the present failure; empty when deliveries succeed.
	// +optional
	// +kubebuilder:validation:MaxLength=128
	Error string `json:"error,omitempty"`
}

// DigestHead names the newest digest of a trail.
type DigestHead struct {
	// trailARN is the ARN of the trail.
	// +optional
	// +kubebuilder:validation:MaxLength=512
	TrailARN string `json:"trailARN,omitempty"`

	// chainID names the chain of digests.
	// +optional
	// +kubebuilder:validation:MaxLength=128
	ChainID string `json:"chainID,omitempty"`

	// sequence is the number of the digest in its chain, from 1.
	// +optional
	Sequence int64 `json:"sequence,omitempty"`

	// s3Bucket is the bucket of the digest.
	// +optional
	// +kubebuilder:validation:MaxLength=63
	S3Bucket string `json:"s3Bucket,omitempty"`

	// s3Object is the key of the digest.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	S3Object string `json:"s3Object,omitempty"`

	// hashValue is the hex SHA-256 of the digest file, uncompressed.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	HashValue string `json:"hashValue,omitempty"`

	// signature is that of the digest, in hex.
	// +optional
	// +kubebuilder:validation:MaxLength=2048
	Signature string `json:"signature,omitempty"`

	// endTime is the end of the digest's window, such as 2026-01-02T03:00:00Z.
	// +optional
	// +kubebuilder:validation:MaxLength=32
	EndTime string `json:"endTime,omitempty"`

	// final marks the last digest of a chain.
	// +optional
	Final bool `json:"final,omitempty"`

	// publicKeyFingerprint is CloudTrail's fingerprint of the signing key.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	PublicKeyFingerprint string `json:"publicKeyFingerprint,omitempty"`

	// publicKeySHA256 is the hex SHA-256 of the public key's DER, as
	// `validate-logs --trust` takes it.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	PublicKeySHA256 string `json:"publicKeySHA256,omitempty"`
}

// BucketStatus is what was observed of the bucket, and what was set.
type BucketStatus struct {
	// drift are the settings in which the bucket differs from the spec, each in
	// a sentence.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=20
	// +kubebuilder:validation:items:MaxLength=1024
	Drift []string `json:"drift,omitempty"`

	// unsupported are the features that the spec asks for and the server lacks.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=20
	// +kubebuilder:validation:items:MaxLength=64
	Unsupported []string `json:"unsupported,omitempty"`

	// expireAfterDays is the age at which log files are deleted, as it was last
	// set; empty for never.
	// +optional
	ExpireAfterDays int32 `json:"expireAfterDays,omitempty"`

	// digestExpireAfterDays is the age at which digests are deleted, as it was
	// last set; empty for never.
	// +optional
	DigestExpireAfterDays int32 `json:"digestExpireAfterDays,omitempty"`

	// noncurrentExpireAfterDays is the age at which replaced versions are
	// deleted, as it was last set; empty for never.
	// +optional
	NoncurrentExpireAfterDays int32 `json:"noncurrentExpireAfterDays,omitempty"`

	// objectLockDays are the days for which objects are locked, as last used;
	// empty for none.
	// +optional
	ObjectLockDays int32 `json:"objectLockDays,omitempty"`

	// objectLockMode is the mode of the lock as last used.
	// +optional
	ObjectLockMode LockMode `json:"objectLockMode,omitempty"`
}

// RecordCounts account for every record of a trail since it was created.
type RecordCounts struct {
	// accepted records were taken in.
	// +optional
	Accepted int64 `json:"accepted"`

	// delivered records are in a log file that the bucket confirmed.
	// +optional
	Delivered int64 `json:"delivered"`

	// selectedOut records were not selected by the trail.
	// +optional
	SelectedOut int64 `json:"selectedOut"`

	// pending records wait for delivery.
	// +optional
	Pending int64 `json:"pending"`

	// quarantined records could not be read and are kept aside.
	// +optional
	Quarantined int64 `json:"quarantined"`

	// expired records were given up because the bucket stayed away too long.
	// +optional
	Expired int64 `json:"expired"`
}
