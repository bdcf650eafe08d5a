package v1alpha1

// Condition types of a Trail.
const (
	// ConditionReady is True when the trail does what its spec asks: it
	// records and delivers, or it is suspended and everything is delivered.
	ConditionReady = "Ready"
	// ConditionBucketReady is True when the bucket can be used and its prefix
	// belongs to this trail.
	ConditionBucketReady = "BucketReady"
	// ConditionReceiving is True when the receiver runs this generation of the
	// trail and API servers send events to it.
	ConditionReceiving = "Receiving"
	// ConditionDelivering is False when log files cannot be delivered.
	ConditionDelivering = "Delivering"
	// ConditionDigestsCurrent is False when the newest digest is missing.
	ConditionDigestsCurrent = "DigestsCurrent"
	// ConditionReconciling is present, and True, while a change is under way.
	ConditionReconciling = "Reconciling"
	// ConditionStalled is present, and True, when only a change by the user
	// can help.
	ConditionStalled = "Stalled"
	// ConditionCertificateExpiring is present, and True, in the last 90 days of a
	// certificate of the installation that people must replace. Nothing is wrong yet.
	ConditionCertificateExpiring = "CertificateExpiring"
	// ConditionValidated is present while the operator validates what the trail
	// has delivered, and False when that was tampered with. Ready does not follow
	// it: recording goes on.
	ConditionValidated = "Validated"
)

// Reasons of conditions that are True.
const (
	ReasonRecording            = "Recording"            // Ready
	ReasonCertificateExpiring  = "CertificateExpiring"  // CertificateExpiring
	ReasonSuspended            = "Suspended"            // Ready, with all of it flushed; Receiving, Delivering (False)
	ReasonPrefixClaimed        = "PrefixClaimed"        // BucketReady
	ReasonConfigurationInForce = "ConfigurationInForce" // Receiving
	ReasonDelivered            = "Delivered"            // Delivering
	ReasonDigestDelivered      = "DigestDelivered"      // DigestsCurrent
	ReasonCompiled             = "Compiled"             // Ready, of an EventSelector
	ReasonLogFilesValid        = "LogFilesValid"        // Validated
)

// Reasons of conditions that are Unknown or Reconciling.
const (
	ReasonPending             = "Pending"             // an earlier step comes first
	ReasonConfigurationSent   = "ConfigurationSent"   // the receiver has not loaded this generation yet
	ReasonNothingToDeliver    = "NothingToDeliver"    // no file was due so far
	ReasonFirstDigestPending  = "FirstDigestPending"  // the first hour is not over
	ReasonSuspending          = "Suspending"          // what was recorded is being delivered
	ReasonDeleting            = "Deleting"            // the same, before the Trail goes
	ReasonRetrying            = "Retrying"            // after a failure
	ReasonReceiverUnreachable = "ReceiverUnreachable" // its status API does not answer
)

// Reasons of Validated that is not True; it has ReasonSuspended, too.
const (
	// ReasonNeverRun: no validation has ended yet.
	ReasonNeverRun = "NeverRun"
	// ReasonValidationFailed: the last validation could not be carried out.
	ReasonValidationFailed = "ValidationFailed"
	// ReasonInvalidSchedule: the schedule is none, or never comes.
	ReasonInvalidSchedule = "InvalidSchedule"
	// ReasonLogFilesInvalid: log files were changed, deleted or added.
	ReasonLogFilesInvalid = "LogFilesInvalid"
	// ReasonDigestsInvalid: the same of digests or keys.
	ReasonDigestsInvalid = "DigestsInvalid"
)

