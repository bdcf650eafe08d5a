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
// +kubebuilder:printcolumn:name="Prefix",type=string,JSONPath=`.status.prefix`,priority=1
// +kubebuilder:printcolumn:name="Validated",type=string,JSONPath=`.status.conditions[?(@.type=="Validated")].status`
// +kubebuilder:printcolumn:name="Last Delivery",type=date,JSONPath=`.status.latestDelivery.time`
// +kubebuilder:printcolumn:name="Last Digest",type=date,JSONPath=`.status.latestDigest.time`,priority=1
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
//
// +kubebuilder:validation:XValidation:rule="[has(self.eventSelectors), has(self.eventSelectorRefs), has(self.eventSelectorLabels)].filter(x, x).size() <= 1",message="Set at most one of eventSelectors, eventSelectorRefs and eventSelectorLabels."
type TrailSpec struct {
	// suspend stops recording (CloudTrail's StopLogging). What was recorded
	// before is still delivered, and a final digest closes the chain.
	// +optional
	Suspend bool `json:"suspend,omitempty"`

	// destination is the bucket that log files and digests are delivered to.
	// +required
	Destination Destination `json:"destination"`

	// eventSelectors says which events are recorded. Without it and the two
	// fields below, all management events are, and no data events.
	// +optional
	EventSelectors *EventSelection `json:"eventSelectors,omitempty"`

	// eventSelectorRefs name EventSelectors that take the place of
	// eventSelectors. An event is recorded when any of them selects it.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=20
	EventSelectorRefs []EventSelectorRef `json:"eventSelectorRefs,omitempty"`

	// eventSelectorLabels choose, by their labels, EventSelectors that take the
	// place of eventSelectors. An event is recorded when any of them selects it.
	// +optional
	EventSelectorLabels *metav1.LabelSelector `json:"eventSelectorLabels,omitempty"`

	// logFileValidation says whether signed digests are delivered.
	// +optional
	// +kubebuilder:default={}
	LogFileValidation LogFileValidation `json:"logFileValidation,omitzero"`

	// delivery says when a log file is closed and delivered.
	// +optional
	// +kubebuilder:default={}
	Delivery Delivery `json:"delivery,omitzero"`
}

// EventSelectorRef names an EventSelector: of the namespace of a Trail, or, for
// an OrganizationTrail, of the namespace of the operator.
type EventSelectorRef struct {
	// name of the EventSelector.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
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

// LogFileValidation says whether signed digests are delivered, and when what was
// delivered is validated.
//
// +kubebuilder:validation:XValidation:rule="!has(self.schedule) || !has(self.mode) || self.mode == 'Enabled'",message="The field schedule needs the mode Enabled: without digests there is nothing to validate."
type LogFileValidation struct {
	// mode: with Enabled a signed digest every hour lists the log files, so
	// that changed and deleted files are noticed. Disabled ends the chain with
	// a final digest.
	// +optional
	// +kubebuilder:default=Enabled
	Mode ValidationMode `json:"mode,omitempty"`

	// schedule is when the operator validates what lies in the bucket, as the
	// five fields of cron in UTC, such as "30 4 * * *". Left out, it does not.
	// Digests come once an hour, so a trail is validated at most every half hour.
	// +optional
	// +kubebuilder:validation:MaxLength=100
	// +kubebuilder:validation:Pattern=`^[0-9*,/A-Za-z-]+( [0-9*,/A-Za-z-]+){4}$`
	Schedule string `json:"schedule,omitempty"`

	// lookbackDays is how far back a full validation reaches, which takes place
	// once a week; left out it is 90. Those between begin where the last valid one
	// has ended.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=3650
	LookbackDays int32 `json:"lookbackDays,omitempty"`

	// credentialsSecretRef names a Secret, with the same keys as that of the
	// destination, whose credentials may list and read the bucket, and no more.
	// Left out, those of the destination are used.
	// +optional
	CredentialsSecretRef *CredentialsSecretRef `json:"credentialsSecretRef,omitempty"`
}

// DefaultLookbackDays is that of LogFileValidation.
const DefaultLookbackDays int32 = 90

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
