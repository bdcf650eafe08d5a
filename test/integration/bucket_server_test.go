package integration

import (
	"context"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/trail-operator/trail-operator/api/v1alpha1"
	"github.com/trail-operator/trail-operator/controllers"
	"github.com/trail-operator/trail-operator/internal/managerconfig"
	"github.com/trail-operator/trail-operator/internal/objectstore"
	"github.com/trail-operator/trail-operator/internal/objectstore/minio"
	"github.com/trail-operator/trail-operator/internal/receiverstatus"
	"github.com/trail-operator/trail-operator/test/testenv"
)

// s3env is a manager whose buckets are on a real server.
type s3env struct {
	*env
	server *testenv.S3Server
}

type startS3 func(ctx context.Context, dir string, o testenv.S3Options) (*testenv.S3Server, error)

func startOn(t *testing.T, start startS3, o testenv.S3Options) *s3env {
	t.Helper()
	return startOnWith(t, start, o, config(t))
}

func startOnWith(t *testing.T, start startS3, o testenv.S3Options, c *managerconfig.Config) *s3env {
	t.Helper()
	o.Log, o.Progress = t.Output(), os.Stderr
	server, err := start(context.Background(), t.TempDir(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Stop)
	e := &s3env{newEnv(t), server}
	cfg, err := controlPlane.ClientConfig(managerUser, "system:serviceaccounts", "system:serviceaccounts:"+installed)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	mgr, err := controllers.NewManager(ctx, cfg, controllers.Options{
		Config: c, Receiver: e.receiver, PollReceiver: 50 * time.Millisecond, Clock: e.clock, Metrics: prometheus.NewRegistry(),
		ValidationInterval: 50 * time.Millisecond,
		Open: func(c objectstore.Config) (objectstore.Managed, error) {
			c.AllowPrivate = true // the server is on this machine
			return minio.NewManaged(c)
		},
	})
	if err != nil {
		cancel()
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- mgr.Start(ctx) }()
	var once sync.Once
	t.Cleanup(func() {
		once.Do(func() {
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
		})
	})
	return e
}

func (e *s3env) owner() testenv.S3User {
	return testenv.S3User{AccessKey: e.server.AccessKey, SecretKey: e.server.SecretKey}
}

// tenant makes a namespace whose credentials are those of u.
func (e *s3env) tenant(t *testing.T, name string, u testenv.S3User) string {
	t.Helper()
	namespace(t, name)
	grant(t, name)
	if err := admin.Create(t.Context(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: name, Name: "bucket"}, StringData: keysOf(u)}); err != nil {
		t.Fatal(err)
	}
	return name
}

func keysOf(u testenv.S3User) map[string]string {
	return map[string]string{
		v1alpha1.SecretAccessKeyID: u.AccessKey, v1alpha1.SecretSecretAccessKey: u.SecretKey, v1alpha1.SecretSessionToken: u.SessionToken,
	}
}

// create creates a Trail on the server, in the bucket named after its namespace.
func (e *s3env) create(t *testing.T, ns string, change ...func(*v1alpha1.Destination)) *v1alpha1.Trail {
	t.Helper()
	return create(t, ns, func(t *v1alpha1.Trail) {
		t.Spec.Destination.Endpoint = e.server.Endpoint
		for _, f := range change {
			f(&t.Spec.Destination)
		}
	})
}

// sdk is AWS's own client, as the owner of the server.
func (e *s3env) sdk() *s3.Client {
	return s3.New(s3.Options{
		BaseEndpoint: &e.server.Endpoint, Region: e.server.Region, UsePathStyle: true,
		Credentials: credentials.NewStaticCredentialsProvider(e.server.AccessKey, e.server.SecretKey, ""),
	})
}

// look has the bucket looked at again, without a change of the spec.
func (e *s3env) look(t *testing.T, trail *v1alpha1.Trail) {
	t.Helper()
	e.clock.step(11 * time.Minute)
	update(t, trail, func(t *v1alpha1.Trail) {
		metav1.SetMetaDataAnnotation(&t.ObjectMeta, "example.com/look", e.clock.Now().String())
	})
}

