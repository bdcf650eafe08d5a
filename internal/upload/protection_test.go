package upload_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"strings"
	"testing"
	"time"

	"k8s.io/utils/clock"

	"github.com/trail-operator/trail-operator/internal/objectstore"
	"github.com/trail-operator/trail-operator/internal/objectstore/memory"
	"github.com/trail-operator/trail-operator/internal/upload"
)

func TestProve(t *testing.T) {
	s3 := objectstore.Encryption{Type: objectstore.EncryptionS3}
	kms := objectstore.Encryption{Type: objectstore.EncryptionKMS, KMSKeyID: "k"}
	short := objectstore.Retention{Mode: objectstore.RetentionGovernance, Until: time.Now().Add(24 * time.Hour)}
	long := objectstore.Retention{Mode: objectstore.RetentionCompliance, Until: time.Now().Add(48 * time.Hour)}
	for name, tc := range map[string]struct {
		stored, asked upload.Protection
		fresh         error // of an object that was just stored
		earlier       error // of one that an earlier try has stored, when other things may have been asked for
	}{
		"nothing asked":        {},
		"as asked":             {upload.Protection{Encryption: kms, Retention: long}, upload.Protection{Encryption: kms, Retention: long}, nil, nil},
		"not encrypted":        {upload.Protection{Retention: long}, upload.Protection{Encryption: s3, Retention: long}, upload.ErrEncryptionIgnored, upload.ErrEncryptionIgnored},
		"another encryption":   {upload.Protection{Encryption: s3}, upload.Protection{Encryption: kms}, upload.ErrEncryptionIgnored, nil},
		"not retained":         {upload.Protection{Encryption: s3}, upload.Protection{Encryption: s3, Retention: short}, upload.ErrRetentionIgnored, upload.ErrRetentionIgnored},
		"not retained so long": {upload.Protection{Retention: short}, upload.Protection{Retention: long}, upload.ErrRetentionIgnored, nil},
		"gone":                 {fresh: objectstore.ErrNotExist, earlier: objectstore.ErrNotExist},
	} {
		t.Run(name, func(t *testing.T) {
			store, ctx := memory.New(clock.RealClock{}), context.Background()
			if err := errors.Join(store.SetVersioning(ctx, objectstore.VersioningEnabled), store.SetDefaultRetention(ctx, objectstore.DefaultRetention{})); err != nil {
				t.Fatal(err)
			}
			if tc.fresh == nil || !errors.Is(tc.fresh, objectstore.ErrNotExist) {
				o := objectstore.PutOptions{SHA256: sha256.Sum256([]byte("x")), Encryption: tc.stored.Encryption, Retention: tc.stored.Retention}
				if err := store.Create(ctx, key, strings.NewReader("x"), 1, o); err != nil {
					t.Fatal(err)
				}
			}
			if err := upload.Prove(ctx, store, key, tc.asked, false); !errors.Is(err, tc.fresh) {
				t.Errorf("just stored: want %v, got %v", tc.fresh, err)
			}
			if err := upload.Prove(ctx, store, key, tc.asked, true); !errors.Is(err, tc.earlier) {
				t.Errorf("stored earlier: want %v, got %v", tc.earlier, err)
			}
		})
	}
}