// Reasons of failures.
const (
	// ReasonInvalidSpec: the spec passed the API server but cannot work.
	ReasonInvalidSpec = "InvalidSpec"
	// ReasonCredentialsNotReadable: the operator may not read the Secret. The
	// message holds the Role that allows it.
	ReasonCredentialsNotReadable = "CredentialsNotReadable"
	// ReasonCredentialsNotFound: there is no such Secret.
	ReasonCredentialsNotFound = "CredentialsNotFound"
	// ReasonCredentialsIncomplete: the Secret lacks a key.
	ReasonCredentialsIncomplete = "CredentialsIncomplete"
	// ReasonConflict: bucket and prefix belong to another trail.
	ReasonConflict = "Conflict"
	// ReasonBucketNotFound: the bucket is missing and could not be created.
	ReasonBucketNotFound = "BucketNotFound"
	// ReasonWrongRegion: the bucket is in another region than the spec says.
	ReasonWrongRegion = "WrongRegion"
	// ReasonAccessDenied: the credentials lack a permission.
	ReasonAccessDenied = "AccessDenied"
	// ReasonInvalidCredentials: the server does not know the credentials.
	ReasonInvalidCredentials = "InvalidCredentials"
	// ReasonCertificateNotTrusted: the server's certificate is expired, of
	// another name, or of an issuer that is not trusted.
	ReasonCertificateNotTrusted = "CertificateNotTrusted"
	// ReasonEndpointUnreachable: the server does not answer.
	ReasonEndpointUnreachable = "EndpointUnreachable"
	// ReasonAddressNotAllowed: the endpoint is an address that trails may not use.
	ReasonAddressNotAllowed = "AddressNotAllowed"
	// ReasonClockSkew: the clocks of server and operator differ too much.
	ReasonClockSkew = "ClockSkew"
	// ReasonThrottled: the server asks to slow down.
	ReasonThrottled = "Throttled"
	// ReasonDeliveryFailed: any other answer of the server.
	ReasonDeliveryFailed = "DeliveryFailed"
	// ReasonConfigurationRefused: the receiver could not load its configuration.
	ReasonConfigurationRefused = "ConfigurationRefused"
	// ReasonConfigurationTooLarge: there is no room left for this trail.
	ReasonConfigurationTooLarge = "ConfigurationTooLarge"
	// ReasonTooManyTrails: other trails have all places of the namespace.
	ReasonTooManyTrails = "TooManyTrails"
	// ReasonNoAPIServer: no API server has sent an event yet.
	ReasonNoAPIServer = "NoAPIServer"
	// ReasonSpoolFull: the receiver's volume is full.
	ReasonSpoolFull = "SpoolFull"
	// ReasonDigestLate: no digest was delivered for more than its hour.
	ReasonDigestLate = "DigestLate"
	// ReasonValidationDisabled: digests are switched off.
	ReasonValidationDisabled = "ValidationDisabled"
	// ReasonNoCredentials: the trail names no Secret, and the operator's own
	// identity is not for it.
	ReasonNoCredentials = "NoCredentials"
	// ReasonEventSelectorNotFound: no EventSelector has the name or the labels.
	ReasonEventSelectorNotFound = "EventSelectorNotFound"
	// ReasonEventSelectorInvalid: an EventSelector does not compile.
	ReasonEventSelectorInvalid = "EventSelectorInvalid"
	// ReasonBucketDrifted: the bucket differs from the spec.
	ReasonBucketDrifted = "BucketDrifted"
	// ReasonUnsupported: the server lacks a feature that protects nothing the
	// spec demands; delivery goes on.
	ReasonUnsupported = "FeatureNotSupported"
	// ReasonProtectionMissing: encryption, versioning or a lock that the spec
	// demands is not in force.
	ReasonProtectionMissing = "ProtectionMissing"
	// ReasonShorteningNotAllowed: the spec shortens the life of recorded data
	// without the annotation that allows it.
	ReasonShorteningNotAllowed = "ShorteningNotAllowed"
	// ReasonEncryptionIgnored: the server stored an object unencrypted.
	ReasonEncryptionIgnored = "EncryptionIgnored"
	// ReasonRetentionIgnored: the server stored an object without its lock.
	ReasonRetentionIgnored = "RetentionIgnored"
	// ReasonPolicyTooSmall: API servers do not send what the trail selects.
	ReasonPolicyTooSmall = "AuditPolicyTooSmall"
	// ReasonCertificateExpired: a certificate of this installation has expired.
	ReasonCertificateExpired = "CertificateExpired"
)

// Reasons of Events that are no condition's.
const (
	// ReasonAbandoned: a deleted trail was given up with records undelivered.
	ReasonAbandoned = "Abandoned"
	// ReasonFlushed: a deleted trail had everything delivered.
	ReasonFlushed = "Flushed"
	// ReasonBucketCreated: a bucket that had been delivered to was gone, and
	// was created again.
	ReasonBucketCreated = "BucketCreated"
	// ReasonBucketRepaired: somebody had changed settings of the bucket, which
	// were set again.
	ReasonBucketRepaired = "BucketRepaired"
)
