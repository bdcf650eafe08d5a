package receiverconfig

import (
	"errors"
	"strings"

	"github.com/trail-operator/trail-operator/internal/record"
)

// MaxRetentionDays bounds a retention.
const MaxRetentionDays = 36500

// Bounds of what a destination asks for.
const (
	maxDays           = MaxRetentionDays
	maxKMSKeyID       = 2048
	maxLifecycleRules = 16
)

// validate checks how objects are reached and protected. An error never quotes
// a value: some of them are secret.
func (d *Destination) validate() error {
	if d.Ambient && d.AccessKeyID+d.SecretAccessKey+d.SessionToken != "" {
		return errors.New("the credentials are either given or ambient, not both")
	}
	if err := d.Encryption.validate(); err != nil {
		return err
	}
	return d.Retention.validate()
}

func (e Encryption) validate() error {
	switch e.Type {
	case "":
		if e.KMSKeyID != "" {
			return errors.New("the encryption has a key and no type")
		}
	case EncryptionS3:
		if e.KMSKeyID != "" {
			return errors.New("the encryption AES256 takes no KMS key")
		}
	case EncryptionKMS:
		if !IsKMSKeyID(e.KMSKeyID) {
			return errors.New("the KMS key is not an ID, alias or ARN")
		}
	default:
		return errors.New("the type of the encryption is neither AES256 nor aws:kms")
	}
	return nil
}

// IsKMSKeyID reports whether s can be the ID, alias or ARN of a key of a KMS;
// empty can.
func IsKMSKeyID(s string) bool {
	return len(s) <= maxKMSKeyID && strings.Trim(s, digits+letters+"ABCDEFGHIJKLMNOPQRSTUVWXYZ"+"-_:/.@+=,") == ""
}

func (r Retention) validate() error {
	switch {
	case r == Retention{}:
		return nil
	case r.Mode != RetentionGovernance && r.Mode != RetentionCompliance:
		return errors.New("the mode of the retention is neither GOVERNANCE nor COMPLIANCE")
	case r.Days < 1 || r.Days > maxDays:
		return errors.New("the days of the retention are not within 1 and 36500")
	}
	return nil
}

func validateLifecycle(rules []record.LifecycleRule) error {
	if len(rules) > maxLifecycleRules {
		return errors.New("there are more than 16 lifecycle rules")
	}
	for _, r := range rules {
		switch {
		case r.Objects != record.LifecycleLogs && r.Objects != record.LifecycleDigests:
			return errors.New("a lifecycle rule is about neither logs nor digests")
		case r.ExpireDays < 0 || r.ExpireDays > maxDays || r.TransitionDays < 0 || r.TransitionDays > maxDays:
			return errors.New("the days of a lifecycle rule are not within 0 and 36500")
		case r.ExpireDays == 0 && r.StorageClass == "":
			return errors.New("a lifecycle rule does nothing")
		case r.TransitionDays != 0 && r.StorageClass == "":
			return errors.New("a lifecycle rule moves objects to no storage class")
		case r.StorageClass != "" && !record.IsStorageClass(r.StorageClass):
			return errors.New("a storage class is not letters, digits, hyphens and underscores")
		}
	}
	return nil
}
