package trail

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/trail-operator/trail-operator/api/v1alpha1"
	"github.com/trail-operator/trail-operator/controllers/installation"
	"github.com/trail-operator/trail-operator/internal/managerconfig"
	"github.com/trail-operator/trail-operator/internal/manifests"
	"github.com/trail-operator/trail-operator/internal/objectstore"
	"github.com/trail-operator/trail-operator/internal/objectstore/memory"
	"github.com/trail-operator/trail-operator/internal/receiverconfig"
	"github.com/trail-operator/trail-operator/internal/record"
	"github.com/trail-operator/trail-operator/internal/status"
)

// told keeps the reasons of Events.
type told struct{ reasons []string }

func (e *told) Eventf(_, _ runtime.Object, _, reason, _, _ string, _ ...any) {
	e.reasons = append(e.reasons, reason)
}

// workshop is a controller with one bucket in memory.
type workshop struct {
	*Reconciler
	store    *memory.Store
	clock    *clocktesting.FakeClock
	events   *told
	received *recorder
	trail    *v1alpha1.Trail
	opened   objectstore.Config
}

// newWorkshop has a trail that asks for all there is, and no bucket.
func newWorkshop(t *testing.T) *workshop {
	t.Helper()
	c := clocktesting.NewFakeClock(time.Date(2026, 11, 21, 10, 20, 0, 0, time.UTC))
	w := &workshop{store: memory.New(c), clock: c, events: &told{}, received: &recorder{ids: map[string]bool{}}}
	w.store.DeleteBucket()
	in := &installation.Installation{Installation: receiverconfig.Installation{UID: "in", Account: "000000000042", Region: "eu-1"}}
	in.Keys = []record.PublishedKey{{Fingerprint: "ff"}}
	w.Reconciler = &Reconciler{
		Kind: Namespaced{}, Installation: in, Config: &managerconfig.Config{}, Poller: &Poller{}, Clock: c, Events: w.events, Receiver: w.received,
		Open: func(c objectstore.Config) (objectstore.Managed, error) { w.opened = c; return w.store, nil },
	}
	w.trail = &v1alpha1.Trail{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "audit", UID: "u", Generation: 1}}
	w.trail.Spec.Destination = v1alpha1.Destination{
		Bucket: "logs", CredentialsSecretRef: &v1alpha1.CredentialsSecretRef{Name: "bucket"},
		Versioning: v1alpha1.VersioningEnabled,
		Encryption: &v1alpha1.Encryption{Type: v1alpha1.EncryptionS3},
		ObjectLock: &v1alpha1.ObjectLock{Mode: v1alpha1.LockGovernance, Days: 7},
		Lifecycle:  &v1alpha1.Lifecycle{ExpireAfterDays: 365, DigestExpireAfterDays: 800},
		Tags:       []v1alpha1.Tag{{Key: "team", Value: "shop"}},
	}
	return w
}

// reconcile does the steps about the bucket, and keeps the status.
func (w *workshop) reconcile(t *testing.T, change ...func(*scope)) *scope {
	t.Helper()
	s := w.newScope(w.trail.DeepCopy())
	s.credentials = &manifests.Credentials{AccessKeyID: "a", SecretAccessKey: "b"}
	for _, f := range change {
		f(s)
	}
	for _, step := range []func(context.Context) error{s.settle, s.checkBucket} {
		if err := step(t.Context()); err != nil {
			var p *status.Problem
			if !errors.As(err, &p) {
				t.Fatal(err)
			}
			s.seen.Problem = p
			break
		}
	}
	w.trail.Status = status.Of(s.seen)
	return s
}

func (w *workshop) update(change func(*v1alpha1.Destination)) {
	change(&w.trail.Spec.Destination)
	w.trail.Generation++
}

func recorded(s *scope) { s.rendered = &receiverconfig.Trail{UID: "u"} }

func reason(s *scope) string {
	if s.seen.Problem == nil {
		return ""
	}
	return s.seen.Problem.Reason
}

