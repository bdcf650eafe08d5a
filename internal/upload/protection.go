package upload

import (
	"context"
	"errors"

	"github.com/trail-operator/trail-operator/internal/objectstore"
)

var (
	// ErrEncryptionIgnored says that the server stored an object and did not
	// encrypt it as it was asked to.
	ErrEncryptionIgnored = errors.New("the server ignores the encryption that was asked for")
	// ErrRetentionIgnored says that the server stored an object and does not
	// retain it as it was asked to.
	ErrRetentionIgnored = errors.New("the server ignores the retention that was asked for")
)

// Protection is what is asked for an object; the zero value asks for nothing.
type Protection struct {
	Encryption objectstore.Encryption
	Retention  objectstore.Retention
}

// IsZero reports whether nothing is asked for.
func (p Protection) IsZero() bool { return p == Protection{} }

// Prove asks the server whether the object under key is protected as asked: a
// server may take it and ignore the wish. An object that an earlier try has
// stored may have been asked for another protection, so it only has to have
// some. Errors are ErrEncryptionIgnored, ErrRetentionIgnored and those of the
// store.
func Prove(ctx context.Context, store objectstore.Store, key string, asked Protection, earlier bool) error {
	info, err := store.Head(ctx, key)
	if err != nil {
		return err
	}
	if earlier {
		if asked.Encryption.Type != objectstore.EncryptionNone {
			asked.Encryption = objectstore.Encryption{Type: objectstore.EncryptionS3} // which a KMS meets, too
		}
		if asked.Retention.Mode != objectstore.RetentionNone {
			asked.Retention = objectstore.Retention{Mode: info.Retention.Mode}
			if info.Retention.Mode == objectstore.RetentionNone {
				return ErrRetentionIgnored
			}
		}
	}
	switch {
	case !info.Encryption.Meets(asked.Encryption):
		return ErrEncryptionIgnored
	case !info.Retention.Meets(asked.Retention):
		return ErrRetentionIgnored
	}
	return nil
}
