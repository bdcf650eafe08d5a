package storetest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/trail-operator/trail-operator/internal/objectstore"
)

// policyOf lets everybody write below a prefix of the bucket.
func policyOf(bucket, condition string) string {
	return fmt.Sprintf(`{"Version":"2012-10-17","Statement":[{"Sid":"one","Effect":"Allow","Principal":{"AWS":["*"]},`+
		`"Action":["s3:PutObject"],"Resource":["arn:aws:s3:::%s/public/*"]%s}]}`, bucket, condition)
}

func testPolicy(t *testing.T, s AdminServer) Outcome {
	b, name := s.Open(t)
	wantNil(t, b.CreateBucket(t.Context()))
	ctx, read := t.Context(), must[string](t)
	if got := read(b.Policy(ctx)); got != "" {
		t.Errorf("a new bucket has the policy %q", got)
	}
	policy := policyOf(name, "")
	o := outcome(t, b.SetPolicy(ctx, policy), func() bool {
		got := read(b.Policy(ctx))
		return json.Valid([]byte(got)) && strings.Contains(got, "s3:PutObject")
	})
	if o != Works {
		return o
	}
	for range 2 {
		wantNil(t, b.SetPolicy(ctx, ""))
		if got := read(b.Policy(ctx)); got != "" {
			t.Errorf("want no policy, got %q", got)
		}
	}
	wantNil(t, b.CheckBucket(ctx, ""))
	return Works
}

func testPolicyACL(t *testing.T, s AdminServer) Outcome {
	b, name := s.Open(t)
	ctx := t.Context()
	wantNil(t, b.CreateBucket(ctx))
	policy := policyOf(name, `,"Condition":{"StringEquals":{"s3:x-amz-acl":"bucket-owner-full-control"}}`)
	return outcome(t, b.SetPolicy(ctx, policy), func() bool {
		return strings.Contains(must[string](t)(b.Policy(ctx)), "x-amz-acl")
	})
}

// object stores an object with a protection, and tells what became of it.
func object(e objectstore.Encryption) func(*testing.T, AdminServer) Outcome {
	return func(t *testing.T, s AdminServer) Outcome {
		b := created(t, s)
		return protect(t, b, e, objectstore.Retention{})
	}
}

func protect(t *testing.T, b objectstore.Managed, e objectstore.Encryption, r objectstore.Retention) Outcome {
	t.Helper()
	body := []byte("a body that was asked to be protected")
	o := options(body)
	o.Encryption, o.Retention = e, r
	put := func(body []byte) error {
		return b.Create(t.Context(), "key", bytes.NewReader(body), int64(len(body)), o)
	}
	result := outcome(t, put(body), func() bool {
		info := must[objectstore.Info](t)(b.Head(t.Context(), "key"))
		return info.Encryption.Meets(e) && info.Retention.Meets(r)
	})
	if result == Works || result == Ignored {
		if got := read(t, b, "key"); !bytes.Equal(got, body) {
			t.Errorf("the body came back as %q", got)
		}
		wantError(t, "creating it again", put(body), objectstore.ErrExists)
	}
	return result
}

func testRetention(t *testing.T, s AdminServer) Outcome {
	for _, mode := range []objectstore.RetentionMode{objectstore.RetentionGovernance, objectstore.RetentionCompliance} {
		until := time.Now().Add(26 * time.Hour).UTC()
		b := locked(t, s)
		if o := protect(t, b, objectstore.Encryption{}, objectstore.Retention{Mode: mode, Until: until}); o != Works {
			return o
		}
		info, err := b.Head(t.Context(), "key")
		want := objectstore.Retention{Mode: mode, Until: until.Truncate(time.Second)}
		if info.Retention.Until = info.Retention.Until.Truncate(time.Second); err != nil || info.Retention != want {
			t.Errorf("want %+v, got %+v, %v", want, info.Retention, err)
		}
	}
	return Works
}

func testRetentionDefault(t *testing.T, s AdminServer) Outcome {
	b, ctx := locked(t, s), t.Context()
	err := b.SetDefaultRetention(ctx, objectstore.DefaultRetention{Mode: objectstore.RetentionGovernance, Days: 2})
	return outcome(t, err, func() bool {
		mustCreate(t, b, "key", []byte("x"))
		info := must[objectstore.Info](t)(b.Head(ctx, "key"))
		return info.Retention.Meets(objectstore.Retention{Mode: objectstore.RetentionGovernance, Until: time.Now().Add(47 * time.Hour)})
	})
}

func testRetentionUnlocked(t *testing.T, s AdminServer) Outcome {
	b, body := created(t, s), []byte("x")
	o := options(body)
	o.Retention = objectstore.Retention{Mode: objectstore.RetentionGovernance, Until: time.Now().Add(time.Hour)}
	err := b.Create(t.Context(), "key", bytes.NewReader(body), 1, o)
	if err != nil {
		wantError(t, "retention without object lock", err, objectstore.ErrBucketState, objectstore.ErrNotImplemented)
	}
	return outcome(t, err, func() bool {
		return must[objectstore.Info](t)(b.Head(t.Context(), "key")).Retention.Meets(o.Retention)
	})
}