func hasEvent(t *testing.T, ns, reason string, says ...string) {
	t.Helper()
	eventually(t, func() string {
		var list eventsv1.EventList
		if err := admin.List(t.Context(), &list, client.InNamespace(ns)); err != nil {
			return err.Error()
		}
		for _, ev := range list.Items {
			if ev.Reason == reason && !slices.ContainsFunc(says, func(s string) bool { return !strings.Contains(ev.Note, s) }) {
				return ""
			}
		}
		return "an Event with the reason " + reason
	})
}

// expiries are the lifecycle rules of a bucket that delete, by the end of the
// prefix that they are for: days, and days of noncurrent versions.
func (e *s3env) expiries(t *testing.T, bucket string) map[string][2]int32 {
	t.Helper()
	found := map[string][2]int32{}
	answer, err := e.sdk().GetBucketLifecycleConfiguration(t.Context(), &s3.GetBucketLifecycleConfigurationInput{Bucket: &bucket})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range answer.Rules {
		var days [2]int32
		if r.Expiration != nil {
			days[0] = aws.ToInt32(r.Expiration.Days)
		}
		if r.NoncurrentVersionExpiration != nil {
			days[1] = aws.ToInt32(r.NoncurrentVersionExpiration.NoncurrentDays)
		}
		found[aws.ToString(r.Filter.Prefix)] = days
	}
	return found
}

const account = "AWSLogs/000000000042/"

// all asks for all there is.
func all(d *v1alpha1.Destination) {
	d.AddressingStyle = v1alpha1.AddressingPath
	d.Versioning = v1alpha1.VersioningEnabled
	d.Encryption = &v1alpha1.Encryption{Type: v1alpha1.EncryptionKMS, KMSKeyID: "test-key"}
	d.ObjectLock = &v1alpha1.ObjectLock{Mode: v1alpha1.LockCompliance, Days: 7}
	d.Lifecycle = &v1alpha1.Lifecycle{
		Transitions:     []v1alpha1.Transition{{StorageClass: "GLACIER", AfterDays: 30}},
		ExpireAfterDays: 365, DigestExpireAfterDays: 800, NoncurrentExpireAfterDays: 9, AbortIncompleteUploadAfterDays: 3,
	}
	d.Tags = []v1alpha1.Tag{{Key: "team", Value: "shop"}}
}

