// Package receiverstatus is the contract of the receiver's status API: what
// the manager reads back into conditions, and how it hands over events of its
// own. Served on the receiver's TLS port to the manager's certificate only:
//
//	GET  /v1/status  → Status
//	POST /v1/events  ← Events; 204 when they are durable
package receiverstatus

import (
	"time"

	"github.com/trail-operator/trail-operator/internal/record"
)

// Paths of the API.
const (
	PathStatus = "/v1/status"
	PathEvents = "/v1/events"
)

// Events is the body of POST /v1/events.
type Events struct {
	Items []record.OwnEvent `json:"items"`
}

// Status is the state of one receiver.
type Status struct {
	Started time.Time `json:"started"`
	// Generation is that of the receiverconfig.Config that is in force.
	Generation int64 `json:"generation"`
	// ConfigError says in one sentence why a newer configuration is not in
	// force; empty when there is none.
	ConfigError  string       `json:"configError,omitempty"`
	Certificates Certificates `json:"certificates"`
	Spool        Spool        `json:"spool"`
	Intake       Intake       `json:"intake"`
	Trails       []Trail      `json:"trails"`
	// Kept counts what is kept beside the buckets.
	Kept *KeptStatus `json:"kept,omitempty"`
}

// Certificates are those in force, by the hex SHA-256 of their DER.
type Certificates struct {
	// Server is the one that the receiver shows.
	Server string `json:"server"`
	// ClientCAs issued those of the clients that are let in.
	ClientCAs []string `json:"clientCAs"`
}

// Spool describes the spool.
type Spool struct {
	UUID  string `json:"uuid"`
	Tail  uint64 `json:"tail"`
	Bytes int64  `json:"bytes"`
	Full  bool   `json:"full"`
	// Damaged counts chunks that could not be read back, whole or in part.
	Damaged int64 `json:"damaged"`
	// LastDamage is when one was last found; nil for never.
	LastDamage *time.Time `json:"lastDamage,omitempty"`
}

// Intake counts items since the spool was created, Duplicates since the receiver
// was started. Received = Accepted + Duplicates + Skipped + Quarantined.
type Intake struct {
	Received    int64    `json:"received"`
	Accepted    int64    `json:"accepted"`
	Duplicates  int64    `json:"duplicates"`
	Skipped     int64    `json:"skipped"`
	Quarantined int64    `json:"quarantined"`
	Sources     []Source `json:"sources"`
	// Forward is nil when bodies are not forwarded.
	Forward *Forward `json:"forward,omitempty"`
	// Tails are those of the API servers' logs, at most MaxTails.
	Tails []Tail `json:"tails,omitempty"`
	// EventIndex is nil while no tails are let in.
	EventIndex *EventIndex `json:"eventIndex,omitempty"`
	// Accounts count what came from each source, up to the position AccountedTo.
	// Both are durable: they never go back as long as the spool is the same.
	Accounts    []SourceAccount `json:"accounts,omitempty"`
	AccountedTo uint64          `json:"accountedTo,omitempty"`
}

// SourceAccount counts the items of one source since the spool was created:
// all stages, also those that make no record, each once however often its POST
// was sent. At most MaxSourceAccounts are told.
type SourceAccount struct {
	Source   string `json:"source"` // as in spool.Chunk
	Received int64  `json:"received"`
}

// MaxSourceAccounts is how many sources have an account: the one that has been
// silent longest loses its own.
const MaxSourceAccounts = 256

// Forward says what became of the bodies that go to a second receiver, in POSTs
// since the receiver was started.
type Forward struct {
	Sent         int64 `json:"sent"`
	Dropped      int64 `json:"dropped"`
	Waiting      int   `json:"waiting"`
	WaitingBytes int64 `json:"waitingBytes"`
	// Failure is nil after a success. Its reason is empty.
	Failure *Failure `json:"failure,omitempty"`
}

// Source is one API server that has posted.
type Source struct {
	Cluster   string    `json:"cluster"`
	APIServer string    `json:"apiServer"`
	LastPost  time.Time `json:"lastPost"`
	// Certificates are those with which it has posted since the receiver was
	// started, the one used last first, at most MaxSourceCertificates.
	Certificates []SourceCertificate `json:"certificates"`
	// Calls are those that become records, by class; Stages counts all events.
	Calls  map[Class]Calls  `json:"calls,omitempty"`
	Stages map[string]int64 `json:"stages,omitempty"`
	// Probes are the newest of which it has sent something, the newest last, at
	// most MaxProbes. Like Probed, they may have come before the receiver was started.
	Probes []Probe `json:"probes,omitempty"`
	// Probed is when a call of a probe last arrived, by its class.
	Probed map[Class]time.Time `json:"probed,omitempty"`
}

