package record

import (
	"crypto/md5" //nolint:gosec // CloudTrail's fingerprint of a public key is its MD5; it protects nothing.
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
)

// Names of digest algorithms and of the object metadata that carries the
// signature, as CloudTrail's clients compare them.
const (
	SignatureAlgorithm         = "SHA256withRSA"
	HashAlgorithm              = "SHA-256"
	MetadataSignature          = "signature"
	MetadataSignatureAlgorithm = "signature-algorithm"
)

// Digest lists the log files that were delivered in one window. The first
// block of fields is CloudTrail's; the second is ours, is covered by the same
// signature, and is ignored by CloudTrail's clients.
type Digest struct {
	AWSAccountID             string          `json:"awsAccountId"`
	DigestStartTime          string          `json:"digestStartTime"`
	DigestEndTime            string          `json:"digestEndTime"`
	DigestS3Bucket           string          `json:"digestS3Bucket"`
	DigestS3Object           string          `json:"digestS3Object"`
	DigestPublicKeyFinger    string          `json:"digestPublicKeyFingerprint"`
	DigestSignatureAlgorithm string          `json:"digestSignatureAlgorithm"`
	NewestEventTime          *string         `json:"newestEventTime"`
	OldestEventTime          *string         `json:"oldestEventTime"`
	PreviousDigestS3Bucket   *string         `json:"previousDigestS3Bucket"`
	PreviousDigestS3Object   *string         `json:"previousDigestS3Object"`
	PreviousDigestHashValue  *string         `json:"previousDigestHashValue"`
	PreviousDigestHashAlgo   *string         `json:"previousDigestHashAlgorithm"`
	PreviousDigestSignature  *string         `json:"previousDigestSignature"`
	LogFiles                 []DigestLogFile `json:"logFiles"`

	// DigestSequence counts the digests of a chain from 1.
	DigestSequence int64 `json:"digestSequence"`
	// ChainID names the chain: it changes when a trail starts anew.
	ChainID string `json:"chainID"`
	// PreviousChain ties the first digest of a chain to the last one of the
	// chain before; null where there was none.
	PreviousChain *ChainEnd `json:"previousChain"`
	// Final marks the last digest of a chain.
	Final bool `json:"final"`
	// LifecycleRules are those that the trail's destination had when the digest
	// was made: they tell objects that have expired from ones that somebody
	// deleted. Absent when there were none.
	LifecycleRules []LifecycleRule `json:"lifecycleRules,omitempty"`
}

// LifecycleRule is what a bucket does by itself to the objects of a trail.
type LifecycleRule struct {
	// Objects is LifecycleLogs or LifecycleDigests.
	Objects string `json:"objects"`
	// ExpireDays is the age in days at which the bucket deletes them; 0 = never.
	ExpireDays int32 `json:"expireDays,omitempty"`
	// TransitionDays is the age at which they move to StorageClass; without a
	// StorageClass they do not.
	TransitionDays int32  `json:"transitionDays,omitempty"`
	StorageClass   string `json:"storageClass,omitempty"`
}

// IsStorageClass reports whether s is within what storage classes are made of: 1
// to 64 letters, digits, hyphens and underscores.
func IsStorageClass(s string) bool {
	const characters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	return s != "" && len(s) <= 64 && strings.Trim(s, characters) == ""
}

// What a LifecycleRule is about.
const (
	LifecycleLogs    = "logs"
	LifecycleDigests = "digests"
)

// ChainEnd is the last digest of a chain.
type ChainEnd struct {
	ChainID   string `json:"chainID"`
	Bucket    string `json:"s3Bucket"`
	Object    string `json:"s3Object"`
	HashValue string `json:"hashValue"` // as previousDigestHashValue
	Signature string `json:"signature"`
}

// DigestLogFile is one log file as its digest lists it. HashValue is the
// lower-case hex SHA-256 of the uncompressed file.
type DigestLogFile struct {
	S3Bucket        string `json:"s3Bucket"`
	S3Object        string `json:"s3Object"`
	HashValue       string `json:"hashValue"`
	HashAlgorithm   string `json:"hashAlgorithm"`
	NewestEventTime string `json:"newestEventTime"`
	OldestEventTime string `json:"oldestEventTime"`
}

// Head names the newest digest of a trail. Kept outside the bucket, it lets a
// verifier notice that the newest digests were deleted.
type Head struct {
	TrailARN  string `json:"trailARN"`
	ChainID   string `json:"chainID"`
	Sequence  int64  `json:"sequence"`
	Bucket    string `json:"s3Bucket"`
	Object    string `json:"s3Object"`
	HashValue string `json:"hashValue"`
	Signature string `json:"signature"`
	EndTime   string `json:"endTime"`
	Final     bool   `json:"final"`
	// Fingerprint is that of the key that signed it; Trust is the lower-case
	// hex SHA-256 of the same key's PKCS#1 DER.
	Fingerprint string `json:"publicKeyFingerprint"`
	Trust       string `json:"publicKeySHA256"`
}

// StringToSign returns what is signed for a digest: CloudTrail's four lines.
// hashValue is the HexSHA256 of its uncompressed bytes.
func (d *Digest) StringToSign(hashValue string) []byte {
	previous := "null"
	if d.PreviousDigestSignature != nil {
		previous = *d.PreviousDigestSignature
	}
	return fmt.Appendf(nil, "%s\n%s/%s\n%s\n%s", d.DigestEndTime, d.DigestS3Bucket, d.DigestS3Object,
		hashValue, previous)
}

// HexSHA256 is the lower-case hex SHA-256 of b.
func HexSHA256(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// Fingerprint is CloudTrail's fingerprint of a public key in PKCS#1 DER:
// lower-case hex MD5.
func Fingerprint(der []byte) string {
	sum := md5.Sum(der) //nolint:gosec // see the import
	return hex.EncodeToString(sum[:])
}

// PublishedKey is the object under CloudTrail-Digest-Keys/ for one public key.
type PublishedKey struct {
	Fingerprint string `json:"fingerprint"`
	SHA256      string `json:"sha256"`
	// Value is the key in PKCS#1 DER (base64 in JSON).
	Value         []byte `json:"value"`
	ValidityStart string `json:"validityStartTime"`
	// SignedBy is the fingerprint of the key before it, whose signature over
	// Value is Signature (hex); both are empty for the first key.
	SignedBy  string `json:"signedBy,omitempty"`
	Signature string `json:"signature,omitempty"`
}

// Owner is the content of trail-owner.json, created before the first delivery.
type Owner struct {
	Installation string `json:"installationUID"`
	Trail        string `json:"trailUID"`
	TrailARN     string `json:"trailARN"`
	CreatedAt    string `json:"createdAt"`
}

// MustJSON encodes a value of this package; they cannot fail to encode.
func MustJSON(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic("record: " + err.Error())
	}
	return b
}