// TestBucketIsMade: all that a destination can ask for is there afterwards, as
// AWS's own client sees it; what the server lacks and that protects nothing is
// named, and delivery goes on.
func TestBucketIsMade(t *testing.T) {
	e := startOn(t, testenv.StartMinIO, testenv.S3Options{KMSKey: "test-key"})
	ns := e.tenant(t, "made", e.owner())
	trail := e.create(t, ns, all)
	condition(t, trail, "Ready", "True Recording")
	condition(t, trail, "BucketReady", "True FeatureNotSupported", "lifecycle.transitions", "lifecycle.abortIncompleteUploadAfterDays", "it is left out")
	if !e.receiver.trail(string(trail.UID)).Destination.PathStyle {
		t.Error("the receiver is not told to use the path style")
	}
	c, ctx := e.sdk(), t.Context()
	if v, err := c.GetBucketVersioning(ctx, &s3.GetBucketVersioningInput{Bucket: &ns}); err != nil || v.Status != types.BucketVersioningStatusEnabled {
		t.Errorf("versioning: %+v, %v", v, err)
	}
	if v, err := c.GetBucketEncryption(ctx, &s3.GetBucketEncryptionInput{Bucket: &ns}); err != nil {
		t.Error(err)
	} else if d := v.ServerSideEncryptionConfiguration.Rules[0].ApplyServerSideEncryptionByDefault; d.SSEAlgorithm != types.ServerSideEncryptionAwsKms || !strings.HasSuffix(aws.ToString(d.KMSMasterKeyID), "test-key") {
		t.Errorf("encryption: %+v", d)
	}
	if v, err := c.GetObjectLockConfiguration(ctx, &s3.GetObjectLockConfigurationInput{Bucket: &ns}); err != nil {
		t.Error(err)
	} else if d := v.ObjectLockConfiguration.Rule.DefaultRetention; d.Mode != types.ObjectLockRetentionModeCompliance || aws.ToInt32(d.Days) != 7 {
		t.Errorf("object lock: %+v", d)
	}
	if v, err := c.GetBucketTagging(ctx, &s3.GetBucketTaggingInput{Bucket: &ns}); err != nil || len(v.TagSet) != 1 || aws.ToString(v.TagSet[0].Value) != "shop" {
		t.Errorf("tags: %+v, %v", v, err)
	}
	place := "made/audit/" + account
	want := map[string][2]int32{place + "CloudTrail/": {365, 9}, place + "CloudTrail-Digest/": {800, 10}}
	if d := cmp.Diff(want, e.expiries(t, ns)); d != "" {
		t.Error(d)
	}
	object, err := c.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &ns, Key: aws.String(place + "trail-owner.json")})
	if err != nil {
		t.Fatal(err)
	}
	if until := aws.ToTime(object.ObjectLockRetainUntilDate); object.ServerSideEncryption != types.ServerSideEncryptionAwsKms ||
		object.ObjectLockMode != types.ObjectLockModeCompliance || until.Before(time.Now().Add(6*24*time.Hour)) || until.After(time.Now().Add(8*24*time.Hour)) {
		t.Errorf("an object: %+v", object)
	}

	// Somebody else changes it, and it is set again.
	if _, err := c.DeleteBucketTagging(ctx, &s3.DeleteBucketTaggingInput{Bucket: &ns}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.DeleteBucketLifecycle(ctx, &s3.DeleteBucketLifecycleInput{Bucket: &ns}); err != nil {
		t.Fatal(err)
	}
	e.look(t, trail)
	hasEvent(t, ns, "BucketRepaired", `The lifecycle rule "logs" of this trail is missing.`, `The tag "team" of the bucket is missing`)
	if d := cmp.Diff(want, e.expiries(t, ns)); d != "" {
		t.Errorf("repaired: %s", d)
	}

	// A shorter life is refused without the annotation, and recorded with it.
	update(t, trail, func(t *v1alpha1.Trail) { t.Spec.Destination.Lifecycle.ExpireAfterDays = 31 })
	condition(t, trail, "Ready", "False ShorteningNotAllowed", "expireAfterDays from 365 to 31", `trail-operator.io/allow-shortening: "expireAfterDays=31"`)
	condition(t, trail, "Stalled", "True ShorteningNotAllowed")
	e.look(t, trail)
	if d := cmp.Diff(want, e.expiries(t, ns)); d != "" {
		t.Errorf("refused: %s", d)
	}
	eventually(t, func() string { // the change of the spec itself
		if got := e.receiver.recorded(string(trail.UID)); got[len(got)-1] != "UpdateTrail" {
			return "not recorded"
		}
		return ""
	})
	before := len(e.receiver.recorded(string(trail.UID)))
	update(t, trail, func(t *v1alpha1.Trail) {
		metav1.SetMetaDataAnnotation(&t.ObjectMeta, v1alpha1.AnnotationAllowShortening, "expireAfterDays=31")
	})
	condition(t, trail, "Ready", "True Recording")
	want[place+"CloudTrail/"] = [2]int32{31, 9}
	eventually(t, func() string { return cmp.Diff(want, e.expiries(t, ns)) })
	if names := e.receiver.recorded(string(trail.UID))[before:]; !slices.Equal(names, []string{"UpdateTrail"}) {
		t.Errorf("recorded %v", names)
	}
	e.receiver.do(func(r *receiver) {
		if last := r.events[len(r.events)-1]; !strings.Contains(string(last.Details), `"allowedShortening":"expireAfterDays from 365 to 31"`) {
			t.Errorf("the record says %s", last.Details)
		}
	})

	// To create it again shortens nothing either.
	spec := trail.Spec
	remove(t, trail)
	eventually(t, func() string {
		if r := e.receiver.trail(string(trail.UID)); r == nil || !r.Deleting {
			return "the order to stop"
		}
		return ""
	})
	e.receiver.set(string(trail.UID), func(s *receiverstatus.Trail) { s.Flushed = true })
	gone(t, trail)
	again := &v1alpha1.Trail{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: trail.Name}, Spec: spec}
	again.Spec.Destination.ObjectLock = nil
	again.Spec.Destination.Lifecycle = &v1alpha1.Lifecycle{ExpireAfterDays: 1, DigestExpireAfterDays: 2}
	if err := admin.Create(t.Context(), again); err != nil {
		t.Fatal(err)
	}
	condition(t, again, "Ready", "False ShorteningNotAllowed", "objectLockDays=0,expireAfterDays=1,digestExpireAfterDays=2")
	if got := e.expiries(t, ns); got[place+"CloudTrail/"][0] != 31 {
		t.Errorf("created again: %v", got)
	}
}