func TestBucketIsSetUp(t *testing.T) {
	w := newWorkshop(t)
	s := w.reconcile(t)
	if s.seen.Problem != nil || !s.seen.Claimed {
		t.Fatalf("%+v", s.seen.Problem)
	}
	want := &v1alpha1.BucketStatus{ExpireAfterDays: 365, DigestExpireAfterDays: 800, ObjectLockDays: 7, ObjectLockMode: "Governance"}
	if d := cmp.Diff(want, w.trail.Status.Bucket); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff([]record.LifecycleRule{{Objects: "logs", ExpireDays: 365}, {Objects: "digests", ExpireDays: 800}}, s.lifecycle); d != "" {
		t.Error(d)
	}
	objects := w.store.Objects()
	if len(objects) != 2 {
		t.Errorf("the bucket holds %d objects", len(objects))
	}
	for key, o := range objects {
		if o.Encryption.Type != objectstore.EncryptionS3 || o.Retention.Mode != objectstore.RetentionGovernance {
			t.Errorf("%s was written with %+v and %+v", key, o.Encryption, o.Retention)
		}
	}
	// It is looked at again after ten minutes, and repaired.
	if err := w.store.SetTags(t.Context(), nil, []string{"team"}); err != nil {
		t.Fatal(err)
	}
	w.reconcile(t)
	if tags, _ := w.store.Tags(t.Context()); len(tags) > 0 {
		t.Error("it was looked at at once")
	}
	w.clock.Step(recheck)
	w.reconcile(t)
	if tags, _ := w.store.Tags(t.Context()); tags["team"] != "shop" || !slices.Equal(w.events.reasons, []string{"BucketRepaired"}) {
		t.Errorf("tags %v, Events %v", tags, w.events.reasons)
	}
	w.clock.Step(recheck)
	w.reconcile(t)
	if len(w.events.reasons) > 1 || len(w.store.Objects()) != 2 {
		t.Errorf("a good bucket: Events %v, %d objects", w.events.reasons, len(w.store.Objects()))
	}
}

