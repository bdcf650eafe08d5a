package status

import (
	"errors"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/trail-operator/trail-operator/api/v1alpha1"
	"github.com/trail-operator/trail-operator/internal/objectstore"
)

func TestUsableBucket(t *testing.T) {
	for name, tc := range map[string]struct {
		bucket *v1alpha1.BucketStatus
		want   string
		says   []string
	}{
		"not looked at": {nil, "PrefixClaimed", nil},
		"as asked":      {&v1alpha1.BucketStatus{ExpireAfterDays: 3}, "PrefixClaimed", nil},
		"drifted":       {&v1alpha1.BucketStatus{Drift: []string{"A differs.", "B differs."}}, "BucketDrifted", []string{"It differs from the spec: A differs. B differs."}},
		"unsupported":   {&v1alpha1.BucketStatus{Unsupported: []string{"lifecycle", "tags"}}, "FeatureNotSupported", []string{"with lifecycle, tags; it is left out"}},
		"both":          {&v1alpha1.BucketStatus{Drift: []string{"A differs."}, Unsupported: []string{"tags"}}, "FeatureNotSupported", []string{"A differs.", "tags"}},
	} {
		o := recording()
		o.Bucket = tc.bucket
		s := Of(o)
		c := meta.FindStatusCondition(s.Conditions, "BucketReady")
		if c.Status != "True" || c.Reason != tc.want {
			t.Errorf("%s: %+v", name, c)
		}
		for _, says := range tc.says {
			if !strings.Contains(c.Message, says) {
				t.Errorf("%s: %q lacks %q", name, c.Message, says)
			}
		}
		if ready := meta.FindStatusCondition(s.Conditions, "Ready"); ready.Status != "True" {
			t.Errorf("%s: %+v", name, ready)
		}
		checkConditions(t, s, o.Trail.Generation)
		// What was found stays when the bucket is not looked at.
		o.Trail.Status, o.Bucket = s, nil
		if again := Of(o); Urgent(s, again) && tc.bucket == nil {
			t.Errorf("%s: it flaps", name)
		} else if tc.bucket != nil && again.Bucket == nil {
			t.Errorf("%s: it is forgotten", name)
		}
	}
}

func TestDeniedSettings(t *testing.T) {
	trail := recording().Trail
	for op, permission := range map[objectstore.Op]string{
		objectstore.OpGetVersioning: "s3:GetBucketVersioning", objectstore.OpSetVersioning: "s3:PutBucketVersioning",
		objectstore.OpGetEncryption: "s3:GetEncryptionConfiguration", objectstore.OpSetEncryption: "s3:PutEncryptionConfiguration",
		objectstore.OpGetObjectLock: "s3:GetBucketObjectLockConfiguration", objectstore.OpSetObjectLock: "s3:PutBucketObjectLockConfiguration",
		objectstore.OpGetLifecycle: "s3:GetLifecycleConfiguration", objectstore.OpSetLifecycle: "s3:PutLifecycleConfiguration",
		objectstore.OpGetTags: "s3:GetBucketTagging", objectstore.OpSetTags: "s3:PutBucketTagging",
	} {
		p := StoreProblem(trail, &objectstore.Error{Op: op, Err: objectstore.ErrAccessDenied})
		if p.Reason != "AccessDenied" || !strings.Contains(p.Message, "Allow "+permission+" on the bucket logs for the operator's own identity") {
			t.Errorf("%s: %+v", op, p)
		}
	}
	trail.Spec.Destination.ManagementPolicy = v1alpha1.PolicyObserve
	if p := StoreProblem(trail, &objectstore.Error{Op: objectstore.OpGetVersioning, Err: objectstore.ErrAccessDenied}); strings.Contains(p.Message, "managementPolicy") {
		t.Errorf("%+v", p)
	}
	if p := StoreProblem(trail, &objectstore.Error{Op: objectstore.OpGetVersioning, Err: errors.New("planted")}); p.Reason != "DeliveryFailed" {
		t.Errorf("%+v", p)
	}
}

// TestSentences: every Problem about a bucket says what to do, in sentences.
func TestSentences(t *testing.T) {
	trail := recording().Trail
	for _, secret := range []*v1alpha1.CredentialsSecretRef{nil, {Name: "bucket"}} {
		trail.Spec.Destination.CredentialsSecretRef = secret
		list := []*Problem{
			NoCredentials(trail), NoBucketObserved(trail), BucketTaken(trail), ProtectionMissing(trail, "objectLock"),
			Ignored(trail, "EncryptionIgnored"), Ignored(trail, "RetentionIgnored"), Shortening("a from 2 to 1", "a=1"),
			StoreProblem(trail, objectstore.ErrChanged),
		}
		for _, s := range storeReasons {
			list = append(list, StoreProblem(trail, s.err))
		}
		for _, p := range list {
			if p.Reason == "" || !strings.HasSuffix(p.Message, ".") || strings.Contains(p.Message, "Secret .") ||
				strings.Contains(p.Message, "Secret ,") || strings.Contains(p.Message, "  ") || strings.Contains(p.Message, "not understood") {
				t.Errorf("%+v", p)
			}
		}
	}
}