// TestBucketIsShared: two trails share a bucket, each with rules of its own, and
// those of somebody else stay; who works against a trail is named. The place of a
// trail is nobody else's.
func TestBucketIsShared(t *testing.T) {
	e := startOn(t, testenv.StartMinIO, testenv.S3Options{})
	one, two := e.tenant(t, "shared-one", e.owner()), e.tenant(t, "shared-two", e.owner())
	in := func(prefix string, days int32) func(*v1alpha1.Destination) {
		return func(d *v1alpha1.Destination) {
			d.Bucket, d.Prefix, d.Lifecycle = "shared-real", prefix, &v1alpha1.Lifecycle{ExpireAfterDays: days}
		}
	}
	first := e.create(t, one, in("logs", 300))
	condition(t, first, "BucketReady", "True PrefixClaimed")
	c, ctx, bucket := e.sdk(), t.Context(), "shared-real"
	foreign := types.LifecycleRule{
		ID: aws.String("cleanup"), Status: types.ExpirationStatusEnabled,
		Filter: &types.LifecycleRuleFilter{Prefix: aws.String("elsewhere/")}, Expiration: &types.LifecycleExpiration{Days: aws.Int32(1)},
	}
	add := func(rules ...types.LifecycleRule) {
		t.Helper()
		have, err := c.GetBucketLifecycleConfiguration(ctx, &s3.GetBucketLifecycleConfigurationInput{Bucket: &bucket})
		if err != nil {
			t.Fatal(err)
		}
		rules = append(rules, slices.DeleteFunc(have.Rules, func(r types.LifecycleRule) bool {
			return slices.ContainsFunc(rules, func(o types.LifecycleRule) bool { return aws.ToString(o.ID) == aws.ToString(r.ID) })
		})...)
		if _, err := c.PutBucketLifecycleConfiguration(ctx, &s3.PutBucketLifecycleConfigurationInput{
			Bucket: &bucket, LifecycleConfiguration: &types.BucketLifecycleConfiguration{Rules: rules},
		}); err != nil {
			t.Fatal(err)
		}
	}
	add(foreign)
	second := e.create(t, two, in("logs/two", 30))
	condition(t, second, "BucketReady", "True PrefixClaimed")
	want := map[string][2]int32{"elsewhere/": {1, 0}, "logs/" + account + "CloudTrail/": {300, 0}, "logs/two/" + account + "CloudTrail/": {30, 0}}
	if d := cmp.Diff(want, e.expiries(t, bucket)); d != "" {
		t.Error(d)
	}
	// A rule of somebody else that deletes sooner.
	foreign.Filter.Prefix = aws.String("logs/two/")
	add(foreign)
	e.look(t, second)
	condition(t, second, "BucketReady", "True BucketDrifted",
		`The lifecycle rule "cleanup" of somebody else deletes log files of this trail after 1 days, sooner than asked for. Narrow its prefix, or remove it.`,
		"deletes digests of this trail", "deletes the public keys of the digests")
	condition(t, second, "Ready", "True Recording")
	condition(t, first, "BucketReady", "True PrefixClaimed")
	if got := e.expiries(t, bucket)["logs/two/"]; got != [2]int32{1, 0} {
		t.Errorf("their rule is %v", got)
	}
	// Somebody else's place.
	third := create(t, two, func(t *v1alpha1.Trail) {
		t.Name = "thief"
		t.Spec.Destination.Endpoint = e.server.Endpoint
		in("logs", 1)(&t.Spec.Destination)
	})
	condition(t, third, "BucketReady", "False Conflict", "belongs to another trail")
	condition(t, third, "Stalled", "True Conflict")
	if got := e.expiries(t, bucket)["logs/"+account+"CloudTrail/"]; got != [2]int32{300, 0} {
		t.Errorf("the rule of the first is %v", got)
	}
}