func TestObservedBucketIsLeftAlone(t *testing.T) {
	w := newWorkshop(t)
	w.trail.Spec.Destination.ManagementPolicy = v1alpha1.PolicyObserve
	if s := w.reconcile(t); reason(s) != "BucketNotFound" || !strings.Contains(s.seen.Problem.Message, "may only observe it") || w.store.Calls(objectstore.OpCreateBucket) > 0 {
		t.Fatalf("a missing bucket: %+v", s.seen.Problem)
	}
	if err := w.store.CreateLockedBucket(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.clock.Step(recheck)
	s := w.reconcile(t)
	if s.seen.Problem != nil {
		t.Fatalf("%+v", s.seen.Problem)
	}
	for _, op := range []objectstore.Op{
		objectstore.OpSetVersioning, objectstore.OpSetEncryption, objectstore.OpSetObjectLock, objectstore.OpSetLifecycle, objectstore.OpSetTags,
	} {
		if w.store.Calls(op) > 0 {
			t.Errorf("%s was called", op)
		}
	}
	b := w.trail.Status.Bucket
	if len(b.Drift) != 5 || b.ExpireAfterDays != 0 || b.ObjectLockDays != 7 || s.lifecycle != nil {
		t.Errorf("%+v, rules %v", b, s.lifecycle)
	}
	// A protection that is missing is a problem, whoever looks after the bucket.
	w.store.DeleteBucket()
	if err := w.store.CreateBucket(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.clock.Step(recheck)
	if s := w.reconcile(t); reason(s) != "ProtectionMissing" || !strings.Contains(s.seen.Problem.Message, "spec.destination.versioning and spec.destination.objectLock") {
		t.Errorf("%+v", s.seen.Problem)
	}
}

func TestServersThatLackSomething(t *testing.T) {
	for name, tc := range map[string]struct {
		op          objectstore.Op
		fault       memory.Fault
		reason      string
		says        string
		unsupported []string
	}{
		"lifecycle":          {objectstore.OpGetLifecycle, memory.Fault{Refuse: objectstore.ErrNotImplemented}, "", "", []string{"lifecycle"}},
		"tags":               {objectstore.OpSetTags, memory.Fault{Refuse: objectstore.ErrNotImplemented}, "", "", []string{"tags"}},
		"encryption":         {objectstore.OpSetEncryption, memory.Fault{Refuse: objectstore.ErrNotImplemented}, "ProtectionMissing", "spec.destination.encryption", nil},
		"versioning":         {objectstore.OpGetVersioning, memory.Fault{Refuse: objectstore.ErrNotImplemented}, "ProtectionMissing", "spec.destination.versioning", nil},
		"object lock":        {objectstore.OpCreateBucket, memory.Fault{IgnoreSetting: true}, "ProtectionMissing", "must be created with object lock", nil},
		"objects, refused":   {objectstore.OpPut, memory.Fault{Refuse: objectstore.ErrNotImplemented}, "ProtectionMissing", "refuses objects", nil},
		"encryption ignored": {objectstore.OpPut, memory.Fault{IgnoreEncryption: true}, "EncryptionIgnored", "stores objects unencrypted", nil},
		"retention ignored":  {objectstore.OpPut, memory.Fault{IgnoreRetention: true}, "RetentionIgnored", "s3:GetObjectRetention", nil},
		"key":                {objectstore.OpPut, memory.Fault{Refuse: objectstore.ErrKey}, "ProtectionMissing", "key cannot be used", nil},
		"denied to look":     {objectstore.OpGetVersioning, memory.Fault{Refuse: objectstore.ErrAccessDenied}, "AccessDenied", "Allow s3:GetBucketVersioning on the bucket logs", nil},
		"denied to set":      {objectstore.OpSetLifecycle, memory.Fault{Refuse: objectstore.ErrAccessDenied}, "AccessDenied", "Allow s3:PutLifecycleConfiguration", nil},
		"denied to create":   {objectstore.OpCreateBucket, memory.Fault{Refuse: objectstore.ErrAccessDenied}, "BucketNotFound", "allow the credentials in the Secret bucket to", nil},
		"somebody else's":    {objectstore.OpCreateBucket, memory.Fault{Refuse: objectstore.ErrExists}, "Conflict", "belongs to somebody else", nil},
		"wrong region":       {objectstore.OpCheckBucket, memory.Fault{Refuse: objectstore.ErrRegion}, "WrongRegion", "not in the region us-east-1", nil},
		"changed meanwhile":  {objectstore.OpSetLifecycle, memory.Fault{Lose: objectstore.ErrChanged}, "BucketDrifted", "looked at again soon", nil},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorkshop(t)
			w.store.SetHook(func(_ context.Context, op objectstore.Op, _ string) memory.Fault {
				if op == tc.op {
					return tc.fault
				}
				return memory.Fault{}
			})
			s := w.reconcile(t)
			if reason(s) != tc.reason || tc.says != "" && !strings.Contains(s.seen.Problem.Message, tc.says) {
				t.Fatalf("%+v, want %s: %s", s.seen.Problem, tc.reason, tc.says)
			}
			if tc.reason != "" {
				if w.trail.Status.Bucket != nil {
					t.Error("values are in the status that are not in force")
				}
				// Mended, it is seen after a while.
				w.store.SetHook(nil)
				if tc.op == objectstore.OpCreateBucket {
					w.store.DeleteBucket()
				}
				w.clock.Step(recheck)
				if s = w.reconcile(t); s.seen.Problem != nil {
					t.Errorf("mended: %+v", s.seen.Problem)
				}
				return
			}
			if d := cmp.Diff(tc.unsupported, w.trail.Status.Bucket.Unsupported); d != "" {
				t.Error(d)
			}
			// The values count as set: the same spec shortens nothing.
			w.clock.Step(recheck)
			if s = w.reconcile(t); s.seen.Problem != nil {
				t.Errorf("again: %+v", s.seen.Problem)
			}
		})
	}
}

