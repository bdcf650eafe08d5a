package v1alpha1

import "strings"

// Finalizer keeps a deleted Trail until its records are flushed, or ten minutes.
const Finalizer = "trail-operator.io/finalizer"

// DefaultRegion is signed for when a destination names no region.
const DefaultRegion = "us-east-1"

// AnnotationAllowShortening allows what shortens the life of recorded data: a
// comma-separated list of settings with their new values, such as
// expireAfterDays=30,objectLockDays=7. The condition ShorteningNotAllowed prints it.
const AnnotationAllowShortening = "trail-operator.io/allow-shortening"

// AnnotationValidateNow has the trail validated whenever its value changes.
const AnnotationValidateNow = "trail-operator.io/validate-now"

// AsTrail views an OrganizationTrail as the Trail that it is otherwise: one
// without a namespace. Both share their memory.
func (t *OrganizationTrail) AsTrail() *Trail { return (*Trail)(t) }

// AsOrganizationTrail is the way back.
func (t *Trail) AsOrganizationTrail() *OrganizationTrail { return (*OrganizationTrail)(t) }

// IsOrganizationTrail reports whether t is the view of an OrganizationTrail.
func (t *Trail) IsOrganizationTrail() bool { return t.Namespace == "" }

// CloudTrailName is the name under which CloudTrail's clients know the trail.
func (t *Trail) CloudTrailName() string {
	if t.IsOrganizationTrail() {
		return t.Name
	}
	return t.Namespace + "." + t.Name
}

// IsCloudTrailName reports whether name is within CloudTrail's rules: 3 to 128
// letters, digits, dots, underscores and hyphens, a letter or digit at either
// end, and no two of . _ - beside each other.
func IsCloudTrailName(name string) bool {
	if len(name) < 3 || len(name) > 128 {
		return false
	}
	mark := true // a mark before the first character is as bad as two marks
	for _, c := range []byte(name) {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9':
			mark = false
		case strings.IndexByte("._-", c) >= 0 && !mark:
			mark = true
		default:
			return false
		}
	}
	return !mark
}

// Prefix is the prefix in force: that of the destination, or <namespace>/<name>,
// or none for an OrganizationTrail.
func (t *Trail) Prefix() string {
	if p := t.Spec.Destination.Prefix; p != "" || t.IsOrganizationTrail() {
		return p
	}
	return t.Namespace + "/" + t.Name
}

// Selection is the selection of the spec itself, or all management events.
// EventSelectors that it refers to take its place.
func (t *Trail) Selection() EventSelection {
	if s := t.Spec.EventSelectors; s != nil {
		return *s
	}
	return EventSelection{Basic: []BasicEventSelector{{}}}
}

// IsEnabled reports whether digests are delivered.
func (v LogFileValidation) IsEnabled() bool { return v.Mode != ValidationDisabled }

// Lookback is how many days a full validation reaches back.
func (v LogFileValidation) Lookback() int32 {
	if v.LookbackDays == 0 {
		return DefaultLookbackDays
	}
	return v.LookbackDays
}

// IsValidated reports whether the operator is asked to validate what the trail
// has delivered: by a schedule, or by hand.
func (t *Trail) IsValidated() bool {
	return t.Spec.LogFileValidation.IsEnabled() &&
		(t.Spec.LogFileValidation.Schedule != "" || t.Annotations[AnnotationValidateNow] != "")
}

// FileAgeSeconds is the age limit in force.
func (d Delivery) FileAgeSeconds() int32 {
	if d.MaxFileAgeSeconds == 0 {
		return DefaultMaxFileAgeSeconds
	}
	return d.MaxFileAgeSeconds
}

// FileSizeMiB is the size limit in force.
func (d Delivery) FileSizeMiB() int32 {
	if d.MaxFileSizeMiB == 0 {
		return DefaultMaxFileSizeMiB
	}
	return d.MaxFileSizeMiB
}

// RegionOrDefault is the region that requests are signed for.
func (d Destination) RegionOrDefault() string {
	if d.Region == "" {
		return DefaultRegion
	}
	return d.Region
}

// CredentialsSecret is the name of the Secret with the credentials, or empty
// where the operator's own identity is asked for.
func (d Destination) CredentialsSecret() string {
	if d.CredentialsSecretRef == nil {
		return ""
	}
	return d.CredentialsSecretRef.Name
}

// IsManaged reports whether the operator may change the bucket.
func (d Destination) IsManaged() bool { return d.ManagementPolicy != PolicyObserve }

// IsLogging reports whether recording was started and not stopped since.
func (s TrailStatus) IsLogging() bool { return s.StartLoggingTime != nil && s.StopLoggingTime == nil }
