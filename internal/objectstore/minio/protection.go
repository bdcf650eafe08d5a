package minio

import (
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/encrypt"

	"github.com/trail-operator/trail-operator/internal/objectstore"
)

// protect adds the encryption and the retention that o asks for.
func protect(to *minio.PutObjectOptions, o objectstore.PutOptions) error {
	if err := o.Check(); err != nil {
		return err
	}
	switch o.Encryption.Type {
	case objectstore.EncryptionS3:
		to.ServerSideEncryption = encrypt.NewSSE()
	case objectstore.EncryptionKMS:
		to.ServerSideEncryption = kms(o.Encryption.KMSKeyID)
	}
	to.Mode, to.RetainUntilDate = minio.RetentionMode(o.Retention.Mode), o.Retention.Until
	return nil
}

// unlocked tells the refusal of a retention: servers have no code of its own
// for a bucket without object lock.
func unlocked(err error, o objectstore.PutOptions) error {
	var e *objectstore.Error
	if o.Retention.Mode != objectstore.RetentionNone && errors.As(err, &e) && e.Code == "InvalidRequest" {
		e.Err = objectstore.ErrBucketState
	}
	return err
}

// kms asks for a key, or for the server's default key: minio-go would send an
// empty name for that.
type kms string

// Type implements encrypt.ServerSide.
func (kms) Type() encrypt.Type { return encrypt.KMS }

// Marshal implements encrypt.ServerSide.
func (k kms) Marshal(h http.Header) {
	h.Set(encrypt.SseGenericHeader, string(objectstore.EncryptionKMS))
	if k != "" {
		h.Set(encrypt.SseKmsKeyID, string(k))
	}
}

// describeProtection reads what the server says of an object. What it says in
// words of its own counts as nothing.
func describeProtection(h http.Header) (objectstore.Encryption, objectstore.Retention) {
	e, ok := describeEncryption(h.Get(encrypt.SseGenericHeader), h.Get(encrypt.SseKmsKeyID))
	if !ok {
		e = objectstore.Encryption{}
	}
	mode := objectstore.RetentionMode(strings.ToUpper(h.Get("X-Amz-Object-Lock-Mode")))
	until, err := time.Parse(time.RFC3339, h.Get("X-Amz-Object-Lock-Retain-Until-Date"))
	if err != nil || mode != objectstore.RetentionGovernance && mode != objectstore.RetentionCompliance {
		return e, objectstore.Retention{}
	}
	return e, objectstore.Retention{Mode: mode, Until: until.UTC()}
}

func describeEncryption(algorithm, key string) (objectstore.Encryption, bool) {
	e := objectstore.Encryption{Type: objectstore.EncryptionType(algorithm), KMSKeyID: key}
	switch {
	case e.Type == objectstore.EncryptionNone || e.Type == objectstore.EncryptionS3:
		e.KMSKeyID = "" // which is the server's own
		return e, true
	case e.Type == objectstore.EncryptionKMS || algorithm == "aws:kms:dsse":
		return e, objectstore.IsKMSKeyID(key)
	}
	return objectstore.Encryption{}, false
}