// TestProofs: a wish that is newer than the claim is proven by one object of its
// own, and none is written for what is proven.
func TestProofs(t *testing.T) {
	w := newWorkshop(t)
	w.trail.Spec.Destination.Encryption, w.trail.Spec.Destination.ObjectLock.Days = nil, 1
	w.reconcile(t)
	w.update(func(d *v1alpha1.Destination) { d.Encryption = &v1alpha1.Encryption{Type: v1alpha1.EncryptionS3} })
	w.store.SetHook(func(context.Context, objectstore.Op, string) memory.Fault {
		return memory.Fault{IgnoreEncryption: true}
	})
	for range 3 {
		if s := w.reconcile(t, recorded); reason(s) != "EncryptionIgnored" {
			t.Fatalf("%+v", s.seen.Problem)
		}
		w.clock.Step(recheck / 2)
	}
	failing := len(w.store.Objects())
	if failing > 4 {
		t.Errorf("%d objects while it fails", failing)
	}
	w.store.SetHook(nil)
	for range 5 {
		w.clock.Step(recheck)
		if s := w.reconcile(t, recorded); s.seen.Problem != nil {
			t.Fatalf("%+v", s.seen.Problem)
		}
	}
	if got := len(w.store.Objects()); got != failing+1 {
		t.Errorf("%d objects after it was mended, %d before", got, failing)
	}
}

// TestConflictingTrailSetsNothing: whose the prefix is decides whose rules
// delete what is below it.
func TestConflictingTrailSetsNothing(t *testing.T) {
	w := newWorkshop(t)
	w.trail.Spec.Destination.Prefix = "shared"
	w.reconcile(t)
	before, _ := w.store.Lifecycle(t.Context())
	w.trail.Name, w.trail.UID, w.trail.Status = "second", "v", v1alpha1.TrailStatus{}
	w.update(func(d *v1alpha1.Destination) {
		d.Lifecycle.ExpireAfterDays = 1
		d.ObjectLock = &v1alpha1.ObjectLock{Mode: v1alpha1.LockCompliance, Days: 36500}
	})
	if s := w.reconcile(t); reason(s) != "Conflict" {
		t.Fatalf("%+v", s.seen.Problem)
	}
	after, _ := w.store.Lifecycle(t.Context())
	if d := cmp.Diff(before, after); d != "" {
		t.Error(d)
	}
	if lock, _ := w.store.ObjectLock(t.Context()); lock.Default != (objectstore.DefaultRetention{Mode: objectstore.RetentionGovernance, Days: 7}) {
		t.Errorf("the bucket's default retention is %+v now", lock.Default)
	}
}

func TestBucketThatIsGone(t *testing.T) {
	w := newWorkshop(t)
	w.reconcile(t)
	w.trail.Status.LatestDelivery = &v1alpha1.LatestDelivery{Time: &metav1.Time{Time: w.clock.Now()}}
	w.store.DeleteBucket()
	w.clock.Step(recheck)
	if s := w.reconcile(t, recorded); s.seen.Problem != nil || !slices.Contains(w.events.reasons, "BucketCreated") {
		t.Errorf("%+v, Events %v", s.seen.Problem, w.events.reasons)
	}
}

