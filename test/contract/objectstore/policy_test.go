package objectstore

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/trail-operator/trail-operator/api/v1alpha1"
	"github.com/trail-operator/trail-operator/internal/bucket"
	"github.com/trail-operator/trail-operator/internal/objectstore"
	"github.com/trail-operator/trail-operator/internal/objectstore/minio"
	"github.com/trail-operator/trail-operator/internal/record"
	"github.com/trail-operator/trail-operator/test/testenv"
)

// user is somebody on a server.
type user testenv.S3User

func (u user) open(t *testing.T, cfg objectstore.Config) objectstore.Managed {
	t.Helper()
	cfg.AccessKey, cfg.SecretKey, cfg.Token = u.AccessKey, u.SecretKey, u.SessionToken
	s, err := minio.NewManaged(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestPolicy: with exactly the policies that `kubectl trail bucket-policy`
// prints, a trail's writer and readers can do what they must, and nothing else.
func TestPolicy(t *testing.T) {
	layout := record.Layout{Prefix: "shop/audit", Account: "000000000042", Region: "eu-1"}
	trail := bucket.Trail{ARN: record.TrailARN("eu-1", "000000000042", "shop.audit"), Layout: layout}
	for _, server := range []struct {
		name  string
		start start
		// lifts: who may lock objects may lift Governance locks, too, whatever
		// the policy says of s3:BypassGovernanceRetention.
		lifts bool
		// users makes a writer, a reader, and somebody for whom nothing was allowed.
		users func(t *testing.T, s *testenv.S3Server, cfg objectstore.Config, d v1alpha1.Destination) (writer, reader, stranger user)
	}{
		{"versitygw", testenv.StartVersityGW, false, func(t *testing.T, s *testenv.S3Server, cfg objectstore.Config, d v1alpha1.Destination) (writer, reader, stranger user) {
			t.Helper()
			named := func(name string) user {
				t.Helper()
				u, err := s.NewVersityUser(t.Context(), name)
				wantNoError(t, "making the user "+name, err)
				return user(u)
			}
			writer, reader, stranger = named("writer"), named("reader"), named("stranger")
			setPolicy(t, cfg, bucket.PolicyOf(d, trail, nil, bucket.Access{Writer: writer.AccessKey, Readers: []string{reader.AccessKey}}))
			return writer, reader, stranger
		}},
		{"minio", testenv.StartMinIO, true, func(t *testing.T, s *testenv.S3Server, cfg objectstore.Config, d v1alpha1.Destination) (writer, reader, stranger user) {
			t.Helper()
			// Its bucket policies do not concern users, but it must take them.
			setPolicy(t, cfg, bucket.PolicyOf(d, trail, nil, bucket.Access{Writer: "arn:aws:iam::123456789012:user/writer", Readers: []string{"arn:aws:iam::123456789012:user/reader"}}))
			nothing := bucket.Policy{Version: "2012-10-17", Statement: []bucket.Statement{{
				Effect: "Allow", Action: []string{"s3:GetObject"}, Resource: []string{"arn:aws:s3:::elsewhere/*"},
			}}}
			with := func(p bucket.Policy) user {
				t.Helper()
				u, err := s.NewMinIOUser(t.Context(), p.JSON())
				wantNoError(t, "making a user", err)
				return user(u)
			}
			return with(bucket.WriterPolicy(d, trail, nil)), with(bucket.ReaderPolicy(d, trail)), with(nothing)
		}},
	} {
		t.Run(server.name, func(t *testing.T) {
			var running *testenv.S3Server
			cfg := startManaged(t, func(ctx context.Context, dir string, o testenv.S3Options) (s *testenv.S3Server, err error) {
				running, err = server.start(ctx, dir, o)
				return running, err
			}, testenv.S3Options{KMSKey: "test-key"})
			owner, err := minio.NewManaged(cfg)
			if err != nil {
				t.Fatal(err)
			}
			if err := owner.CreateLockedBucket(t.Context()); err != nil {
				t.Fatal(err)
			}
			d := v1alpha1.Destination{
				Endpoint: cfg.Endpoint, Bucket: cfg.Bucket,
				Versioning: v1alpha1.VersioningEnabled,
				ObjectLock: &v1alpha1.ObjectLock{Mode: v1alpha1.LockGovernance, Days: 1},
				Tags:       []v1alpha1.Tag{{Key: "team", Value: "shop"}},
			}
			if server.name == "minio" {
				d.Encryption = &v1alpha1.Encryption{Type: v1alpha1.EncryptionKMS, KMSKeyID: "test-key"}
				d.Lifecycle = &v1alpha1.Lifecycle{ExpireAfterDays: 30}
			}
			put(t, owner, "others/AWSLogs/1/secret", objectstore.PutOptions{})
			writer, reader, stranger := server.users(t, running, cfg, d)
			w, r, s := writer.open(t, cfg), reader.open(t, cfg), stranger.open(t, cfg)

			// What the manager does.
			want := bucket.Want(d, trail, nil)
			wantNoError(t, "check the bucket", w.CheckBucket(t.Context(), layout.Place()))
			if _, err := bucket.Manage(t.Context(), w, want); err != nil {
				t.Errorf("setting the bucket up: %v", err)
			}
			if _, err := w.Head(t.Context(), layout.Owner()); !errors.Is(err, objectstore.ErrNotExist) {
				t.Errorf("an object that is not there: %v", err)
			}
			protected := objectstore.PutOptions{
				Encryption: want.Encryption,
				Retention:  objectstore.Retention{Mode: want.Retention.Mode, Until: time.Now().AddDate(0, 0, want.Retention.Days)},
			}
			proof := strings.TrimSuffix(layout.Owner(), ".json") + "-0123-20261121T000000Z.json"
			log, digest := layout.LogFile(time.Now(), "0123456789abcdef"), layout.Digest("shop.audit", time.Now())
			keys := []string{layout.Owner(), proof, layout.DigestKey("ff"), log, digest}
			for _, key := range keys {
				put(t, w, key, protected)
				if err := create(t, w, key, protected); !errors.Is(err, objectstore.ErrExists) {
					t.Errorf("creating %s again: %v", key, err)
				}
				info, err := w.Head(t.Context(), key)
				if err != nil || info.Retention.Mode != want.Retention.Mode {
					t.Errorf("the writer looks at %s: %+v, %v", key, info, err)
				}
				wantNoError(t, "the writer reads "+key, get(t, w, key))
				wantNoError(t, "the reader reads "+key, get(t, r, key))
			}
			for who, store := range map[string]objectstore.Managed{"writer": w, "reader": r} {
				for _, prefix := range []string{layout.LogFiles(), layout.Digests(), layout.DigestKeys(), layout.Place()} {
					if n, err := count(t, store, prefix); err != nil || n == 0 {
						t.Errorf("the %s lists %s: %d, %v", who, prefix, n, err)
					}
				}
			}
			if err := get(t, r, layout.LogFile(time.Now(), "fedcba9876543210")); !errors.Is(err, objectstore.ErrNotExist) {
				t.Errorf("the reader misses a file: %v", err)
			}

			// What nobody may do.
			elsewhere := cfg
			elsewhere.Bucket = cfg.Bucket + "-other"
			other, err := minio.NewManaged(elsewhere)
			if err != nil {
				t.Fatal(err)
			}
			wantNoError(t, "another bucket", other.CreateBucket(t.Context()))
			put(t, other, layout.Owner(), objectstore.PutOptions{})
			denied := func(who, what string, err error) {
				t.Helper()
				if !errors.Is(err, objectstore.ErrAccessDenied) {
					t.Errorf("the %s may %s: %v", who, what, err)
				}
			}
			for who, u := range map[string]user{"writer": writer, "reader": reader, "stranger": stranger} {
				store, foreign := u.open(t, cfg), u.open(t, elsewhere)
				for _, prefix := range []string{"", "others/", "shop/", "shop/audit/AWSLogs/00000000004"} {
					_, err := count(t, store, prefix)
					denied(who, "list "+prefix, err)
				}
				denied(who, "write elsewhere", create(t, store, "others/AWSLogs/1/new", objectstore.PutOptions{}))
				denied(who, "write into another account", create(t, store, "shop/audit/AWSLogs/000000000043/CloudTrail/x", objectstore.PutOptions{}))
				denied(who, "read what is another's", get(t, store, "others/AWSLogs/1/secret"))
				denied(who, "list another bucket", foreign.CheckBucket(t.Context(), layout.Place()))
				denied(who, "read another bucket", get(t, foreign, layout.Owner()))
				denied(who, "write into another bucket", create(t, foreign, log, objectstore.PutOptions{}))
				denied(who, "write the policy", store.SetPolicy(t.Context(), `{"Version":"2012-10-17","Statement":[]}`))
				client := u.sdk(cfg)
				for _, key := range []string{log, layout.Owner(), "others/AWSLogs/1/secret"} {
					_, err := client.DeleteObject(t.Context(), &s3.DeleteObjectInput{Bucket: &cfg.Bucket, Key: &key})
					isDenied(t, who, "delete "+key, err)
					_, err = client.PutObjectRetention(t.Context(), &s3.PutObjectRetentionInput{
						Bucket: &cfg.Bucket, Key: &key, BypassGovernanceRetention: aws.Bool(true),
						Retention: &types.ObjectLockRetention{Mode: types.ObjectLockRetentionModeGovernance, RetainUntilDate: aws.Time(time.Now().Add(time.Minute))},
					})
					if lifted := err == nil; lifted != (server.lifts && who == "writer" && strings.HasPrefix(key, layout.Place())) {
						t.Errorf("the %s shortens the lock of %s: %v", who, key, err)
					}
				}
				_, err := client.DeleteBucket(t.Context(), &s3.DeleteBucketInput{Bucket: &cfg.Bucket})
				isDenied(t, who, "delete the bucket", err)
			}
			for who, store := range map[string]objectstore.Managed{"reader": r, "stranger": s} {
				denied(who, "write", create(t, store, log+"2", objectstore.PutOptions{}))
				denied(who, "switch versioning off", store.SetVersioning(t.Context(), objectstore.VersioningSuspended))
				_, err := store.Lifecycle(t.Context())
				if !errors.Is(err, objectstore.ErrNotImplemented) {
					denied(who, "read the rules", err)
				}
			}
			denied("stranger", "read", get(t, s, log))
			denied("stranger", "list", s.CheckBucket(t.Context(), layout.Place()))
		})
	}
}

func setPolicy(t *testing.T, cfg objectstore.Config, p bucket.Policy) {
	t.Helper()
	owner, err := minio.NewManaged(cfg)
	if err != nil {
		t.Fatal(err)
	}
	merged, _, err := bucket.Merge("", p)
	if err != nil {
		t.Fatal(err)
	}
	if err := owner.SetPolicy(t.Context(), merged); err != nil {
		t.Fatal(err)
	}
	got, err := owner.Policy(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := bucket.CheckMerged(merged, got); err != nil {
		t.Errorf("%v: wrote\n%s\nand got\n%s", err, merged, got)
	}
}

func (u user) sdk(cfg objectstore.Config) *s3.Client {
	client := sdk(cfg)
	o := client.Options()
	o.Credentials = aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		return aws.Credentials{AccessKeyID: u.AccessKey, SecretAccessKey: u.SecretKey, SessionToken: u.SessionToken}, nil
	})
	return s3.New(o)
}

func create(t *testing.T, s objectstore.Store, key string, o objectstore.PutOptions) error {
	t.Helper()
	body := []byte("body")
	o.SHA256 = sha256.Sum256(body)
	return s.Create(t.Context(), key, bytes.NewReader(body), int64(len(body)), o)
}

func put(t *testing.T, s objectstore.Store, key string, o objectstore.PutOptions) {
	t.Helper()
	wantNoError(t, "creating "+key, create(t, s, key, o))
}

func get(t *testing.T, s objectstore.Store, key string) error {
	t.Helper()
	body, _, err := s.Get(t.Context(), key)
	if err == nil {
		_, err = io.Copy(io.Discard, body)
		_ = body.Close()
	}
	return err
}

func count(t *testing.T, s objectstore.Store, prefix string) (n int, err error) {
	t.Helper()
	for _, err := range s.List(t.Context(), prefix, "") {
		if err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}

func wantNoError(t *testing.T, what string, err error) {
	t.Helper()
	if err != nil {
		t.Errorf("%s: %v", what, err)
	}
}

func isDenied(t *testing.T, who, what string, err error) {
	t.Helper()
	var api interface{ ErrorCode() string }
	if !errors.As(err, &api) || !strings.Contains(api.ErrorCode(), "AccessDenied") {
		t.Errorf("the %s may %s: %v", who, what, err)
	}
}

// TestCloudTrailForm holds which servers take the statements that AWS documents
// for CloudTrail.
func TestCloudTrailForm(t *testing.T) {
	trail := bucket.Trail{ARN: record.TrailARN("eu-1", "000000000042", "shop.audit"), Layout: record.Layout{Prefix: "a", Account: "000000000042", Region: "eu-1"}}
	for name, start := range map[string]start{"versitygw": testenv.StartVersityGW, "minio": testenv.StartMinIO} {
		t.Run(name, func(t *testing.T) {
			cfg := startManaged(t, start, testenv.S3Options{Progress: os.Stderr})
			owner, err := minio.NewManaged(cfg)
			if err != nil {
				t.Fatal(err)
			}
			wantNoError(t, "the bucket", owner.CreateBucket(t.Context()))
			merged, _, err := bucket.Merge("", bucket.PolicyOf(v1alpha1.Destination{Endpoint: cfg.Endpoint, Bucket: cfg.Bucket}, trail, nil, bucket.Access{CloudTrail: true}))
			if err != nil {
				t.Fatal(err)
			}
			err = owner.SetPolicy(t.Context(), merged)
			var refused *objectstore.Error
			if !errors.As(err, &refused) || refused.Code != "MalformedPolicy" || refused.Status != 400 {
				t.Errorf("it was refused by now: %v", err)
			}
			if after, err := owner.Policy(t.Context()); err != nil || after != "" {
				t.Errorf("the policy is %q, %v", after, err)
			}
		})
	}
}

// TestPolicyClosesPlainHTTP: the place of a trail whose endpoint is https is
// closed to whoever comes without TLS, its writer too.
func TestPolicyClosesPlainHTTP(t *testing.T) {
	layout := record.Layout{Prefix: "a", Account: "000000000042", Region: "eu-1"}
	trail := bucket.Trail{ARN: record.TrailARN("eu-1", "000000000042", "shop.audit"), Layout: layout}
	for name, encrypted := range map[string]bool{"http": false, "https": true} {
		t.Run(name, func(t *testing.T) {
			var running *testenv.S3Server
			var ca []byte
			var o testenv.S3Options
			if encrypted {
				ca, o.CertFile, o.KeyFile = certificate(t, time.Now().Add(time.Hour), "127.0.0.1")
			}
			cfg := startManaged(t, func(ctx context.Context, dir string, o testenv.S3Options) (s *testenv.S3Server, err error) {
				running, err = testenv.StartVersityGW(ctx, dir, o)
				return running, err
			}, o)
			cfg.CA = ca
			owner, err := minio.NewManaged(cfg)
			if err != nil {
				t.Fatal(err)
			}
			wantNoError(t, "the bucket", owner.CreateBucket(t.Context()))
			u, err := running.NewVersityUser(t.Context(), "writer")
			wantNoError(t, "the user", err)
			d := v1alpha1.Destination{Endpoint: "https://s3.example.com", Bucket: cfg.Bucket}
			setPolicy(t, cfg, bucket.PolicyOf(d, trail, nil, bucket.Access{Writer: "writer"}))
			err = create(t, user(u).open(t, cfg), layout.Owner(), objectstore.PutOptions{})
			if encrypted && err != nil || !encrypted && !errors.Is(err, objectstore.ErrAccessDenied) {
				t.Errorf("got %v", err)
			}
		})
	}
}
