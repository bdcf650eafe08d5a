package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// Trail records the API calls that concern its namespace and delivers them as
// CloudTrail log files to a bucket. Its CloudTrail name is <namespace>.<name>.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Namespaced,shortName=trl,categories=trail-operator
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`,priority=1
// +kubebuilder:printcolumn:name="Bucket",type=string,JSONPath=`.spec.destination.bucket`
// +kubebuilder:printcolumn:name="Last Delivery",type=date,JSONPath=`.status.latestDelivery.time`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:selectablefield:JSONPath=`.spec.destination.bucket`
// +kubebuilder:validation:XValidation:rule="size(self.metadata.name) <= 63 && self.metadata.name.matches('^[a-z0-9]+(-[a-z0-9]+)*$')",message="The name of a Trail must be at most 63 lower-case letters, digits and single hyphens, without a dot, because <namespace>.<name> is its CloudTrail name."
type Trail struct {
	metav1.TypeMeta `json:",inline"`

	// metadata is the standard object metadata.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec is what the user wants.
	// +required
	Spec TrailSpec `json:"spec"`

	// status is what was observed.
	// +optional
	// +kubebuilder:default={"observedGeneration":-1}
	Status TrailStatus `json:"status,omitzero"`
}

// TrailList is a list of trails.
//
// +kubebuilder:object:root=true
type TrailList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`

	Items []Trail `json:"items"`
}

// TrailSpec says what is recorded and where it is delivered.
type TrailSpec struct {
	// suspend stops recording (CloudTrail's StopLogging). What was recorded
	// before is still delivered, and a final digest closes the chain.
	// +optional
	Suspend bool `json:"suspend,omitempty"`

	// destination is the bucket that log files and digests are delivered to.
	// +required
	Destination Destination `json:"destination"`

	// eventSelectors says which events are recorded; without it all management
	// events are, and no data events.
	// +optional
	EventSelectors *EventSelection `json:"eventSelectors,omitempty"`

	// logFileValidation says whether signed digests are delivered.
	// +optional
	// +kubebuilder:default={}
	LogFileValidation LogFileValidation `json:"logFileValidation,omitzero"`

	// delivery says when a log file is closed and delivered.
	// +optional
	// +kubebuilder:default={}
	Delivery Delivery `json:"delivery,omitzero"`
}

// Destination is a bucket on an S3-compatible server. A bucket and prefix
// belong to one trail for good: for another bucket, create another Trail.
//
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
	// the bucket.
	// +required
	CredentialsSecretRef CredentialsSecretRef `json:"credentialsSecretRef"`

	// ca is a PEM bundle of certificates to trust for the endpoint, besides the
	// public ones.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=65536
	// +kubebuilder:validation:XValidation:rule="self.contains('-----BEGIN CERTIFICATE-----') && !self.contains('PRIVATE KEY')",message="The field ca must hold certificates in PEM, and no private key."
	CA string `json:"ca,omitempty"`
}

// Keys of the Secret that credentialsSecretRef names.
const (
	SecretAccessKeyID     = "AWS_ACCESS_KEY_ID"     //nolint:gosec // the name of a key, not a credential
	SecretSecretAccessKey = "AWS_SECRET_ACCESS_KEY" //nolint:gosec // the name of a key, not a credential
	SecretSessionToken    = "AWS_SESSION_TOKEN"     //nolint:gosec // the name of a key, not a credential
)

// CredentialsSecretRef names a Secret in the namespace of the Trail with the
// keys AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and, for temporary
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

// ValidationMode switches signed digests on or off.
// +kubebuilder:validation:Enum=Enabled;Disabled
type ValidationMode string

// Values of ValidationMode.
const (
	ValidationEnabled  ValidationMode = "Enabled"
	ValidationDisabled ValidationMode = "Disabled"
)

// LogFileValidation says whether signed digests are delivered.
type LogFileValidation struct {
	// mode: with Enabled a signed digest every hour lists the log files, so
	// that changed and deleted files are noticed. Disabled ends the chain with
	// a final digest.
	// +optional
	// +kubebuilder:default=Enabled
	Mode ValidationMode `json:"mode,omitempty"`
}

// Bounds and defaults of Delivery.
const (
	DefaultMaxFileAgeSeconds int32 = 300
	DefaultMaxFileSizeMiB    int32 = 64
)

// Delivery says when a log file is closed and delivered: by age or by size,
// whichever comes first.
type Delivery struct {
	// maxFileAgeSeconds is the age at which a file with records in it is closed.
	// +optional
	// +kubebuilder:default=300
	// +kubebuilder:validation:Minimum=30
	// +kubebuilder:validation:Maximum=3600
	MaxFileAgeSeconds int32 `json:"maxFileAgeSeconds,omitempty"`

	// maxFileSizeMiB is the size of the records, before compression, at which a
	// file is closed.
	// +optional
	// +kubebuilder:default=64
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=64
	MaxFileSizeMiB int32 `json:"maxFileSizeMiB,omitempty"`
}
