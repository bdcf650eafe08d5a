package v1alpha1

// Destination is a bucket on an S3-compatible server. A bucket and prefix
// belong to one trail for good: for another bucket, create another Trail.
//
// +kubebuilder:validation:XValidation:rule="!has(self.objectLock) || !has(self.lifecycle) || !has(self.lifecycle.expireAfterDays) || self.lifecycle.expireAfterDays >= self.objectLock.days",message="The field lifecycle.expireAfterDays must not be less than objectLock.days: a locked object cannot be deleted."
// +kubebuilder:validation:XValidation:rule="self.bucket == oldSelf.bucket",message="The field bucket cannot be changed: create another Trail for another bucket."
// +kubebuilder:validation:XValidation:rule="has(self.prefix) == has(oldSelf.prefix) && (!has(self.prefix) || self.prefix == oldSelf.prefix)",message="The field prefix cannot be changed: create another Trail for another prefix."
// +kubebuilder:validation:XValidation:rule="has(self.endpoint) == has(oldSelf.endpoint) && (!has(self.endpoint) || self.endpoint == oldSelf.endpoint)",message="The field endpoint cannot be changed: create another Trail for another server."
type Destination struct {
	// endpoint is the server's URL, http or https; empty means AWS in region.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=300
	// +kubebuilder:validation:XValidation:rule="self.matches('^https?://([A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?|[[][0-9A-Fa-f:.]+[]])(:[0-9]{1,5})?$')",message="The endpoint must be http:// or https:// with a host and an optional port, without a path, such as https://s3.example.com:9000."
	Endpoint string `json:"endpoint,omitempty"`

	// bucket is the name of the bucket. It is created when it is missing.
	// +required
	// +kubebuilder:validation:MinLength=3
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9][a-z0-9.-]*[a-z0-9]$') && !self.contains('..')",message="The bucket must be a bucket name: lower-case letters, digits, hyphens and single dots, with a letter or digit at either end."
	Bucket string `json:"bucket"`

	// region is the region of the bucket; empty means us-east-1, which servers
	// without regions accept.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9]+(-[a-z0-9]+)*$')",message="The region must be lower-case letters, digits and single hyphens, such as eu-central-1."
	Region string `json:"region,omitempty"`

	// prefix is put before every object key; empty means <namespace>/<name>.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=200
	// +kubebuilder:validation:XValidation:rule="self.matches('^[A-Za-z0-9_=-][A-Za-z0-9._=-]*(/[A-Za-z0-9_=-][A-Za-z0-9._=-]*)*$')",message="The prefix must be path elements of letters, digits and . _ = - that do not begin with a dot, separated by single slashes, without a slash at either end."
	// +kubebuilder:validation:XValidation:rule="!self.split('/').exists(e, e == 'AWSLogs')",message="The prefix must not contain the element AWSLogs, which begins the keys below it."
	Prefix string `json:"prefix,omitempty"`

	// credentialsSecretRef names the Secret with the credentials that write to
	// the bucket. An OrganizationTrail without it uses the operator's own
	// identity, a Trail only where the installer maps its namespace to the
	// bucket and prefix (tenantDestinations).
	// +optional
	CredentialsSecretRef *CredentialsSecretRef `json:"credentialsSecretRef,omitempty"`

	// ca is a PEM bundle of certificates to trust for the endpoint, besides the
	// public ones.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=65536
	// +kubebuilder:validation:XValidation:rule="self.contains('-----BEGIN CERTIFICATE-----') && !self.contains('PRIVATE KEY')",message="The field ca must hold certificates in PEM, and no private key."
	CA string `json:"ca,omitempty"`

	// addressingStyle: Path puts the bucket's name into the path of each
	// request, Auto (the default) into the host name where the server is known
	// to want that.
	// +optional
	// +kubebuilder:default=Auto
	AddressingStyle AddressingStyle `json:"addressingStyle,omitempty"`

	// managementPolicy: with Manage (the default) the operator creates a missing
	// bucket and sets what the fields below ask for, again when it was changed;
	// with Observe it changes nothing of the bucket and shows what differs.
	// +optional
	// +kubebuilder:default=Manage
	ManagementPolicy ManagementPolicy `json:"managementPolicy,omitempty"`

	// encryption on the server's side, of each object and as the bucket's
	// default; empty leaves it to the bucket.
	// +optional
	Encryption *Encryption `json:"encryption,omitempty"`

	// versioning of the bucket: Enabled, or empty to leave it as it is.
	// +optional
	Versioning Versioning `json:"versioning,omitempty"`

	// objectLock protects each delivered object from change and deletion for
	// some days. A bucket that is created gets object lock; one that exists
	// without it cannot be used.
	// +optional
	ObjectLock *ObjectLock `json:"objectLock,omitempty"`

	// lifecycle rules of the bucket for the objects of this trail; rules of
	// others stay as they are.
	// +optional
	Lifecycle *Lifecycle `json:"lifecycle,omitempty"`

	// tags that the bucket gets, beside those it has.
	// +optional
	// +listType=map
	// +listMapKey=key
	// +kubebuilder:validation:MaxItems=20
	Tags []Tag `json:"tags,omitempty"`
}

// AddressingStyle says where requests name the bucket.
// +kubebuilder:validation:Enum=Auto;Path
type AddressingStyle string

// Values of AddressingStyle.
const (
	AddressingAuto AddressingStyle = "Auto"
	AddressingPath AddressingStyle = "Path"
)

// ManagementPolicy says whether the operator changes the bucket.
// +kubebuilder:validation:Enum=Manage;Observe
type ManagementPolicy string

// Values of ManagementPolicy.
const (
	PolicyManage  ManagementPolicy = "Manage"
	PolicyObserve ManagementPolicy = "Observe"
)