// MaxSourceCertificates is how many certificates of one API server are told.
const MaxSourceCertificates = 4

// SourceCertificate is a client certificate of an API server.
type SourceCertificate struct {
	SHA256   string    `json:"sha256"` // hex, of its DER
	LastPost time.Time `json:"lastPost"`
}

// Trail is the state of one trail.
type Trail struct {
	UID string `json:"uid"`
	// Generation of the Trail object in force, from StartPosition on.
	Generation    int64  `json:"generation"`
	StartPosition uint64 `json:"startPosition"`
	// SelectionSHA256 is receiverconfig.SelectionSHA256 of the selection in force:
	// it may change while the generation stays, with an EventSelector.
	SelectionSHA256 string `json:"selectionSHA256"`
	// Flushed is true when a suspended or deleting trail has nothing pending:
	// all files are delivered and, with validation on, the final digest too.
	Flushed bool   `json:"flushed"`
	Counts  Counts `json:"counts"`
	// DeliveredBytes are compressed bytes in the bucket, since the beginning
	// and over the last 24 hours.
	DeliveredBytes    int64 `json:"deliveredBytes"`
	DeliveredBytesDay int64 `json:"deliveredBytesDay"`
	// PendingFiles are closed files that are not confirmed by the bucket yet.
	PendingFiles int `json:"pendingFiles"`
	// ExpiredFiles are log files that have expired and are kept while nobody needs
	// their room.
	ExpiredFiles int   `json:"expiredFiles,omitempty"`
	ExpiredBytes int64 `json:"expiredBytes,omitempty"`
	// LastAttempt is when a log file was last sent, LastDelivery when one was
	// last confirmed.
	LastAttempt   *time.Time `json:"lastAttempt,omitempty"`
	LastDelivery  *time.Time `json:"lastDelivery,omitempty"`
	LastObject    string     `json:"lastObject,omitempty"`
	DeliveryError *Failure   `json:"deliveryError,omitempty"`
	LastDigest    *time.Time `json:"lastDigest,omitempty"`
	DigestError   *Failure   `json:"digestError,omitempty"`
	// ClockSkewSeconds is the store's clock minus ours when it holds files back.
	ClockSkewSeconds int64        `json:"clockSkewSeconds,omitempty"`
	Head             *record.Head `json:"head,omitempty"`
	// LastLoss is when records were last counted as Quarantined or Expired; nil
	// for never.
	LastLoss *time.Time `json:"lastLoss,omitempty"`
}

// Counts account for every record of a trail:
// Accepted = Delivered + SelectedOut + Pending + Quarantined + Expired.
type Counts struct {
	Accepted    int64 `json:"accepted"`
	Delivered   int64 `json:"delivered"`
	SelectedOut int64 `json:"selectedOut"`
	Pending     int64 `json:"pending"`
	Quarantined int64 `json:"quarantined"`
	Expired     int64 `json:"expired"`
	// Redelivered records had expired and were delivered after all; they are not
	// in Expired any more.
	Redelivered int64 `json:"redelivered,omitempty"`
}

// Failure is the present error of a destination. It is cleared by success.
type Failure struct {
	Since time.Time `json:"since"`
	// Code is the S3 error code, or the name of one of ours.
	Code string `json:"code"`
	// Reason is one of the Reason constants.
	Reason  string `json:"reason"`
	Message string `json:"message"`
}

// Reasons of a Failure, which the manager turns into advice.
const (
	ReasonNoBucket       = "BucketNotFound"
	ReasonAccessDenied   = "AccessDenied"
	ReasonBadCredentials = "InvalidCredentials"
	ReasonCertificate    = "CertificateNotTrusted"
	ReasonUnreachable    = "EndpointUnreachable"
	ReasonAddress        = "AddressNotAllowed"
	ReasonClockSkew      = "ClockSkew"
	ReasonThrottled      = "Throttled"
	// ReasonEncryptionIgnored and ReasonRetentionIgnored: the server took an
	// object and did not protect it as asked, so it gets no more.
	ReasonEncryptionIgnored = "EncryptionIgnored"
	ReasonRetentionIgnored  = "RetentionIgnored"
	// ReasonProtection: the server refuses the encryption or the retention.
	ReasonProtection = "ProtectionMissing"
	ReasonOther      = "DeliveryFailed"
)
