package objectstore

import (
	"context"
	"fmt"
	"os"
	"testing"

	"github.com/trail-operator/trail-operator/internal/objectstore"
	"github.com/trail-operator/trail-operator/internal/objectstore/minio"
	"github.com/trail-operator/trail-operator/internal/objectstore/storetest"
	"github.com/trail-operator/trail-operator/test/testenv"
)

// TestAdmin holds what each server makes of the settings of a bucket and the
// protection of objects. Where a server that was upgraded does better, or
// worse, the test says so.
func TestAdmin(t *testing.T) {
	if testing.Short() {
		t.Skip("needs S3 servers, which may have to be built first")
	}
	for _, server := range []struct {
		name    string
		start   start
		kmsKey  string
		differs map[storetest.Feature]storetest.Outcome
	}{
		{"versitygw", testenv.StartVersityGW, "", map[storetest.Feature]storetest.Outcome{
			storetest.DefaultEncryption:   storetest.NotImplemented,
			storetest.EncryptionS3:        storetest.Ignored,
			storetest.EncryptionKMS:       storetest.Ignored,
			storetest.EncryptionUnknown:   storetest.Ignored,
			storetest.LifecycleExpire:     storetest.NotImplemented,
			storetest.LifecycleAbort:      storetest.NotImplemented,
			storetest.LifecycleCombined:   storetest.NotImplemented,
			storetest.LifecycleTransition: storetest.NotImplemented,
			storetest.RetentionDefault:    storetest.Ignored, // by HEAD; deletion is refused all the same
			storetest.RetentionUnlocked:   storetest.Refused,
		}},
		{"minio", testenv.StartMinIO, "test-key", map[storetest.Feature]storetest.Outcome{
			storetest.EncryptionUnknown:   storetest.Refused,
			storetest.LifecycleAbort:      storetest.Refused,
			storetest.LifecycleCombined:   storetest.Ignored, // it drops the abort; it aborts uploads after a day by itself
			storetest.LifecycleTransition: storetest.Refused, // unless a tier of that name was configured
			storetest.PolicyACL:           storetest.Refused,
			storetest.RetentionUnlocked:   storetest.Refused,
		}},
		{"minio-without-KMS", testenv.StartMinIO, "", map[storetest.Feature]storetest.Outcome{
			storetest.DefaultEncryption:   storetest.NotImplemented,
			storetest.EncryptionS3:        storetest.NotImplemented,
			storetest.EncryptionKMS:       storetest.NotImplemented,
			storetest.EncryptionUnknown:   storetest.NotImplemented,
			storetest.LifecycleAbort:      storetest.Refused,
			storetest.LifecycleCombined:   storetest.Ignored,
			storetest.LifecycleTransition: storetest.Refused,
			storetest.PolicyACL:           storetest.Refused,
			storetest.RetentionUnlocked:   storetest.Refused,
		}},
	} {
		t.Run(server.name, func(t *testing.T) {
			s, err := server.start(context.Background(), t.TempDir(), testenv.S3Options{
				KMSKey: server.kmsKey, Log: t.Output(), Progress: os.Stderr,
			})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(s.Stop)
			storetest.RunAdmin(t, storetest.AdminServer{
				Open: func(t *testing.T) (objectstore.Managed, string) {
					t.Helper()
					bucket := fmt.Sprintf("bucket-%d", buckets.Add(1))
					b, err := minio.NewManaged(objectstore.Config{
						Endpoint: s.Endpoint, Region: s.Region, AccessKey: s.AccessKey, SecretKey: s.SecretKey, AllowPrivate: true,
						Bucket: bucket,
					})
					if err != nil {
						t.Fatal(err)
					}
					return b, bucket
				},
				KMSKey: "test-key", Differs: server.differs,
			})
		})
	}
}