// TestBucketIsObserved: nothing is changed, and what differs is shown.
func TestBucketIsObserved(t *testing.T) {
	e := startOn(t, testenv.StartMinIO, testenv.S3Options{})
	ns := e.tenant(t, "observed", e.owner())
	observe := func(d *v1alpha1.Destination) {
		d.ManagementPolicy = v1alpha1.PolicyObserve
		d.Lifecycle = &v1alpha1.Lifecycle{ExpireAfterDays: 30}
		d.Tags = []v1alpha1.Tag{{Key: "team", Value: "shop"}}
	}
	trail := e.create(t, ns, observe)
	condition(t, trail, "BucketReady", "False BucketNotFound", "this trail may only observe it. Create it.")
	if _, err := e.sdk().CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: &ns}); err != nil {
		t.Fatal(err)
	}
	e.look(t, trail)
	condition(t, trail, "BucketReady", "True BucketDrifted", `The lifecycle rule "logs" of this trail is missing.`, `The tag "team" of the bucket is missing or has another value.`)
	condition(t, trail, "Ready", "True Recording")
	if _, err := e.sdk().GetBucketTagging(t.Context(), &s3.GetBucketTaggingInput{Bucket: &ns}); err == nil {
		t.Error("it was tagged")
	}
	// A protection that is asked for and not there stops it.
	update(t, trail, func(t *v1alpha1.Trail) { t.Spec.Destination.Versioning = v1alpha1.VersioningEnabled })
	condition(t, trail, "BucketReady", "False ProtectionMissing", "spec.destination.versioning")
}

// TestBucketIsSharedAtOnce: S3 writes all rules and tags of a bucket at once, so
// trails that begin together take turns, and none loses what it has set.
func TestBucketIsSharedAtOnce(t *testing.T) {
	e := startOn(t, testenv.StartMinIO, testenv.S3Options{})
	ns, bucket := e.tenant(t, "at-once", e.owner()), "at-once"
	var trails []*v1alpha1.Trail
	want := map[string][2]int32{}
	for i := range 5 {
		name := "trail-" + strconv.Itoa(i)
		want["at-once/"+name+"/"+account+"CloudTrail/"] = [2]int32{int32(100 + i), 0}
		trails = append(trails, create(t, ns, func(t *v1alpha1.Trail) {
			t.Name = name
			d := &t.Spec.Destination
			d.Endpoint, d.Lifecycle = e.server.Endpoint, &v1alpha1.Lifecycle{ExpireAfterDays: int32(100 + i)}
			d.Tags = []v1alpha1.Tag{{Key: name, Value: "x"}}
		}))
	}
	for _, trail := range trails {
		condition(t, trail, "BucketReady", "True PrefixClaimed")
	}
	if d := cmp.Diff(want, e.expiries(t, bucket)); d != "" {
		t.Error(d)
	}
	if v, err := e.sdk().GetBucketTagging(t.Context(), &s3.GetBucketTaggingInput{Bucket: &bucket}); err != nil || len(v.TagSet) != 5 {
		t.Errorf("tags: %+v, %v", v, err)
	}
}
