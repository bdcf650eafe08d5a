package storetest

import (
	"bytes"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/trail-operator/trail-operator/internal/objectstore"
)

// Feature is something that not every server has.
type Feature string

// The features.
const (
	Versioning          Feature = "versioning"
	ObjectLock          Feature = "object lock"
	DefaultEncryption   Feature = "default encryption"
	LifecycleExpire     Feature = "lifecycle: expiration"
	LifecycleAbort      Feature = "lifecycle: abort of uploads, by itself"
	LifecycleCombined   Feature = "lifecycle: expiration, noncurrent versions and abort in one rule"
	LifecycleTransition Feature = "lifecycle: transition"
	Tags                Feature = "tags"
	Policy              Feature = "policy"
	PolicyACL           Feature = "policy with the condition s3:x-amz-acl"
	EncryptionS3        Feature = "SSE-S3 of an object"
	EncryptionKMS       Feature = "SSE-KMS of an object"
	EncryptionUnknown   Feature = "SSE-KMS of an object, with a key that nobody has"
	Retention           Feature = "retention of an object"
	RetentionDefault    Feature = "default retention, as HEAD reports it"
	RetentionUnlocked   Feature = "retention of an object in a bucket without object lock"
)

// Outcome is what a server makes of a feature.
type Outcome string

// The outcomes.
const (
	Works          Outcome = "works"
	NotImplemented Outcome = "not implemented" // and says so
	Ignored        Outcome = "ignored"         // and says that it was done
	Refused        Outcome = "refused"         // with another error
)

// AdminServer is an implementation with a server behind it.
type AdminServer struct {
	// Open returns a bucket that does not exist yet, and its name.
	Open func(t *testing.T) (objectstore.Managed, string)
	// KMSKey is a key that the server has.
	KMSKey string
	// Differs holds the features that do not simply work. Other outcomes fail
	// the test, better ones, too: a server that was upgraded shall be noticed.
	Differs map[Feature]Outcome
}

// RunAdmin checks a server's Admin, and how it protects objects.
func RunAdmin(t *testing.T, server AdminServer) {
	for f, test := range map[Feature]func(*testing.T, AdminServer) Outcome{
		Versioning:          testVersioning,
		ObjectLock:          testObjectLock,
		DefaultEncryption:   testDefaultEncryption,
		LifecycleExpire:     lifecycle(objectstore.LifecycleRule{ExpireDays: 30}),
		LifecycleAbort:      lifecycle(objectstore.LifecycleRule{AbortMultipartDays: 7}),
		LifecycleCombined:   lifecycle(objectstore.LifecycleRule{ExpireDays: 30, NoncurrentExpireDays: 5, AbortMultipartDays: 7}),
		LifecycleTransition: lifecycle(objectstore.LifecycleRule{TransitionDays: 30, StorageClass: "GLACIER"}),
		Tags:                testTags,
		Policy:              testPolicy,
		PolicyACL:           testPolicyACL,
		EncryptionS3:        object(objectstore.Encryption{Type: objectstore.EncryptionS3}),
		EncryptionKMS: func(t *testing.T, s AdminServer) Outcome {
			return object(objectstore.Encryption{Type: objectstore.EncryptionKMS, KMSKeyID: s.KMSKey})(t, s)
		},
		EncryptionUnknown: object(objectstore.Encryption{Type: objectstore.EncryptionKMS, KMSKeyID: "nobody-has-this-key"}),
		Retention:         testRetention,
		RetentionDefault:  testRetentionDefault,
		RetentionUnlocked: testRetentionUnlocked,
	} {
		t.Run(string(f), func(t *testing.T) {
			want, differs := server.Differs[f]
			if !differs {
				want = Works
			}
			if got := test(t, server); got != want {
				t.Errorf("%s: want %q, got %q", f, want, got)
			}
		})
	}
	t.Run("MissingBucket", func(t *testing.T) {
		b, _ := server.Open(t)
		testAdminMissingBucket(t, b)
	})
}

// outcome tells what came of a call, and of reading back what it has done.
func outcome(t *testing.T, err error, kept func() bool) Outcome {
	t.Helper()
	var e *objectstore.Error
	switch {
	case err == nil && kept():
		return Works
	case err == nil:
		return Ignored
	case !errors.As(err, &e):
		t.Errorf("want an *objectstore.Error, got %#v", err)
	case errors.Is(err, objectstore.ErrNotImplemented):
		return NotImplemented
	case errors.Is(err, objectstore.ErrNotKept):
		return Ignored
	}
	t.Logf("refused: %v", err)
	return Refused
}