func TestShortening(t *testing.T) {
	w := newWorkshop(t)
	rules := func() string {
		var b bytes.Buffer
		all, _ := w.store.Lifecycle(t.Context())
		for _, r := range all {
			b.WriteString(r.ID[strings.LastIndexByte(r.ID, '/')+1:] + "=" + time.Duration(r.ExpireDays).String() + " ")
		}
		return b.String()
	}
	w.reconcile(t, recorded)
	w.trail.Status.RecordedGeneration = 1
	old := rules()
	w.update(func(d *v1alpha1.Destination) { d.Lifecycle.ExpireAfterDays, d.ObjectLock.Days = 30, 1 })
	w.trail.Status.RecordedGeneration = 2
	s := w.reconcile(t, recorded)
	if reason(s) != "ShorteningNotAllowed" || !s.seen.Problem.Stalled ||
		!strings.Contains(s.seen.Problem.Message, `trail-operator.io/allow-shortening: "objectLockDays=1,expireAfterDays=30"`) {
		t.Fatalf("%+v", s.seen.Problem)
	}
	if rules() != old || s.settled().Spec.Destination.ObjectLock.Days != 7 || len(w.received.names) > 0 {
		t.Errorf("rules %s, lock %+v, events %v", rules(), s.settled().Spec.Destination.ObjectLock, w.received.names)
	}
	// Drift is repaired to the old values.
	if err := w.store.SetLifecycle(t.Context(), "trail-operator/", nil); err != nil {
		t.Fatal(err)
	}
	w.clock.Step(recheck)
	if w.reconcile(t, recorded); rules() != old {
		t.Errorf("repaired to %s", rules())
	}

	w.trail.Annotations = map[string]string{v1alpha1.AnnotationAllowShortening: "expireAfterDays=30"}
	if s = w.reconcile(t, recorded); reason(s) != "ShorteningNotAllowed" || rules() != old {
		t.Errorf("half of it allowed: %+v, %s", s.seen.Problem, rules())
	}
	w.trail.Annotations[v1alpha1.AnnotationAllowShortening] = "expireAfterDays=30, objectLockDays=1"
	w.received.away = true
	s = w.newScope(w.trail.DeepCopy())
	s.credentials, s.rendered = &manifests.Credentials{}, &receiverconfig.Trail{}
	if err := s.settle(t.Context()); !errors.Is(err, errReceiver) { // it ends the steps
		t.Errorf("while nobody records it: %v", err)
	}
	w.received.away = false
	if s = w.reconcile(t, recorded); s.seen.Problem != nil || rules() == old {
		t.Errorf("%+v, %s", s.seen.Problem, rules())
	}
	if !slices.Equal(w.received.names, []string{"UpdateTrail"}) || !strings.Contains(string(w.received.last.Details), `"allowedShortening":"objectLockDays from 7 to 1, expireAfterDays from 365 to 30"`) {
		t.Errorf("recorded %v: %s", w.received.names, w.received.last.Details)
	}
	if b := w.trail.Status.Bucket; b.ExpireAfterDays != 30 || b.ObjectLockDays != 1 {
		t.Errorf("%+v", b)
	}
	delete(w.trail.Annotations, v1alpha1.AnnotationAllowShortening)
	if s = w.reconcile(t, recorded); s.seen.Problem != nil || s.shortening != nil {
		t.Errorf("without the annotation again: %+v", s.seen.Problem)
	}
}

// TestShorteningIsRecordedFirst: once, and before anything shorter is in force,
// whatever keeps the bucket from being looked at.
func TestShorteningIsRecordedFirst(t *testing.T) {
	w := newWorkshop(t)
	w.reconcile(t)
	w.trail.Status.RecordedGeneration = 1
	w.trail.Annotations = map[string]string{v1alpha1.AnnotationAllowShortening: "objectLockDays=1"}
	w.update(func(d *v1alpha1.Destination) { d.ObjectLock.Days = 1 })
	for range 2 {
		w.reconcile(t, recorded, func(s *scope) { s.credentials = nil })
	}
	w.store.SetHook(func(context.Context, objectstore.Op, string) memory.Fault {
		return memory.Fault{Refuse: objectstore.ErrUnreachable}
	})
	for range 2 {
		w.reconcile(t, recorded)
		w.clock.Step(recheck)
	}
	w.store.SetHook(nil)
	if s := w.reconcile(t, recorded); s.seen.Problem != nil || s.settled().Spec.Destination.ObjectLock.Days != 1 {
		t.Errorf("%+v, lock %+v", s.seen.Problem, s.settled().Spec.Destination.ObjectLock)
	}
	if !slices.Equal(w.received.names, []string{"UpdateTrail"}) || w.trail.Status.RecordedGeneration != 2 {
		t.Errorf("recorded %v, generation %d", w.received.names, w.trail.Status.RecordedGeneration)
	}
}

// again deletes the trail and creates it anew under its name.
func (w *workshop) again(change func(*v1alpha1.Destination)) {
	w.trail = w.trail.DeepCopy()
	w.trail.UID, w.trail.Generation, w.trail.Status = w.trail.UID+"+", 1, v1alpha1.TrailStatus{}
	change(&w.trail.Spec.Destination)
}

