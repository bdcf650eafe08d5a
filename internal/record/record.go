// Package record holds the formats that leave the installation: the
// CloudTrail record, the log file, the digest file and the object keys.
// Writers and the verifier share this package and nothing else.
package record

import "encoding/json"

// EventVersion is the record version we write, as CloudTrail's own policy
// defines it: readers compare the major part for equality.
const EventVersion = "1.11"

// Values of eventCategory.
const (
	CategoryManagement = "Management"
	CategoryData       = "Data"
)

// Values of eventType that we write. Readers reject values CloudTrail does not
// know, so there are no others.
const (
	TypeAPICall      = "AwsApiCall"
	TypeServiceEvent = "AwsServiceEvent"
)

// Redacted stands where a secret value was removed.
const Redacted = "<sensitiveDataRemoved>"

// TimeFormat is the whole-second UTC form of eventTime and of digest times.
const TimeFormat = "2006-01-02T15:04:05Z"

// Record is one CloudTrail record. The data plane writes records by appending
// bytes (package mapping); this type is for readers and for the few events of
// our own.
type Record struct {
	EventVersion        string          `json:"eventVersion"`
	UserIdentity        UserIdentity    `json:"userIdentity"`
	EventTime           string          `json:"eventTime"`
	EventSource         string          `json:"eventSource"`
	EventName           string          `json:"eventName"`
	AWSRegion           string          `json:"awsRegion"`
	SourceIPAddress     string          `json:"sourceIPAddress"`
	UserAgent           string          `json:"userAgent,omitempty"`
	ErrorCode           string          `json:"errorCode,omitempty"`
	ErrorMessage        string          `json:"errorMessage,omitempty"`
	RequestParameters   json.RawMessage `json:"requestParameters"`
	ResponseElements    json.RawMessage `json:"responseElements"`
	AdditionalEventData json.RawMessage `json:"additionalEventData,omitempty"`
	RequestID           string          `json:"requestID,omitempty"`
	EventID             string          `json:"eventID"`
	ReadOnly            bool            `json:"readOnly"`
	Resources           []Resource      `json:"resources,omitempty"`
	EventType           string          `json:"eventType"`
	APIVersion          string          `json:"apiVersion,omitempty"`
	ManagementEvent     bool            `json:"managementEvent"`
	RecipientAccountID  string          `json:"recipientAccountId"`
	SharedEventID       string          `json:"sharedEventID,omitempty"`
	ServiceEventDetails json.RawMessage `json:"serviceEventDetails,omitempty"`
	EventCategory       string          `json:"eventCategory"`
}

// Resource is an object that the call touched.
type Resource struct {
	ARN       string `json:"ARN"`
	AccountID string `json:"accountId"`
	Type      string `json:"type"`
}

// UserIdentity says who made the call.
type UserIdentity struct {
	Type           string          `json:"type"`
	PrincipalID    string          `json:"principalId,omitempty"`
	ARN            string          `json:"arn,omitempty"`
	AccountID      string          `json:"accountId,omitempty"`
	AccessKeyID    string          `json:"accessKeyId,omitempty"`
	UserName       string          `json:"userName,omitempty"`
	SessionContext *SessionContext `json:"sessionContext,omitempty"`
	InvokedBy      string          `json:"invokedBy,omitempty"`
}

// SessionContext describes a session: of a service account, or impersonated.
type SessionContext struct {
	SessionIssuer  *SessionIssuer `json:"sessionIssuer,omitempty"`
	SourceIdentity string         `json:"sourceIdentity,omitempty"`
}

// SessionIssuer is the entity whose credentials opened the session.
type SessionIssuer struct {
	Type        string `json:"type"`
	PrincipalID string `json:"principalId"`
	ARN         string `json:"arn"`
	AccountID   string `json:"accountId"`
	UserName    string `json:"userName"`
}

// LogFile is the content of a log file after decompression.
type LogFile struct {
	Records []Record `json:"Records"`
}

// LogFileHead and LogFileTail enclose the records of a log file, which are
// separated by a comma.
const (
	LogFileHead = `{"Records":[`
	LogFileTail = `]}`
)

// Facts are the properties of one record on which selectors decide. They are
// made beside the record, so that no consumer parses it again.
type Facts struct {
	Category    string // CategoryManagement or CategoryData
	ReadOnly    bool
	EventName   string
	EventSource string
	EventType   string
	UserARN     string
	// Namespace is the Kubernetes namespace of the call, which decides what
	// a tenant may see; empty for calls outside any namespace.
	Namespace string
	Resources []FactResource
	// EventTime is in seconds since 1970, UTC.
	EventTime int64
	// Trails limits an event of our own to the trails with these UIDs; nil
	// means that the namespace and the selectors decide.
	Trails []string
}

// FactResource is the part of Resource that selectors read.
type FactResource struct{ Type, ARN string }
