// Package awscli proves that the AWS CLI and the AWS SDK for Go, as they are,
// read and validate what we write.
package awscli

import (
	"bytes"
	"context"
	"fmt"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/go-logr/logr/testr"
	"k8s.io/utils/clock"

	"github.com/trail-operator/trail-operator/internal/cloudtrailapi"
	"github.com/trail-operator/trail-operator/internal/digest"
	"github.com/trail-operator/trail-operator/internal/objectstore"
	"github.com/trail-operator/trail-operator/internal/objectstore/memory"
	"github.com/trail-operator/trail-operator/internal/objectstore/minio"
	"github.com/trail-operator/trail-operator/internal/record"
	"github.com/trail-operator/trail-operator/internal/verify"
	"github.com/trail-operator/trail-operator/internal/verify/verifytest"
	"github.com/trail-operator/trail-operator/test/testenv"
)

// bucket is a trail in a bucket, the endpoint that serves it, and what an
// intruder can do to it.
type bucket struct {
	*verifytest.Trail
	store    objectstore.Store
	endpoint string
	replace  func(t *testing.T, key string, body []byte)
	remove   func(t *testing.T, key string)
	start    time.Time
}

// backend makes the store of a bucket.
type backend struct {
	name string
	open func(t *testing.T, name string) *bucket
}

// backends returns the stores that every test runs on.
func backends(t *testing.T) []backend {
	t.Helper()
	server, err := testenv.StartVersityGW(context.Background(), t.TempDir(), testenv.S3Options{Log: t.Output(), Progress: t.Output()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Stop)
	return []backend{
		{"memory", inMemory},
		{"versitygw", func(t *testing.T, name string) *bucket { return onServer(t, server, name) }},
	}
}

func inMemory(_ *testing.T, _ string) *bucket {
	store := memory.New(clock.RealClock{})
	return &bucket{
		store:   store,
		replace: func(_ *testing.T, key string, body []byte) { store.Overwrite(key, body) },
		remove:  func(_ *testing.T, key string) { store.Delete(key) },
	}
}

func onServer(t *testing.T, server *testenv.S3Server, name string) *bucket {
	t.Helper()
	store, err := minio.New(objectstore.Config{
		Endpoint: server.Endpoint, Region: server.Region, Bucket: name,
		AccessKey: server.AccessKey, SecretKey: server.SecretKey, AllowPrivate: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := store.CreateBucket(t.Context()); err != nil {
		t.Fatal(err)
	}
	intruder := s3.New(s3.Options{
		BaseEndpoint: &server.Endpoint, UsePathStyle: true, Region: server.Region,
		Credentials: credentials.NewStaticCredentialsProvider(server.AccessKey, server.SecretKey, ""),
	})
	return &bucket{
		store: store,
		replace: func(t *testing.T, key string, body []byte) {
			old, err := intruder.HeadObject(t.Context(), &s3.HeadObjectInput{Bucket: &name, Key: &key})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := intruder.PutObject(t.Context(), &s3.PutObjectInput{
				Bucket: &name, Key: &key, Body: bytes.NewReader(body), Metadata: old.Metadata,
			}); err != nil {
				t.Fatal(err)
			}
		},
		remove: func(t *testing.T, key string) {
			if _, err := intruder.DeleteObject(t.Context(), &s3.DeleteObjectInput{Bucket: &name, Key: &key}); err != nil {
				t.Fatal(err)
			}
		},
	}
}

// newBucket makes a bucket with a trail of five hours and a final digest, with a
// key that was rotated on the way, and serves it.
func newBucket(t *testing.T, b backend, name string) *bucket {
	t.Helper()
	bk := fill(t, b.open(t, name), func(bk *bucket) *verifytest.Trail { return verifytest.New(t, bk.store, name, bk.start) })
	bk.serve(t)
	return bk
}

// serve answers clients for the bucket.
func (b *bucket) serve(t *testing.T) {
	server := httptest.NewServer(cloudtrailapi.New(b, testr.New(t)))
	t.Cleanup(server.Close)
	b.endpoint = server.URL
}

// fill writes the trail that begin has begun.
func fill(t *testing.T, bk *bucket, begin func(*bucket) *verifytest.Trail) *bucket {
	t.Helper()
	bk.start = time.Now().UTC().Truncate(time.Hour).Add(-5*time.Hour + 20*time.Minute)
	bk.Trail = begin(bk)
	bk.Hours(t, 3, 2)
	bk.Rotate(t)
	bk.Lifecycle = []record.LifecycleRule{{Objects: record.LifecycleLogs, ExpireDays: 365, TransitionDays: 30, StorageClass: "GLACIER"}}
	bk.Hours(t, 2, 2)
	bk.finish(t)
	return bk
}

// finish ends the chain now: what is planted later cannot wait for a digest.
func (b *bucket) finish(t *testing.T) {
	t.Helper()
	b.Final(t, digest.FinalWindow(b.End(), time.Now()).End, 1)
}

// Trails implements cloudtrailapi.Source.
func (b *bucket) Trails(context.Context) ([]cloudtrailapi.Trail, error) {
	return []cloudtrailapi.Trail{{
		Name: b.Name, ARN: b.ARN(), Region: b.Layout.Region, Bucket: b.Trail.Bucket, Prefix: b.Layout.Prefix,
		Organization: b.Layout.Organization, Validation: true,
	}}, nil
}

// PublicKeys implements cloudtrailapi.Source.
func (b *bucket) PublicKeys(context.Context) ([]record.PublishedKey, error) { return b.Keys, nil }

// Bucket implements cloudtrailapi.Source.
func (b *bucket) Bucket(_ context.Context, name string) (objectstore.Store, error) {
	if name != b.Trail.Bucket {
		return nil, objectstore.ErrNoBucket
	}
	return b.store, nil
}

// verify runs our own verifier with a pin and the head.
func (b *bucket) verify(t *testing.T) *verify.Result {
	t.Helper()
	r, err := verify.Run(t.Context(), verify.Options{
		Reader: b.store, Layout: b.Layout, Trail: b.Name, Bucket: b.Trail.Bucket, Trust: b.Keys[0].SHA256,
		Heads: []record.Head{b.Last.Head},
	})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// wantFindings checks that our verifier finds exactly these.
func (b *bucket) wantFindings(t *testing.T, want ...string) {
	t.Helper()
	r := b.verify(t)
	var got []string
	for _, f := range r.Findings {
		got = append(got, fmt.Sprintf("%s %s", f.Kind, f.Key))
	}
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) || r.Valid != (len(want) == 0) {
		t.Errorf("valid is %v; found\n%q\nwant\n%q", r.Valid, got, want)
	}
}