// expiry is that of the rule for log files, 0 without one.
func (w *workshop) expiry(t *testing.T) int {
	t.Helper()
	all, err := w.store.Lifecycle(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range all {
		if strings.HasSuffix(r.ID, "/logs") {
			return r.ExpireDays
		}
	}
	return 0
}

// TestShorteningByRecreation: what a trail must not do it cannot do either by
// being deleted and created again.
func TestShorteningByRecreation(t *testing.T) {
	w := newWorkshop(t)
	w.reconcile(t)
	shorter := func(d *v1alpha1.Destination) {
		d.ObjectLock, d.Lifecycle = nil, &v1alpha1.Lifecycle{ExpireAfterDays: 1, DigestExpireAfterDays: 2}
	}
	w.again(shorter)
	const needs = "objectLockDays=0,expireAfterDays=1,digestExpireAfterDays=2"
	for range 3 {
		s := w.reconcile(t)
		if reason(s) != "ShorteningNotAllowed" || !strings.Contains(s.seen.Problem.Message, needs) {
			t.Fatalf("%+v", s.seen.Problem)
		}
		if w.expiry(t) != 365 || s.settled().Spec.Destination.ObjectLock.Days != 7 {
			t.Errorf("expires after %d days, lock %+v", w.expiry(t), s.settled().Spec.Destination.ObjectLock)
		}
		w.clock.Step(recheck / 2)
	}
	if w.trail.Status.Bucket.ExpireAfterDays != 365 {
		t.Errorf("%+v", w.trail.Status.Bucket)
	}

	// With the annotation, it is shortened once there is a trail to record it in.
	w.again(shorter)
	w.trail.Annotations = map[string]string{v1alpha1.AnnotationAllowShortening: needs}
	early := func(change ...func(*scope)) {
		t.Helper()
		s := w.reconcile(t, change...)
		if s.seen.Problem != nil || w.expiry(t) != 365 || s.settled().Spec.Destination.ObjectLock == nil || len(w.received.names) > 0 {
			t.Fatalf("before it can be recorded: %+v, expires after %d days, recorded %v", s.seen.Problem, w.expiry(t), w.received.names)
		}
	}
	early()
	early(recorded) // and CreateTrail is not yet
	w.again(shorter)
	early()
	w.trail.Status.RecordedGeneration = 1 // CreateTrail
	if s := w.reconcile(t, recorded); s.seen.Problem != nil || w.expiry(t) != 1 || s.settled().Spec.Destination.ObjectLock != nil {
		t.Errorf("%+v, expires after %d days", s.seen.Problem, w.expiry(t))
	}
	if !slices.Equal(w.received.names, []string{"UpdateTrail"}) || !strings.Contains(string(w.received.last.Details), `"allowedShortening":"objectLockDays from 7 to none, expireAfterDays from 365 to 1,`) {
		t.Errorf("recorded %v: %s", w.received.names, w.received.last.Details)
	}
}

// TestNewRuleByRecreation: what nothing deleted is not deleted by a new trail,
// unless there is nothing.
func TestNewRuleByRecreation(t *testing.T) {
	for name, delivered := range map[string]bool{"with records": true, "without": false} {
		t.Run(name, func(t *testing.T) {
			w := newWorkshop(t)
			w.update(func(d *v1alpha1.Destination) { d.Lifecycle, d.ObjectLock = nil, nil })
			v := &visit{scope: w.reconcile(t), store: w.store}
			if delivered {
				if err := v.create(t.Context(), v.layout().LogFile(w.clock.Now(), "0123456789abcdef"), []byte("x")); err != nil {
					t.Fatal(err)
				}
			}
			w.again(func(d *v1alpha1.Destination) { d.Lifecycle = &v1alpha1.Lifecycle{ExpireAfterDays: 1} })
			s := w.reconcile(t)
			if delivered && (reason(s) != "ShorteningNotAllowed" || w.expiry(t) != 0) || !delivered && (s.seen.Problem != nil || w.expiry(t) != 1) {
				t.Errorf("%+v, expires after %d days", s.seen.Problem, w.expiry(t))
			}
		})
	}
}

// TestLostStatus: a trail whose status is lost goes on with what it had, even
// where its bucket cannot be asked.
func TestLostStatus(t *testing.T) {
	w := newWorkshop(t)
	w.reconcile(t)
	w.update(func(d *v1alpha1.Destination) { d.ObjectLock.Mode, d.ObjectLock.Days = v1alpha1.LockCompliance, 30 })
	if s := w.reconcile(t); s.seen.Problem != nil { // there is a proof of it now
		t.Fatalf("%+v", s.seen.Problem)
	}
	w.update(func(d *v1alpha1.Destination) { d.ObjectLock.Days, d.Lifecycle.ExpireAfterDays = 8, 30 })
	w.trail.Status = v1alpha1.TrailStatus{}
	if s := w.reconcile(t); reason(s) != "ShorteningNotAllowed" || w.expiry(t) != 365 {
		t.Errorf("with what this manager has seen: %+v, expires after %d days", s.seen.Problem, w.expiry(t))
	}
	w.buckets.forget(w.trail.UID)
	w.trail.Status = v1alpha1.TrailStatus{}
	if s := w.reconcile(t); reason(s) != "ShorteningNotAllowed" || !strings.Contains(s.seen.Problem.Message, "objectLockDays=8,expireAfterDays=30") || w.expiry(t) != 365 {
		t.Errorf("after a restart: %+v, expires after %d days", s.seen.Problem, w.expiry(t))
	}
	w.buckets.forget(w.trail.UID)
	w.trail.Status = v1alpha1.TrailStatus{}
	w.store.SetHook(func(_ context.Context, op objectstore.Op, _ string) memory.Fault {
		if op == objectstore.OpPut {
			return memory.Fault{Refuse: objectstore.ErrUnreachable}
		}
		return memory.Fault{}
	})
	for range 2 { // the second time from memory
		s := w.reconcile(t, recorded)
		if reason(s) != "EndpointUnreachable" || s.settled().Spec.Destination.ObjectLock.Days != 30 {
			t.Errorf("where the bucket was asked, and failed then: %+v, lock %+v", s.seen.Problem, s.settled().Spec.Destination.ObjectLock)
		}
		w.trail.Status = v1alpha1.TrailStatus{}
	}
	w.buckets.forget(w.trail.UID)
	w.store.SetHook(func(context.Context, objectstore.Op, string) memory.Fault {
		return memory.Fault{Refuse: objectstore.ErrUnreachable}
	})
	s := w.reconcile(t, func(s *scope) {
		s.rendered = &receiverconfig.Trail{UID: "u", Destination: receiverconfig.Destination{Retention: receiverconfig.Retention{Mode: "COMPLIANCE", Days: 30}}}
	})
	if reason(s) != "EndpointUnreachable" || s.settled().Spec.Destination.ObjectLock.Days != 30 {
		t.Errorf("without its bucket: %+v, lock %+v", s.seen.Problem, s.settled().Spec.Destination.ObjectLock)
	}
}

// TestTurns: one at a time, and nobody for ever.
func TestTurns(t *testing.T) {
	var l turns
	var inside, most atomic.Int32
	var group sync.WaitGroup
	for range 20 {
		group.Go(func() {
			_ = l.do(t.Context(), "key", func() error {
				most.Store(max(most.Load(), inside.Add(1)))
				inside.Add(-1)
				return nil
			})
		})
	}
	group.Wait()
	if most.Load() != 1 || len(l.busy) != 0 {
		t.Errorf("%d at once, %d left", most.Load(), len(l.busy))
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := l.do(t.Context(), "key", func() error {
		return errors.Join(l.do(t.Context(), "other", func() error { return nil }), l.do(ctx, "key", func() error { return nil }))
	})
	if !errors.Is(err, objectstore.ErrUnreachable) {
		t.Errorf("got %v", err)
	}
}

// TestTurnsBySpelling: one bucket has one turn, however its server is named.
func TestTurnsBySpelling(t *testing.T) {
	for _, tc := range []struct {
		a, b string
		same bool
	}{
		{"https://s3.example.com", "https://S3.example.com:443", true},
		{"http://10.0.0.7:9000", "http://10.0.0.7:9000", true},
		{"", "https://s3.eu-central-1.amazonaws.com", true},
		{"https://s3.example.com", "https://s3.example.com:9000", false},
		{"https://s3.example.com", "https://s3.example.net", false},
		{"", "https://s3.amazonaws.com.example.net", false},
	} {
		if got := turnOf(tc.a, "logs") == turnOf(tc.b, "logs"); got != tc.same {
			t.Errorf("%q and %q are one server: %v", tc.a, tc.b, got)
		}
	}
	if turnOf("", "logs") == turnOf("", "audit") {
		t.Error("two buckets have one turn")
	}
}
