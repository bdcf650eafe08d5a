package awscli

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/cloudtrail"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/trail-operator/trail-operator/internal/verify/verifytest"
)

// TestSDK follows a trail from its description to its log files with the AWS
// SDK for Go, and checks signatures with nothing of ours.
func TestSDK(t *testing.T) {
	for _, b := range backends(t) {
		t.Run(b.name, func(t *testing.T) { readWithSDK(t, newBucket(t, b, "sdk")) })
	}
}

func readWithSDK(t *testing.T, b *bucket) {
	creds := credentials.NewStaticCredentialsProvider("any", "any", "")
	trails := cloudtrail.New(cloudtrail.Options{BaseEndpoint: &b.endpoint, Region: b.Layout.Region, Credentials: creds})
	objects := s3.New(s3.Options{BaseEndpoint: &b.endpoint, Region: b.Layout.Region, Credentials: creds, UsePathStyle: true})

	described, err := trails.DescribeTrails(t.Context(), &cloudtrail.DescribeTrailsInput{})
	if err != nil {
		t.Fatal(err)
	}
	if len(described.TrailList) != 1 {
		t.Fatalf("%d trails are described, want 1", len(described.TrailList))
	}
	trail := described.TrailList[0]
	if *trail.TrailARN != b.ARN() || *trail.S3BucketName != b.Trail.Bucket || *trail.S3KeyPrefix != b.Layout.Prefix ||
		*trail.HomeRegion != b.Layout.Region || !*trail.LogFileValidationEnabled {
		t.Errorf("the trail is described as %+v", trail)
	}

	listed, err := trails.ListPublicKeys(t.Context(), &cloudtrail.ListPublicKeysInput{})
	if err != nil {
		t.Fatal(err)
	}
	keys := map[string]*rsa.PublicKey{}
	for _, k := range listed.PublicKeyList {
		if keys[*k.Fingerprint], err = x509.ParsePKCS1PublicKey(k.Value); err != nil {
			t.Fatal(err)
		}
	}
	if len(keys) != 2 {
		t.Errorf("%d public keys are listed, want 2", len(keys))
	}

	get := func(key string) ([]byte, map[string]string) {
		t.Helper()
		out, err := objects.GetObject(t.Context(), &s3.GetObjectInput{Bucket: trail.S3BucketName, Key: &key})
		if err != nil {
			t.Fatal(err)
		}
		defer out.Body.Close()
		body, err := io.ReadAll(out.Body)
		if err != nil {
			t.Fatal(err)
		}
		return verifytest.Gunzip(t, body), out.Metadata
	}
	files := 0
	for _, key := range b.Digests {
		content, metadata := get(key)
		var d struct {
			DigestEndTime, DigestS3Bucket, DigestS3Object, DigestPublicKeyFingerprint string
			PreviousDigestSignature                                                   *string
			LogFiles                                                                  []struct{ S3Object, HashValue string }
		}
		if err := json.Unmarshal(content, &d); err != nil {
			t.Fatal(err)
		}
		previous := "null"
		if d.PreviousDigestSignature != nil {
			previous = *d.PreviousDigestSignature
		}
		signed := sha256.Sum256(fmt.Appendf(nil, "%s\n%s/%s\n%x\n%s", d.DigestEndTime, d.DigestS3Bucket, d.DigestS3Object, sha256.Sum256(content), previous))
		signature, err := hex.DecodeString(metadata["signature"])
		if err != nil {
			t.Fatal(err)
		}
		if metadata["signature-algorithm"] != "SHA256withRSA" {
			t.Errorf("%s is signed with %q", key, metadata["signature-algorithm"])
		}
		if err := rsa.VerifyPKCS1v15(keys[d.DigestPublicKeyFingerprint], crypto.SHA256, signed[:], signature); err != nil {
			t.Errorf("%s: %v", key, err)
		}
		for _, f := range d.LogFiles {
			files++
			content, _ := get(f.S3Object)
			if got := fmt.Sprintf("%x", sha256.Sum256(content)); got != f.HashValue {
				t.Errorf("%s has the hash %s, want %s", f.S3Object, got, f.HashValue)
			}
			var log struct{ Records []json.RawMessage }
			if err := json.Unmarshal(content, &log); err != nil || len(log.Records) == 0 {
				t.Errorf("%s is no log file (%v)", f.S3Object, err)
			}
		}
	}
	if files != len(b.Files) {
		t.Errorf("the digests list %d log files, want %d", files, len(b.Files))
	}

	missing := "missing"
	_, err = objects.GetObject(t.Context(), &s3.GetObjectInput{Bucket: trail.S3BucketName, Key: &missing})
	var noKey *s3types.NoSuchKey
	if !errors.As(err, &noKey) {
		t.Errorf("a missing object: got %v, want NoSuchKey", err)
	}
	_, err = trails.LookupEvents(t.Context(), &cloudtrail.LookupEventsInput{})
	var apiErr interface{ ErrorCode() string }
	if !errors.As(err, &apiErr) || apiErr.ErrorCode() != "UnsupportedOperationException" {
		t.Errorf("an operation that is not served: %v", err)
	}
}
