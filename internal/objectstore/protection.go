package objectstore

import (
	"errors"
	"strings"
	"time"
)

// EncryptionType says who holds the key with which a server encrypts.
type EncryptionType string

// The types of encryption, by their names in S3.
const (
	EncryptionNone EncryptionType = ""
	EncryptionS3   EncryptionType = "AES256"
	EncryptionKMS  EncryptionType = "aws:kms"
)

// Encryption is how a server encrypts what it stores.
type Encryption struct {
	Type EncryptionType
	// KMSKeyID is a key's ID, alias or ARN; with EncryptionKMS only. Empty asks
	// for the server's default key. A server may answer with the ARN.
	KMSKeyID string
}

// Meets reports whether e, which a server said of an object or a bucket, is
// what was asked for. A key of a KMS also does where any key would have done,
// and a key that was asked for by an alias cannot be told from others.
func (e Encryption) Meets(asked Encryption) bool {
	switch asked.Type {
	case EncryptionNone:
		return true
	case EncryptionS3:
		return e.Type == EncryptionS3 || e.isKMS()
	}
	return e.isKMS() && (asked.KMSKeyID == "" || isAlias(asked.KMSKeyID) || keyName(e.KMSKeyID) == keyName(asked.KMSKeyID))
}

// Check says what is wrong with an encryption that somebody asks for.
func (e Encryption) Check() error {
	switch {
	case e.Type != EncryptionNone && e.Type != EncryptionS3 && e.Type != EncryptionKMS:
		return errors.New("the type of the encryption is neither AES256 nor aws:kms")
	case e.KMSKeyID != "" && e.Type != EncryptionKMS:
		return errors.New("a KMS key goes with the encryption aws:kms only")
	case !IsKMSKeyID(e.KMSKeyID):
		return errors.New("the KMS key is not an ID, alias or ARN")
	}
	return nil
}

// IsKMSKeyID reports whether s can be the ID, alias or ARN of a key; empty can.
// It goes into a header.
func IsKMSKeyID(s string) bool {
	for _, c := range []byte(s) {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && !strings.ContainsRune("-_:/.@+=,", rune(c)) {
			return false
		}
	}
	return len(s) <= 2048
}

// isKMS: aws:kms:dsse encrypts twice.
func (e Encryption) isKMS() bool {
	return e.Type == EncryptionKMS || strings.HasPrefix(string(e.Type), string(EncryptionKMS)+":")
}

func isAlias(key string) bool {
	return strings.HasPrefix(key, "alias/") || strings.Contains(key, ":alias/")
}

// keyName returns the ID in an ARN: arn:aws:kms:<region>:<account>:key/<ID>,
// or arn:aws:kms:<ID>, which is what MinIO makes of it.
func keyName(key string) string {
	if !strings.HasPrefix(key, "arn:") {
		return key
	}
	key = key[strings.LastIndexByte(key, ':')+1:]
	return strings.TrimPrefix(key, "key/")
}

// RetentionMode says who may shorten a retention.
type RetentionMode string

// The modes, by their names in S3.
const (
	RetentionNone       RetentionMode = ""
	RetentionGovernance RetentionMode = "GOVERNANCE" // those with a special permission
	RetentionCompliance RetentionMode = "COMPLIANCE" // nobody
)

// Retention keeps a version of an object from being deleted or overwritten. The
// bucket must have object lock.
type Retention struct {
	Mode  RetentionMode
	Until time.Time // whole seconds count
}

// Check says what is wrong with a retention that somebody asks for.
func (r Retention) Check() error {
	switch {
	case r.Mode == RetentionNone && r.Until.IsZero():
		return nil
	case r.Mode != RetentionGovernance && r.Mode != RetentionCompliance:
		return errors.New("the mode of the retention is neither GOVERNANCE nor COMPLIANCE")
	case r.Until.IsZero():
		return errors.New("the retention has no end")
	}
	return nil
}

// Check says what is wrong with the protection that is asked for.
func (o PutOptions) Check() error {
	if err := o.Encryption.Check(); err != nil {
		return err
	}
	return o.Retention.Check()
}

// Meets reports whether r, which a server said of an object, protects it at
// least as asked.
func (r Retention) Meets(asked Retention) bool {
	if asked.Mode == RetentionNone {
		return true
	}
	return (r.Mode == asked.Mode || r.Mode == RetentionCompliance) && !r.Until.Before(asked.Until.Truncate(time.Second))
}
