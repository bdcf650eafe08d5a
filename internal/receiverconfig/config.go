// Package receiverconfig is the contract by which the manager tells the
// receiver what to do: versioned files that the manager renders into Secrets
// and the receiver loads, strictly, from one projected volume.
//
// The folder holds receiver.json (type Config), one file per trail (type
// Trail) and the PEM files named below. receiver.json lists the SHA-256 of
// every other file, so a folder that was caught half-way through an update is
// noticed and read again later.
package receiverconfig

import (
	"github.com/trail-operator/trail-operator/api/v1alpha1"
	"github.com/trail-operator/trail-operator/internal/record"
)

// Version is the format version of the files. The receiver refuses others.
const Version = 1

// File names in the folder.
const (
	FileConfig     = "receiver.json"
	FileServerCert = "tls.crt"       // PEM: certificate that intake serves
	FileServerKey  = "tls.key"       // PEM: its key
	FileClientCA   = "client-ca.crt" // PEM: issuer of the clients' certificates
	FileSigningKey = "signing.key"   // PEM, PKCS#1: RSA key that signs digests
)

// TrailFile is the name of the file of the trail with this UID.
func TrailFile(uid string) string { return "trail-" + uid + ".json" }

// ManagerCommonName is the common name of the client certificate that may use
// the receiver's status API. API servers carry Organization AuditOrganization
// and the common name <cluster>:<apiserver>.
const (
	ManagerCommonName = "trail-manager"
	AuditOrganization = "trail-operator:audit"
)

// Config is the installation's part: receiver.json.
type Config struct {
	Version int `json:"version"`
	// Generation rises with every rendering that changed anything.
	Generation   int64        `json:"generation"`
	Installation Installation `json:"installation"`
	// TrustedProxies are CIDRs whose X-Forwarded-For entries are believed.
	TrustedProxies []string `json:"trustedProxies,omitempty"`
	// KeepSensitiveBodies keeps the bodies of Secrets, token requests and token
	// reviews through intake; the mapper still redacts their secret values.
	KeepSensitiveBodies bool `json:"keepSensitiveBodies,omitempty"`
	// ForwardTo is a second receiver of the bodies of audit POSTs; nil for none.
	ForwardTo *ForwardTo `json:"forwardTo,omitempty"`
	// Manager is the user name of the manager. Only its calls count as probes,
	// see receiverstatus.Probe.
	Manager string `json:"manager,omitempty"`
	// RefusedCertificates are client certificates that others have taken the place
	// of, by the hex SHA-256 of their DER: they are refused, whoever issued them.
	RefusedCertificates []string `json:"refusedCertificates,omitempty"`
	// Tail lets tails of audit logs post; nil when there are none.
	Tail *Tail `json:"tail,omitempty"`
	// Kinds is the numbered discovery snapshot that names custom kinds.
	Kinds Kinds `json:"kinds"`
	// Files maps each other file of the folder to the hex SHA-256 of its bytes.
	Files map[string]string `json:"files"`
}

// Installation identifies the cluster.
type Installation struct {
	UID          string `json:"uid"`
	Account      string `json:"account"`
	Region       string `json:"region"`
	Organization string `json:"organization,omitempty"`
}

// Kinds maps resources to kinds where the built-in table does not know them.
type Kinds struct {
	Snapshot int64  `json:"snapshot"`
	List     []Kind `json:"list,omitempty"`
}

// Kind is one entry of Kinds.
type Kind struct {
	Group    string `json:"group,omitempty"`
	Resource string `json:"resource"`
	Kind     string `json:"kind"`
}

// Trail is one trail as the receiver runs it.
type Trail struct {
	UID       string `json:"uid"`
	Name      string `json:"name"` // CloudTrail name: <namespace>.<name>
	Namespace string `json:"namespace,omitempty"`
	ARN       string `json:"arn"`
	// Generation is that of the Trail object.
	Generation int64 `json:"generation"`
	// Suspended stops recording: what is pending is delivered, then a final digest.
	Suspended bool `json:"suspended,omitempty"`
	// Deleting is Suspended for good.
	Deleting    bool        `json:"deleting,omitempty"`
	Destination Destination `json:"destination"`
	// Selection decides which events are recorded.
	Selection         v1alpha1.EventSelection `json:"selection"`
	LogFileValidation bool                    `json:"logFileValidation"`
	MaxFileAgeSeconds int32                   `json:"maxFileAgeSeconds"`
	MaxFileSizeMiB    int32                   `json:"maxFileSizeMiB"`
	// Lifecycle are the rules that the manager has set for the trail's objects,
	// or has found; each digest lists them.
	Lifecycle []record.LifecycleRule `json:"lifecycle,omitempty"`
	// LastHead is the newest digest that the Trail's status knows. A receiver on
	// a new volume ties its first chain to it.
	LastHead *record.Head `json:"lastHead,omitempty"`
}

// SelectionSHA256 is the hex SHA-256 by which manager and receiver compare
// selections: the receiver reports that of the one in force.
func SelectionSHA256(s v1alpha1.EventSelection) string { return record.HexSHA256(record.MustJSON(s)) }

// Destination is a bucket with the credentials to write to it.
type Destination struct {
	Endpoint        string `json:"endpoint,omitempty"`
	Bucket          string `json:"bucket"`
	Region          string `json:"region"`
	Prefix          string `json:"prefix,omitempty"`
	AccessKeyID     string `json:"accessKeyID"`
	SecretAccessKey string `json:"secretAccessKey"`
	SessionToken    string `json:"sessionToken,omitempty"`
	// Ambient takes the credentials from the receiver's own environment; the
	// three fields above are empty then, and only then.
	Ambient      bool     `json:"ambient,omitempty"`
	PathStyle    bool     `json:"pathStyle,omitempty"`
	CA           []byte   `json:"ca,omitempty"`
	AllowPrivate bool     `json:"allowPrivate,omitempty"`
	DenyHosts    []string `json:"denyHosts,omitempty"`
	// Encryption and Retention are asked for with each object. What is asked for
	// and not kept by the server stops the delivery.
	Encryption Encryption `json:"encryption,omitzero"`
	Retention  Retention  `json:"retention,omitzero"`
}

// Encryption is server-side encryption; the zero value asks for none.
type Encryption struct {
	// Type is EncryptionS3 or EncryptionKMS.
	Type string `json:"type"`
	// KMSKeyID is an ID, alias or ARN; empty for the server's default key.
	KMSKeyID string `json:"kmsKeyID,omitempty"`
}

// Retention is object lock; the zero value asks for none.
type Retention struct {
	// Mode is RetentionGovernance or RetentionCompliance.
	Mode string `json:"mode"`
	// Days after its upload until which an object cannot be deleted.
	Days int32 `json:"days"`
}

// Types of encryption and modes of retention, as S3 names them.
const (
	EncryptionS3        = "AES256"
	EncryptionKMS       = "aws:kms"
	RetentionGovernance = "GOVERNANCE"
	RetentionCompliance = "COMPLIANCE"
)
