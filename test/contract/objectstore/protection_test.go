package objectstore

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/trail-operator/trail-operator/internal/objectstore"
	"github.com/trail-operator/trail-operator/internal/objectstore/minio"
	"github.com/trail-operator/trail-operator/test/testenv"
)

// startManaged starts a server, and returns how to reach a bucket on it that
// does not exist yet.
func startManaged(t *testing.T, start start, o testenv.S3Options) objectstore.Config {
	t.Helper()
	if testing.Short() {
		t.Skip("needs S3 servers, which may have to be built first")
	}
	o.Log, o.Progress = t.Output(), os.Stderr
	s, err := start(context.Background(), t.TempDir(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	return objectstore.Config{
		Endpoint: s.Endpoint, Region: s.Region, AccessKey: s.AccessKey, SecretKey: s.SecretKey, AllowPrivate: true,
		Bucket: fmt.Sprintf("bucket-%d", buckets.Add(1)),
	}
}

func sdk(cfg objectstore.Config) *s3.Client {
	return s3.New(s3.Options{
		BaseEndpoint: &cfg.Endpoint, Region: cfg.Region, UsePathStyle: true,
		Credentials: credentials.NewStaticCredentialsProvider(cfg.AccessKey, cfg.SecretKey, ""),
	})
}

// TestProtectionOnTheWire: what is asked for stands in signed headers, the body
// goes as it is with its checksum, which object lock needs, and stays create-only.
func TestProtectionOnTheWire(t *testing.T) {
	for name, start := range map[string]start{"versitygw": testenv.StartVersityGW, "minio": testenv.StartMinIO} {
		t.Run(name, func(t *testing.T) {
			cfg := startManaged(t, start, testenv.S3Options{KMSKey: "test-key"})
			wire := newTap(t, strings.TrimPrefix(cfg.Endpoint, "http://"))
			cfg.Endpoint = "http://" + wire.address
			b, err := minio.NewManaged(cfg)
			if err != nil {
				t.Fatal(err)
			}
			if err := b.CreateLockedBucket(t.Context()); err != nil {
				t.Fatal(err)
			}
			until := time.Now().Add(25 * time.Hour)
			lock := objectstore.Retention{Mode: objectstore.RetentionCompliance, Until: until}
			for i, tc := range []struct {
				encryption objectstore.Encryption
				retention  objectstore.Retention
				want       map[string]string
			}{
				{want: map[string]string{}},
				{encryption: objectstore.Encryption{Type: objectstore.EncryptionS3}, want: map[string]string{"X-Amz-Server-Side-Encryption": "AES256"}},
				{
					encryption: objectstore.Encryption{Type: objectstore.EncryptionKMS, KMSKeyID: "test-key"}, retention: lock,
					want: map[string]string{
						"X-Amz-Server-Side-Encryption": "aws:kms", "X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id": "test-key",
						"X-Amz-Object-Lock-Mode": "COMPLIANCE", "X-Amz-Object-Lock-Retain-Until-Date": until.UTC().Format("2006-01-02T15:04:05Z"),
					},
				},
			} {
				wire.take()
				body, key := []byte("a body\x1f\x8b\r\n"), fmt.Sprint("AWSLogs/", i)
				o := objectstore.PutOptions{
					ContentType: "application/x-gzip", SHA256: sha256.Sum256(body), Encryption: tc.encryption, Retention: tc.retention,
				}
				if err := b.Create(t.Context(), key, bytes.NewReader(body), int64(len(body)), o); err != nil {
					t.Fatal(err)
				}
				sent, _ := wire.take()
				request := parseMessage(t, sent)
				if request.body != string(body) || request.headers["If-None-Match"] != "*" || request.headers["X-Amz-Checksum-Sha256"] == "" {
					t.Errorf("%d: want the plain body, create-only, with its checksum; got %q", i, sent)
				}
				got := map[string]string{}
				signed := strings.Split(between(request.headers["Authorization"], "SignedHeaders=", ","), ";")
				for header, value := range request.headers {
					if strings.HasPrefix(header, "X-Amz-Server-Side") || strings.HasPrefix(header, "X-Amz-Object-Lock") {
						got[header] = value
						if !slices.Contains(signed, strings.ToLower(header)) {
							t.Errorf("%d: %s is not signed", i, header)
						}
					}
				}
				if diff := cmp.Diff(tc.want, got); diff != "" {
					t.Errorf("%d: headers (-want +got):\n%s", i, diff)
				}
				if strings.Contains(sent, "aws-chunked") || strings.Contains(sent, "STREAMING") {
					t.Errorf("%d: the body should not be signed in chunks", i)
				}
				if err := b.Create(t.Context(), key, bytes.NewReader(body), int64(len(body)), o); !errors.Is(err, objectstore.ErrExists) {
					t.Errorf("%d: creating it again: got %v", i, err)
				}
			}
			client := sdk(cfg)
			info, err := client.GetObjectRetention(t.Context(), &s3.GetObjectRetentionInput{Bucket: &cfg.Bucket, Key: aws.String("AWSLogs/2")})
			if err != nil || info.Retention.Mode != types.ObjectLockRetentionModeCompliance {
				t.Errorf("GetObjectRetention: %+v, %v", info, err)
			}
			versions, err := client.ListObjectVersions(t.Context(), &s3.ListObjectVersionsInput{Bucket: &cfg.Bucket, Prefix: aws.String("AWSLogs/2")})
			if err != nil || len(versions.Versions) != 1 {
				t.Fatalf("ListObjectVersions: %+v, %v", versions, err)
			}
			_, err = client.DeleteObject(t.Context(), &s3.DeleteObjectInput{
				Bucket: &cfg.Bucket, Key: aws.String("AWSLogs/2"), VersionId: versions.Versions[0].VersionId, BypassGovernanceRetention: aws.Bool(true),
			})
			if err == nil {
				t.Error("a retained version could be deleted")
			}
		})
	}
}

// TestForeignLifecycle: rules that somebody else has made with another client
// stay as they are, and in force.
func TestForeignLifecycle(t *testing.T) {
	cfg := startManaged(t, testenv.StartMinIO, testenv.S3Options{FastScanner: true})
	b, err := minio.NewManaged(cfg)
	if err != nil {
		t.Fatal(err)
	}
	client, ctx := sdk(cfg), t.Context()
	if err := b.CreateLockedBucket(ctx); err != nil {
		t.Fatal(err)
	}
	create := func(key string) {
		t.Helper()
		if err := b.Create(ctx, key, strings.NewReader("x"), 1, objectstore.PutOptions{SHA256: sha256.Sum256([]byte("x"))}); err != nil {
			t.Fatal(err)
		}
	}
	create("old/1")
	create("kept/1")
	past := time.Now().Add(-48 * time.Hour).UTC().Truncate(24 * time.Hour)
	theirs := []types.LifecycleRule{
		{
			ID: aws.String("by date"), Status: types.ExpirationStatusEnabled,
			Filter: &types.LifecycleRuleFilter{Prefix: aws.String("old/")}, Expiration: &types.LifecycleExpiration{Date: &past},
		},
		{
			ID: aws.String("by tag"), Status: types.ExpirationStatusEnabled,
			Filter: &types.LifecycleRuleFilter{And: &types.LifecycleRuleAndOperator{
				Prefix: aws.String("tmp/"), Tags: []types.Tag{{Key: aws.String("a"), Value: aws.String("b")}},
			}},
			Expiration:                  &types.LifecycleExpiration{Days: aws.Int32(3)},
			NoncurrentVersionExpiration: &types.NoncurrentVersionExpiration{NoncurrentDays: aws.Int32(2), NewerNoncurrentVersions: aws.Int32(5)},
		},
		{
			ID: aws.String("markers"), Status: types.ExpirationStatusDisabled,
			Filter: &types.LifecycleRuleFilter{Prefix: aws.String("")}, Expiration: &types.LifecycleExpiration{ExpiredObjectDeleteMarker: aws.Bool(true)},
		},
	}
	_, err = client.PutBucketLifecycleConfiguration(ctx, &s3.PutBucketLifecycleConfigurationInput{
		Bucket: &cfg.Bucket, LifecycleConfiguration: &types.BucketLifecycleConfiguration{Rules: theirs},
	})
	if err != nil {
		t.Fatal(err)
	}
	rules := func() []types.LifecycleRule {
		t.Helper()
		answer, err := client.GetBucketLifecycleConfiguration(ctx, &s3.GetBucketLifecycleConfigurationInput{Bucket: &cfg.Bucket})
		if err != nil {
			t.Fatal(err)
		}
		return answer.Rules
	}
	before := rules()
	ours := []objectstore.LifecycleRule{{ID: "trail/1", Prefix: "p/", Enabled: true, ExpireDays: 30, NoncurrentExpireDays: 1}}
	if err := b.SetLifecycle(ctx, "trail/", ours); err != nil {
		t.Fatal(err)
	}
	ignore := cmpopts.IgnoreUnexported(types.LifecycleRule{}, types.LifecycleRuleFilter{}, types.LifecycleRuleAndOperator{}, types.Tag{},
		types.LifecycleExpiration{}, types.NoncurrentVersionExpiration{})
	after := rules()
	if len(after) != 4 || aws.ToString(after[3].ID) != "trail/1" {
		t.Fatalf("want their three rules and ours, got %d", len(after))
	}
	if diff := cmp.Diff(before, after[:3], ignore); diff != "" {
		t.Errorf("their rules (-before +after):\n%s", diff)
	}
	if err := b.SetLifecycle(ctx, "trail/", nil); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, rules(), ignore); diff != "" {
		t.Errorf("their rules, without ours again (-before +after):\n%s", diff)
	}
	deadline := time.Now().Add(time.Minute)
	for {
		_, err := b.Head(ctx, "old/1")
		if errors.Is(err, objectstore.ErrNotExist) {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("their rule is not in force any more: %v", err)
		}
		time.Sleep(100 * time.Millisecond)
	}
	if _, err := b.Head(ctx, "kept/1"); err != nil {
		t.Error(err)
	}
}
