package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// ValidationResult is how a validation ended.
// +kubebuilder:validation:Enum=Valid;Invalid;Failed
type ValidationResult string

// Values of ValidationResult.
const (
	ValidationValid   ValidationResult = "Valid"
	ValidationInvalid ValidationResult = "Invalid"
	// ValidationFailed: it could not be carried out, so that nothing is known.
	ValidationFailed ValidationResult = "Failed"
)

// LastValidation is a validation that has ended.
type LastValidation struct {
	// startTime is when it was started.
	// +optional
	StartTime *metav1.Time `json:"startTime,omitempty"`

	// time is when its end was noticed.
	// +optional
	Time *metav1.Time `json:"time,omitempty"`

	// result: Valid, Invalid, or Failed when it could not be carried out.
	// +optional
	Result ValidationResult `json:"result,omitempty"`

	// cause is why it failed.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	Cause string `json:"cause,omitempty"`

	// trigger is the value of the annotation trail-operator.io/validate-now that
	// is done with.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	Trigger string `json:"trigger,omitempty"`

	// full: it reached back as far as lookbackDays say.
	// +optional
	Full bool `json:"full,omitempty"`

	// from is the beginning of what was validated.
	// +optional
	From *metav1.Time `json:"from,omitempty"`

	// until is its end: that of the newest digest.
	// +optional
	Until *metav1.Time `json:"until,omitempty"`

	// digests is the number of valid digests.
	// +optional
	Digests int64 `json:"digests,omitempty"`

	// logFiles is the number of valid log files that these list.
	// +optional
	LogFiles int64 `json:"logFiles,omitempty"`

	// expired is the number of log files that a lifecycle rule has deleted.
	// +optional
	Expired int64 `json:"expired,omitempty"`

	// archived is the number of log files that a lifecycle rule has archived, so
	// that they cannot be read.
	// +optional
	Archived int64 `json:"archived,omitempty"`

	// invalid is the number of findings.
	// +optional
	Invalid int64 `json:"invalid,omitempty"`

	// findings count them by kind.
	// +optional
	// +listType=map
	// +listMapKey=kind
	// +kubebuilder:validation:MaxItems=20
	Findings []FindingCount `json:"findings,omitempty"`

	// durationSeconds is how long it took.
	// +optional
	DurationSeconds int64 `json:"durationSeconds,omitempty"`
}

// FindingCount is the number of findings of one kind.
type FindingCount struct {
	// kind, as kubectl trail validate-logs names it.
	// +required
	// +kubebuilder:validation:MaxLength=64
	Kind string `json:"kind"`

	// count of the findings.
	// +required
	Count int64 `json:"count"`
}

// ValidatedUntil is how far everything was found valid.
type ValidatedUntil struct {
	// head is the newest digest of the last valid validation. The next one goes
	// on from there, and demands that it is still the same.
	// +optional
	Head *DigestHead `json:"head,omitempty"`

	// fullTime is when a full validation was last started that found
	// everything valid.
	// +optional
	FullTime *metav1.Time `json:"fullTime,omitempty"`
}
