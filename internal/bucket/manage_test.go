package bucket

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/utils/clock"

	"github.com/trail-operator/trail-operator/api/v1alpha1"
	"github.com/trail-operator/trail-operator/internal/objectstore"
	"github.com/trail-operator/trail-operator/internal/objectstore/memory"
	"github.com/trail-operator/trail-operator/internal/record"
)

// lockedBucket is a new bucket with object lock.
func lockedBucket(t *testing.T) *memory.Store {
	t.Helper()
	s := memory.New(clock.RealClock{})
	s.DeleteBucket()
	if err := s.CreateLockedBucket(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s
}

func manage(t *testing.T, s *memory.Store, d v1alpha1.Destination) Outcome {
	t.Helper()
	out, err := Manage(t.Context(), s, Want(d, of("shop.audit", "a"), nil))
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestManageSetsAndRepairs(t *testing.T) {
	s := lockedBucket(t)
	out := manage(t, s, everything())
	want := []record.LifecycleRule{
		{Objects: "logs", TransitionDays: 30, StorageClass: "GLACIER"}, {Objects: "logs", ExpireDays: 365}, {Objects: "digests", ExpireDays: 800},
	}
	if d := cmp.Diff(want, out.InForce); d != "" || len(out.Drift)+len(out.Missing)+len(out.Unsupported) > 0 {
		t.Errorf("%+v: %s", out, d)
	}
	if lock, _ := s.ObjectLock(t.Context()); lock.Default != (objectstore.DefaultRetention{Mode: objectstore.RetentionGovernance, Days: 7}) {
		t.Errorf("the bucket has %+v", lock)
	}
	for name, damage := range map[string]func() error{
		"rule": func() error {
			return s.SetLifecycle(t.Context(), Want(everything(), of("shop.audit", "a"), nil).Owner, nil)
		},
		"tag":        func() error { return s.SetTags(t.Context(), nil, []string{"team"}) },
		"encryption": func() error { return s.SetDefaultEncryption(t.Context(), objectstore.DefaultEncryption{}) },
		"retention":  func() error { return s.SetDefaultRetention(t.Context(), objectstore.DefaultRetention{}) },
	} {
		if err := damage(); err != nil {
			t.Fatal(err)
		}
		seen, err := Inspect(t.Context(), s, Want(everything(), of("shop.audit", "a"), nil))
		if err != nil || len(seen.Drift) == 0 {
			t.Errorf("%s: it is not seen: %+v, %v", name, seen, err)
		}
		if out := manage(t, s, everything()); len(out.Changed) == 0 || len(out.Drift) > 0 {
			t.Errorf("%s: %+v", name, out)
		}
		if out := manage(t, s, everything()); len(out.Changed) > 0 {
			t.Errorf("%s: it was not repaired: %v", name, out.Changed)
		}
	}
}

func TestManageOnlyRaises(t *testing.T) {
	s := lockedBucket(t)
	strong := objectstore.DefaultRetention{Mode: objectstore.RetentionCompliance, Years: 1}
	kms := objectstore.DefaultEncryption{Encryption: objectstore.Encryption{Type: objectstore.EncryptionKMS, KMSKeyID: "theirs"}, BucketKey: true}
	if err := errors.Join(s.SetDefaultRetention(t.Context(), strong), s.SetDefaultEncryption(t.Context(), kms)); err != nil {
		t.Fatal(err)
	}
	out := manage(t, s, everything())
	lock, _ := s.ObjectLock(t.Context())
	encryption, _ := s.DefaultEncryption(t.Context())
	if lock.Default != strong || encryption != kms {
		t.Errorf("others now have %+v and %+v", lock, encryption)
	}
	if len(out.Drift) != 1 || !strings.Contains(out.Drift[0], "another key") {
		t.Errorf("said %v", out.Drift)
	}
	d := everything()
	d.ObjectLock.Days = 1000
	manage(t, s, d)
	if lock, _ = s.ObjectLock(t.Context()); lock.Default != (objectstore.DefaultRetention{Mode: objectstore.RetentionCompliance, Days: 1000}) {
		t.Errorf("the default is %+v", lock.Default)
	}
}

func TestMissingLock(t *testing.T) {
	s := memory.New(clock.RealClock{})
	out := manage(t, s, everything())
	if !slices.Equal(out.Missing, []Feature{ObjectLock}) || s.Calls(objectstore.OpSetVersioning) > 0 {
		t.Errorf("%+v", out)
	}
	seen, err := Inspect(t.Context(), s, Want(everything(), of("shop.audit", "a"), nil))
	if err != nil || !slices.Equal(seen.Missing, []Feature{Versioning, ObjectLock}) {
		t.Errorf("%+v, %v", seen, err)
	}
}

// TestServers: what is refused, not implemented, or accepted and not kept.
func TestServers(t *testing.T) {
	on := func(op objectstore.Op, f memory.Fault) memory.Hook {
		return func(_ context.Context, o objectstore.Op, _ string) memory.Fault {
			if o == op {
				return f
			}
			return memory.Fault{}
		}
	}
	no := memory.Fault{Refuse: objectstore.ErrNotImplemented}
	for name, tc := range map[string]struct {
		hook memory.Hook
		want []Feature
	}{
		"no lifecycle":         {on(objectstore.OpGetLifecycle, no), []Feature{Lifecycle}},
		"lifecycle is refused": {on(objectstore.OpSetLifecycle, memory.Fault{Refuse: &objectstore.Error{Status: 400, Code: "MalformedXML", Err: errors.New("x")}}), []Feature{Lifecycle}},
		"no tags":              {on(objectstore.OpSetTags, no), []Feature{Tags}},
		"no encryption":        {on(objectstore.OpGetEncryption, no), []Feature{Encryption}},
		"encryption ignored":   {on(objectstore.OpSetEncryption, memory.Fault{IgnoreSetting: true}), []Feature{Encryption}},
		"no default retention": {on(objectstore.OpSetObjectLock, no), []Feature{ObjectLock}},
		"retention is ignored": {on(objectstore.OpSetObjectLock, memory.Fault{IgnoreSetting: true}), []Feature{ObjectLock}},
		"no versioning":        {on(objectstore.OpGetVersioning, no), []Feature{Versioning}},
	} {
		s := lockedBucket(t)
		s.SetHook(tc.hook)
		if out := manage(t, s, everything()); !slices.Equal(out.Unsupported, tc.want) {
			t.Errorf("%s: unsupported %v, want %v", name, out.Unsupported, tc.want)
		}
	}
}

// choosy refuses some rules, as MinIO does.
type choosy struct {
	*memory.Store
	refuses func(objectstore.LifecycleRule) bool
}

func (c choosy) SetLifecycle(ctx context.Context, owner string, rules []objectstore.LifecycleRule) error {
	if slices.ContainsFunc(rules, c.refuses) {
		return &objectstore.Error{Op: objectstore.OpSetLifecycle, Status: 400, Code: "InvalidArgument", Err: errors.New("the server answered 400")}
	}
	return c.Store.SetLifecycle(ctx, owner, rules)
}

func TestRefusedRules(t *testing.T) {
	abort := func(r objectstore.LifecycleRule) bool { return r.AbortMultipartDays > 0 }
	class := func(r objectstore.LifecycleRule) bool { return r.StorageClass != "" }
	for name, tc := range map[string]struct {
		refuses func(objectstore.LifecycleRule) bool
		want    []Feature
		rules   int
	}{
		"abort": {abort, []Feature{AbortUploads}, 3},
		"class": {class, []Feature{Transitions}, 3},
		"both":  {func(r objectstore.LifecycleRule) bool { return abort(r) || class(r) }, []Feature{AbortUploads, Transitions}, 2},
		"all":   {func(objectstore.LifecycleRule) bool { return true }, []Feature{Lifecycle}, 0},
	} {
		s := lockedBucket(t)
		out, err := Manage(t.Context(), choosy{s, tc.refuses}, Want(everything(), of("shop.audit", "a"), nil))
		rules, _ := s.Lifecycle(t.Context())
		if err != nil || !slices.Equal(out.Unsupported, tc.want) || len(rules) != tc.rules {
			t.Errorf("%s: unsupported %v, rules %v, %v", name, out.Unsupported, rules, err)
		}
		again, err := Manage(t.Context(), choosy{s, tc.refuses}, Want(everything(), of("shop.audit", "a"), nil))
		if err != nil || len(again.Changed) > 0 || !slices.Equal(again.Unsupported, tc.want) {
			t.Errorf("%s: again %+v, %v", name, again, err)
		}
	}
}

func TestDenied(t *testing.T) {
	deny := func(op objectstore.Op) *memory.Store {
		s := lockedBucket(t)
		s.SetHook(func(_ context.Context, o objectstore.Op, _ string) memory.Fault {
			if o == op {
				return memory.Fault{Refuse: objectstore.ErrAccessDenied}
			}
			return memory.Fault{}
		})
		return s
	}
	want := Want(everything(), of("shop.audit", "a"), nil)
	for _, op := range []objectstore.Op{
		objectstore.OpGetVersioning, objectstore.OpGetLifecycle, objectstore.OpSetLifecycle, objectstore.OpSetTags, objectstore.OpSetEncryption,
	} {
		_, err := Manage(t.Context(), deny(op), want)
		var e *objectstore.Error
		if !errors.Is(err, objectstore.ErrAccessDenied) || !errors.As(err, &e) || e.Op != op {
			t.Errorf("%s: %v", op, err)
		}
	}
	// Whoever asks for nothing needs no permission.
	if _, err := Manage(t.Context(), deny(objectstore.OpGetLifecycle), Want(v1alpha1.Destination{}, of("shop.audit", "a"), nil)); err != nil {
		t.Error(err)
	}
	had := &v1alpha1.BucketStatus{ExpireAfterDays: 30}
	if _, err := Manage(t.Context(), deny(objectstore.OpGetLifecycle), Want(v1alpha1.Destination{}, of("shop.audit", "a"), had)); !errors.Is(err, objectstore.ErrAccessDenied) {
		t.Errorf("rules that are to go cannot be seen: %v", err)
	}
	if out, err := Inspect(t.Context(), deny(objectstore.OpGetTags), want); err != nil || !strings.Contains(strings.Join(out.Drift, " "), "may not read what the bucket has of tags") {
		t.Errorf("%+v, %v", out, err)
	}
	if _, err := Inspect(t.Context(), deny(objectstore.OpGetVersioning), want); !errors.Is(err, objectstore.ErrAccessDenied) {
		t.Errorf("a protection that may be missing: %v", err)
	}
}

func TestConflicts(t *testing.T) {
	want := Want(everything(), of("shop.audit", "a"), nil)
	const root = "a/AWSLogs/000000000042/"
	for name, tc := range map[string]struct {
		rule objectstore.LifecycleRule
		says []string
	}{
		"whole bucket":    {objectstore.LifecycleRule{ExpireDays: 30}, []string{"deletes log files of this trail after 30 days", "deletes digests", "deletes the public keys"}},
		"later than ours": {objectstore.LifecycleRule{Prefix: root + "CloudTrail/", ExpireDays: 366}, nil},
		"one folder":      {objectstore.LifecycleRule{Prefix: root + "CloudTrail/eu-1/2026/", ExpireDays: 3}, []string{"deletes log files"}},
		"digests only":    {objectstore.LifecycleRule{Prefix: root + "CloudTrail-Digest/", ExpireDays: 400}, []string{"deletes digests of this trail after 400 days"}},
		"digests moved":   {objectstore.LifecycleRule{Prefix: root, TransitionDays: 1, StorageClass: "GLACIER"}, []string{"moves digests"}},
		"old versions":    {objectstore.LifecycleRule{Prefix: root + "CloudTrail/", NoncurrentExpireDays: 1}, []string{"deletes old versions of log files"}},
		"keys":            {objectstore.LifecycleRule{Prefix: root + "CloudTrail-Digest-Keys/", ExpireDays: 9999}, []string{"deletes the public keys"}},
		"dates":           {objectstore.LifecycleRule{Prefix: "a", Partial: true}, []string{"has conditions or dates that are not understood"}},
		"elsewhere":       {objectstore.LifecycleRule{Prefix: "b/", ExpireDays: 1}, nil},
		"a sibling":       {objectstore.LifecycleRule{Prefix: "ab", ExpireDays: 1}, nil},
	} {
		tc.rule.ID, tc.rule.Enabled = "clean-up", true
		got := want.conflicts(observed{Rules: []objectstore.LifecycleRule{tc.rule}, Encryption: objectstore.DefaultEncryption{Encryption: want.Encryption}})
		if len(got) != len(tc.says) {
			t.Errorf("%s: said %q", name, got)
			continue
		}
		for i, s := range tc.says {
			if !strings.Contains(got[i], s) || !strings.Contains(got[i], `"clean-up" of somebody else`) {
				t.Errorf("%s: said %q, want %q", name, got[i], s)
			}
		}
		tc.rule.Enabled = false
		if got := want.conflicts(observed{Rules: []objectstore.LifecycleRule{tc.rule}, Encryption: objectstore.DefaultEncryption{Encryption: want.Encryption}}); len(got) > 0 {
			t.Errorf("%s, disabled: said %q", name, got)
		}
	}
	if got := shown("a\x1b[31m\"" + strings.Repeat("ä", 99)); strings.ContainsAny(got, "\x1b") || len(got) > 90 {
		t.Errorf("an ID is shown as %s", got)
	}
}
