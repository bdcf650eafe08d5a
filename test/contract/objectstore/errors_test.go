package objectstore

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"testing"
	"time"

	"github.com/trail-operator/trail-operator/internal/objectstore"
	"github.com/trail-operator/trail-operator/internal/objectstore/minio"
	"github.com/trail-operator/trail-operator/test/testenv"
)

// TestErrors checks what the real servers answer to the mistakes of a
// configuration.
func TestErrors(t *testing.T) {
	onEachServer(t, func(t *testing.T, cfg objectstore.Config) {
		if err := open(t, cfg).CreateBucket(t.Context()); err != nil {
			t.Fatal(err)
		}
		for name, tc := range map[string]struct {
			change func(*objectstore.Config)
			want   error
		}{
			"missing bucket":     {func(c *objectstore.Config) {}, objectstore.ErrNoBucket},
			"unknown access key": {func(c *objectstore.Config) { c.AccessKey = "AKIAIOSFODNN7EXAMPLE" }, objectstore.ErrBadCredentials},
			"wrong secret":       {func(c *objectstore.Config) { c.SecretKey = "wrong-secret" }, objectstore.ErrBadCredentials},
			"another region":     {func(c *objectstore.Config) { c.Region = "eu-west-9" }, objectstore.ErrRegion},
			"forbidden address":  {func(c *objectstore.Config) { c.AllowPrivate = false }, objectstore.ErrForbiddenAddress},
		} {
			changed := cfg
			tc.change(&changed)
			s := open(t, changed)
			body := []byte("body")
			o := objectstore.PutOptions{SHA256: sha256.Sum256(body)}
			if err := s.Create(t.Context(), "key", bytes.NewReader(body), 4, o); !errors.Is(err, tc.want) {
				t.Errorf("%s: Create: want %q, got %q", name, tc.want, err)
			}
			if err := s.CheckBucket(t.Context(), ""); !errors.Is(err, tc.want) {
				t.Errorf("%s: CheckBucket: want %q, got %q", name, tc.want, err)
			}
		}
	})
}

// TestCertificates checks the answer to certificates that must not be accepted.
func TestCertificates(t *testing.T) {
	if testing.Short() {
		t.Skip("needs an S3 server, which may have to be built first")
	}
	otherCA, _, _ := certificate(t, time.Now().Add(time.Hour), "127.0.0.1")
	for name, tc := range map[string]struct {
		notAfter time.Time
		host     string
		trustIt  bool
		want     error
	}{
		"good":          {time.Now().Add(time.Hour), "127.0.0.1", true, objectstore.ErrNoBucket},
		"not trusted":   {time.Now().Add(time.Hour), "127.0.0.1", false, objectstore.ErrCertificate},
		"expired":       {time.Now().Add(-time.Hour), "127.0.0.1", true, objectstore.ErrCertificate},
		"of other host": {time.Now().Add(time.Hour), "s3.example.com", true, objectstore.ErrCertificate},
	} {
		t.Run(name, func(t *testing.T) {
			ca, certFile, keyFile := certificate(t, tc.notAfter, tc.host)
			if !tc.trustIt {
				ca = otherCA
			}
			server, err := testenv.StartVersityGW(context.Background(), t.TempDir(),
				testenv.S3Options{CertFile: certFile, KeyFile: keyFile, Log: t.Output()})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(server.Stop)
			s, err := minio.New(objectstore.Config{
				Endpoint: server.Endpoint, Region: server.Region, Bucket: "bucket",
				AccessKey: server.AccessKey, SecretKey: server.SecretKey, CA: ca, AllowPrivate: true,
			})
			if err != nil {
				t.Fatal(err)
			}
			if err := s.CheckBucket(t.Context(), ""); !errors.Is(err, tc.want) {
				t.Errorf("want %q, got %q", tc.want, err)
			}
		})
	}
}

// TestRestart: a server that was away is reached again, and kept everything.
func TestRestart(t *testing.T) {
	if testing.Short() {
		t.Skip("needs an S3 server, which may have to be built first")
	}
	dir := t.TempDir()
	server, err := testenv.StartVersityGW(context.Background(), dir, testenv.S3Options{Log: t.Output()})
	if err != nil {
		t.Fatal(err)
	}
	s := open(t, objectstore.Config{
		Endpoint: server.Endpoint, Region: server.Region, AccessKey: server.AccessKey, SecretKey: server.SecretKey, AllowPrivate: true,
	})
	body := []byte("body")
	create := func(key string) error {
		return s.Create(t.Context(), key, bytes.NewReader(body), 4, objectstore.PutOptions{SHA256: sha256.Sum256(body)})
	}
	if err := errors.Join(s.CreateBucket(t.Context()), create("before")); err != nil {
		t.Fatal(err)
	}
	server.Stop()
	if err := create("while away"); !errors.Is(err, objectstore.ErrUnreachable) {
		t.Errorf("while the server is away: want %q, got %v", objectstore.ErrUnreachable, err)
	}
	again, err := testenv.StartVersityGW(context.Background(), dir, testenv.S3Options{
		Address: server.Address(), AccessKey: server.AccessKey, SecretKey: server.SecretKey, Log: t.Output(),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(again.Stop)
	if err := create("before"); !errors.Is(err, objectstore.ErrExists) {
		t.Errorf("an object from before: want %q, got %v", objectstore.ErrExists, err)
	}
	if err := create("after"); err != nil {
		t.Errorf("a new object: %v", err)
	}
}