// EncryptionType is a kind of encryption on the server's side.
// +kubebuilder:validation:Enum=SSE-S3;SSE-KMS
type EncryptionType string

// Values of EncryptionType.
const (
	EncryptionS3  EncryptionType = "SSE-S3"
	EncryptionKMS EncryptionType = "SSE-KMS"
)

// Encryption is encryption on the server's side.
//
// +kubebuilder:validation:XValidation:rule="self.type == 'SSE-KMS' || !has(self.kmsKeyID)",message="The field kmsKeyID is for the type SSE-KMS only."
type Encryption struct {
	// type: SSE-S3 with keys of the object store, SSE-KMS with a key of a key
	// management service.
	// +required
	Type EncryptionType `json:"type"`

	// kmsKeyID is the ID or ARN of the key; empty means the server's default.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=2048
	// +kubebuilder:validation:XValidation:rule="self.matches('^[A-Za-z0-9][A-Za-z0-9:/_.@-]*$')",message="The kmsKeyID must be a key ID, alias or ARN of letters, digits and : / _ . @ -."
	KMSKeyID string `json:"kmsKeyID,omitempty"`
}

// Versioning of a bucket.
// +kubebuilder:validation:Enum=Enabled
type Versioning string

// VersioningEnabled keeps the versions before a change.
const VersioningEnabled Versioning = "Enabled"

// LockMode says who may lift an object lock.
// +kubebuilder:validation:Enum=Governance;Compliance
type LockMode string

// Values of LockMode.
const (
	LockGovernance LockMode = "Governance"
	LockCompliance LockMode = "Compliance"
)

// ObjectLock is the retention that each object is written with.
type ObjectLock struct {
	// mode: Governance may be lifted with a special permission, Compliance by nobody.
	// +required
	Mode LockMode `json:"mode"`

	// days from the delivery on. To lower it, name it in the annotation
	// trail-operator.io/allow-shortening.
	// +required
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=36500
	Days int32 `json:"days"`
}

// Lifecycle says when the bucket moves and deletes objects of the trail.
// Digests are never moved, and outlive the log files they list.
//
// +kubebuilder:validation:XValidation:rule="!has(self.digestExpireAfterDays) || has(self.expireAfterDays) && self.digestExpireAfterDays > self.expireAfterDays",message="The field digestExpireAfterDays must be more than expireAfterDays: digests outlive the log files they list."
// +kubebuilder:validation:XValidation:rule="!has(self.expireAfterDays) || !has(self.transitions) || self.transitions.all(t, t.afterDays < self.expireAfterDays)",message="Every transition must come before expireAfterDays."
type Lifecycle struct {
	// transitions move log files to other storage classes.
	// +optional
	// +listType=map
	// +listMapKey=storageClass
	// +kubebuilder:validation:MaxItems=5
	Transitions []Transition `json:"transitions,omitempty"`

	// expireAfterDays deletes log files; empty keeps them. To lower it, or to
	// set it later, name it in the annotation trail-operator.io/allow-shortening.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=36500
	ExpireAfterDays int32 `json:"expireAfterDays,omitempty"`

	// digestExpireAfterDays deletes digests; empty keeps them.
	// +optional
	// +kubebuilder:validation:Minimum=2
	// +kubebuilder:validation:Maximum=36500
	DigestExpireAfterDays int32 `json:"digestExpireAfterDays,omitempty"`

	// noncurrentExpireAfterDays deletes versions that were replaced or deleted;
	// empty keeps them.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=36500
	NoncurrentExpireAfterDays int32 `json:"noncurrentExpireAfterDays,omitempty"`

	// abortIncompleteUploadAfterDays removes what is left of uploads in parts
	// that were never completed; empty keeps it.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=36500
	AbortIncompleteUploadAfterDays int32 `json:"abortIncompleteUploadAfterDays,omitempty"`
}

// Transition moves log files to a storage class.
type Transition struct {
	// storageClass of the server, such as STANDARD_IA, GLACIER or DEEP_ARCHIVE.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:Pattern=`^[A-Za-z0-9_-]+$`
	StorageClass string `json:"storageClass"`

	// afterDays is the age of a log file, in days.
	// +required
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=36500
	AfterDays int32 `json:"afterDays"`
}

// Tag of a bucket.
type Tag struct {
	// key of the tag.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	// +kubebuilder:validation:XValidation:rule="!self.startsWith('aws:')",message="Keys of tags must not begin with aws:, which AWS reserves."
	Key string `json:"key"`

	// value of the tag.
	// +optional
	// +kubebuilder:validation:MaxLength=256
	Value string `json:"value,omitempty"`
}

// Keys of the Secret that credentialsSecretRef names.
const (
	SecretAccessKeyID     = "AWS_ACCESS_KEY_ID"     //nolint:gosec // the name of a key, not a credential
	SecretSecretAccessKey = "AWS_SECRET_ACCESS_KEY" //nolint:gosec // the name of a key, not a credential
	SecretSessionToken    = "AWS_SESSION_TOKEN"     //nolint:gosec // the name of a key, not a credential
)

// CredentialsSecretRef names a Secret in the namespace of the Trail, or, for an
// OrganizationTrail, of the operator, with the keys AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and, for temporary
// credentials, AWS_SESSION_TOKEN. The operator may read it once the namespace
// holds the Role that `kubectl trail grant` prints.
type CredentialsSecretRef struct {
	// name of the Secret.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9]([a-z0-9-]*[a-z0-9])?([.][a-z0-9]([a-z0-9-]*[a-z0-9])?)*$')",message="The name of the Secret must be lower-case letters, digits, hyphens and dots, with a letter or digit at either end."
	Name string `json:"name"`
}