// must returns the answer to a question about a setting that was set.
func must[T any](t *testing.T) func(v T, err error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Errorf("reading back: %v", err)
		}
		return v
	}
}

func wantNil(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func created(t *testing.T, s AdminServer) objectstore.Managed {
	t.Helper()
	b, _ := s.Open(t)
	wantNil(t, b.CreateBucket(t.Context()))
	return b
}

func locked(t *testing.T, s AdminServer) objectstore.Managed {
	t.Helper()
	b, _ := s.Open(t)
	for range 2 { // that it is there already is no error
		wantNil(t, b.CreateLockedBucket(t.Context()))
	}
	return b
}

func testAdminMissingBucket(t *testing.T, b objectstore.Managed) {
	for what, err := range map[string]error{
		"get versioning": second(b.Versioning(t.Context())),
		"get tags":       second(b.Tags(t.Context())),
		"get policy":     second(b.Policy(t.Context())),
		"get lifecycle":  second(b.Lifecycle(t.Context())),
		"set tags":       b.SetTags(t.Context(), map[string]string{"a": "b"}, nil),
		"set lifecycle":  b.SetLifecycle(t.Context(), "o-", []objectstore.LifecycleRule{{ID: "o-1", ExpireDays: 1}}),
		"set policy":     b.SetPolicy(t.Context(), "{}"),
	} {
		if strings.HasPrefix(what, "get") && err == nil {
			continue // no tags are none, too
		}
		// A server may look for the feature first, or for the bucket.
		wantError(t, what+" of a missing bucket", err, objectstore.ErrNoBucket, objectstore.ErrNotImplemented)
	}
}

func second[T any](_ T, err error) error { return err }

func testVersioning(t *testing.T, s AdminServer) Outcome {
	b, read := created(t, s), must[objectstore.Versioning](t)
	if got := read(b.Versioning(t.Context())); got != objectstore.VersioningOff {
		t.Errorf("a new bucket has versioning %q", got)
	}
	o := outcome(t, b.SetVersioning(t.Context(), objectstore.VersioningEnabled), func() bool {
		return read(b.Versioning(t.Context())) == objectstore.VersioningEnabled
	})
	if o == Works {
		wantNil(t, b.SetVersioning(t.Context(), objectstore.VersioningSuspended))
		if got := read(b.Versioning(t.Context())); got != objectstore.VersioningSuspended {
			t.Errorf("want it suspended, got %q", got)
		}
	}
	return o
}

func testObjectLock(t *testing.T, s AdminServer) Outcome {
	b, read := created(t, s), must[objectstore.ObjectLock](t)
	if got := read(b.ObjectLock(t.Context())); got != (objectstore.ObjectLock{}) {
		t.Errorf("a bucket without object lock has %+v", got)
	}
	b = locked(t, s)
	if got := read(b.ObjectLock(t.Context())); got != (objectstore.ObjectLock{Enabled: true}) {
		t.Errorf("a new bucket with object lock has %+v", got)
	}
	if got := must[objectstore.Versioning](t)(b.Versioning(t.Context())); got != objectstore.VersioningEnabled {
		t.Errorf("a bucket with object lock has versioning %q", got)
	}
	for _, r := range []objectstore.DefaultRetention{
		{Mode: objectstore.RetentionGovernance, Days: 3}, {Mode: objectstore.RetentionCompliance, Years: 2}, {},
	} {
		want := objectstore.ObjectLock{Enabled: true, Default: r}
		o := outcome(t, b.SetDefaultRetention(t.Context(), r), func() bool { return read(b.ObjectLock(t.Context())) == want })
		if o != Works {
			return o
		}
	}
	return Works
}

func testDefaultEncryption(t *testing.T, s AdminServer) Outcome {
	b, ctx := created(t, s), t.Context()
	for _, e := range []objectstore.Encryption{
		{Type: objectstore.EncryptionS3}, {Type: objectstore.EncryptionKMS, KMSKeyID: s.KMSKey},
	} {
		o := outcome(t, b.SetDefaultEncryption(ctx, objectstore.DefaultEncryption{Encryption: e}), func() bool {
			got := must[objectstore.DefaultEncryption](t)(b.DefaultEncryption(ctx))
			return got.Meets(e) && got.Type == e.Type
		})
		if o != Works {
			return o
		}
		mustCreate(t, b, string(e.Type), []byte("x"))
		if got, err := b.Head(ctx, string(e.Type)); err != nil || !got.Encryption.Meets(e) {
			t.Errorf("an object in a bucket with the default %+v: got %+v, %v", e, got.Encryption, err)
		}
	}
	for range 2 {
		wantNil(t, b.SetDefaultEncryption(ctx, objectstore.DefaultEncryption{}))
		if got := must[objectstore.DefaultEncryption](t)(b.DefaultEncryption(ctx)); got != (objectstore.DefaultEncryption{}) {
			t.Errorf("want no default, got %+v", got)
		}
	}
	return Works
}

func lifecycle(rule objectstore.LifecycleRule) func(*testing.T, AdminServer) Outcome {
	return func(t *testing.T, s AdminServer) Outcome {
		b, ctx := locked(t, s), t.Context() // noncurrent versions need versioning
		rule.ID, rule.Prefix, rule.Enabled = "owner/1", "prefix/AWSLogs/", true
		want := []objectstore.LifecycleRule{rule}
		err := b.SetLifecycle(ctx, "owner/", want)
		o := outcome(t, err, func() bool { return cmp.Equal(want, must[[]objectstore.LifecycleRule](t)(b.Lifecycle(ctx))) })
		if o != Works {
			return o
		}
		// Somebody else's rule stays, through changes and the removal of ours.
		other := objectstore.LifecycleRule{ID: "other", Prefix: "elsewhere/", ExpireDays: 9}
		wantNil(t, b.SetLifecycle(ctx, "other", []objectstore.LifecycleRule{other}))
		wantRules(t, b, rule, other)
		changed, added := rule, rule
		changed.Enabled, changed.Prefix = false, "prefix <&> other/"
		added.ID, added.Prefix = "owner/2", ""
		wantNil(t, b.SetLifecycle(ctx, "owner/", []objectstore.LifecycleRule{changed, added}))
		wantRules(t, b, other, changed, added)
		wantNil(t, b.SetLifecycle(ctx, "owner/", nil))
		wantRules(t, b, other)
		wantNil(t, b.SetLifecycle(ctx, "other", nil))
		wantRules(t, b)
		wantNil(t, b.SetLifecycle(ctx, "other", nil))
		return Works
	}
}

func wantRules(t *testing.T, b objectstore.Managed, want ...objectstore.LifecycleRule) {
	t.Helper()
	got := must[[]objectstore.LifecycleRule](t)(b.Lifecycle(t.Context()))
	byID := func(a, b objectstore.LifecycleRule) int { return bytes.Compare([]byte(a.ID), []byte(b.ID)) }
	slices.SortFunc(got, byID)
	slices.SortFunc(want, byID)
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("lifecycle (-want +got):\n%s", diff)
	}
}

func testTags(t *testing.T, s AdminServer) Outcome {
	b, ctx, read := created(t, s), t.Context(), must[map[string]string](t)
	if got := read(b.Tags(ctx)); len(got) != 0 {
		t.Errorf("a new bucket has the tags %v", got)
	}
	first := map[string]string{"team": "platform", "trail-operator.io/trail": "a.b", "empty": ""}
	o := outcome(t, b.SetTags(ctx, first, nil), func() bool { return maps.Equal(read(b.Tags(ctx)), first) })
	if o != Works {
		return o
	}
	wantNil(t, b.SetTags(ctx, map[string]string{"empty": "no more: a+b=c@d/e"}, []string{"trail-operator.io/trail", "missing"}))
	if diff := cmp.Diff(map[string]string{"team": "platform", "empty": "no more: a+b=c@d/e"}, read(b.Tags(ctx))); diff != "" {
		t.Errorf("tags (-want +got):\n%s", diff)
	}
	for range 2 {
		wantNil(t, b.SetTags(ctx, nil, []string{"team", "empty"}))
		if got := read(b.Tags(ctx)); len(got) != 0 {
			t.Errorf("want no tags, got %v", got)
		}
	}
	return Works
}
