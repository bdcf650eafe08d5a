package bucket

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"k8s.io/utils/clock"
	"pgregory.net/rapid"

	"github.com/trail-operator/trail-operator/api/v1alpha1"
	"github.com/trail-operator/trail-operator/internal/objectstore"
	"github.com/trail-operator/trail-operator/internal/objectstore/memory"
	"github.com/trail-operator/trail-operator/internal/record"
)

func of(name, prefix string) Trail {
	return Trail{
		Installation: "11111111-1111-4111-8111-111111111111", ARN: record.TrailARN("eu-1", "000000000042", name),
		Layout: record.Layout{Prefix: prefix, Account: "000000000042", Region: "eu-1"},
	}
}

func lifecycle(t *rapid.T) v1alpha1.Lifecycle {
	days := rapid.Int32Range(0, 36500)
	l := v1alpha1.Lifecycle{
		ExpireAfterDays: days.Draw(t, "expire"), DigestExpireAfterDays: days.Draw(t, "digests"),
		NoncurrentExpireAfterDays: days.Draw(t, "noncurrent"), AbortIncompleteUploadAfterDays: days.Draw(t, "abort"),
	}
	for i := range rapid.IntRange(0, 3).Draw(t, "transitions") {
		l.Transitions = append(l.Transitions, v1alpha1.Transition{StorageClass: fmt.Sprintf("CLASS-%d", i), AfterDays: rapid.Int32Range(1, 36500).Draw(t, "after")})
	}
	return l
}

func foreign(t *rapid.T) []objectstore.LifecycleRule {
	var list []objectstore.LifecycleRule
	for i := range rapid.IntRange(0, 5).Draw(t, "foreign") {
		list = append(list, objectstore.LifecycleRule{
			ID:      rapid.SampledFrom([]string{"", "trail-operator", "trail-operator/shop.audit", "x", "trail-operator/other/0/"}).Draw(t, "id") + fmt.Sprint(i),
			Prefix:  rapid.SampledFrom([]string{"", "a", "a/AWSLogs/000000000042/CloudTrail/", "elsewhere/"}).Draw(t, "prefix"),
			Enabled: rapid.Bool().Draw(t, "enabled"), ExpireDays: rapid.IntRange(1, 100).Draw(t, "days"), Partial: rapid.Bool().Draw(t, "partial"),
		})
	}
	return list
}

// longest is how long an object is kept that rules delete after expire days, and
// its old version after noncurrent more; never is 1<<40.
func longest(expire, noncurrent int) int {
	const never = 1 << 40
	if expire == 0 || noncurrent == 0 {
		return never
	}
	return expire + noncurrent
}

// TestRules: whatever a lifecycle says, digests are not moved and outlive the
// log files they list, and no rule concerns the owner object and public keys.
func TestRules(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := lifecycle(t)
		tr := of("shop.audit", rapid.SampledFrom([]string{"", "a", "a/b"}).Draw(t, "prefix"))
		want := Want(v1alpha1.Destination{Lifecycle: &l}, tr, nil)
		if err := objectstore.CheckLifecycle(want.Owner, want.Rules); err != nil {
			t.Fatal(err)
		}
		p := tr.places()
		var logs, digests objectstore.LifecycleRule
		for _, r := range want.Rules {
			switch {
			case strings.HasPrefix(p.logs, r.Prefix) && r.AbortMultipartDays == 0:
				if r.StorageClass == "" {
					logs = r
				}
			case strings.HasPrefix(p.digests, r.Prefix) && r.AbortMultipartDays == 0:
				digests = r
			}
			if r.StorageClass != "" && r.Prefix != p.logs {
				t.Errorf("%+v moves more than log files", r)
			}
			deletes := r.ExpireDays > 0 || r.NoncurrentExpireDays > 0
			for _, key := range []string{tr.Layout.Owner(), tr.Layout.DigestKey("f")} {
				if deletes && strings.HasPrefix(key, r.Prefix) {
					t.Errorf("%+v deletes %s", r, key)
				}
			}
			if !strings.HasPrefix(r.Prefix, p.root) {
				t.Errorf("%+v is outside of the trail's place", r)
			}
		}
		for _, age := range []struct {
			what         string
			logs, digest int
		}{
			{"deletion", longest(logs.ExpireDays, 1), longest(digests.ExpireDays, 1)},
			{"deletion of the last version", longest(logs.ExpireDays, logs.NoncurrentExpireDays), longest(digests.ExpireDays, digests.NoncurrentExpireDays)},
			{"deletion of old versions", longest(1, logs.NoncurrentExpireDays), longest(1, digests.NoncurrentExpireDays)},
		} {
			if age.digest < age.logs || age.digest == age.logs && age.logs < 1<<40 {
				t.Errorf("%s: log files after %d days, digests after %d", age.what, age.logs, age.digest)
			}
		}
		if int(l.ExpireAfterDays) != logs.ExpireDays {
			t.Errorf("log files are deleted after %d days, not %d", logs.ExpireDays, l.ExpireAfterDays)
		}
	})
}

// TestManageProperties: rules of others and of other trails survive whatever is
// set, and what was set once needs no second time.
func TestManageProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		store := memory.New(clock.RealClock{})
		others := foreign(t)
		for _, r := range others {
			store.AddLifecycle(r)
		}
		trails := []Trail{of("shop.audit", "a"), of("shop.audit-2", "a/b"), of("shop.audi", "b")}
		wants := make([]Desired, len(trails))
		for range rapid.IntRange(1, 5).Draw(t, "rounds") {
			i := rapid.IntRange(0, len(trails)-1).Draw(t, "trail")
			l := lifecycle(t)
			d := v1alpha1.Destination{Lifecycle: &l, Tags: []v1alpha1.Tag{{Key: "team", Value: "a"}}}
			if rapid.Bool().Draw(t, "encrypt") {
				d.Encryption = &v1alpha1.Encryption{Type: rapid.SampledFrom([]v1alpha1.EncryptionType{v1alpha1.EncryptionS3, v1alpha1.EncryptionKMS}).Draw(t, "type")}
			}
			wants[i] = Want(d, trails[i], nil)
			if _, err := Manage(t.Context(), store, wants[i]); err != nil {
				t.Fatal(err)
			}
		}
		all, err := store.Lifecycle(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range others {
			if !slices.Contains(all, r) {
				t.Errorf("the rule %+v is gone", r)
			}
		}
		total := len(others)
		for _, want := range wants {
			for _, r := range want.Rules {
				if !slices.Contains(all, r) {
					t.Errorf("the rule %+v is gone", r)
				}
			}
			total += len(want.Rules)
		}
		if len(all) != total {
			t.Errorf("there are %d rules, not %d", len(all), total)
		}
		for _, want := range wants {
			if want.Owner == "" {
				continue
			}
			again, err := Manage(t.Context(), store, want)
			if err != nil || len(again.Changed) > 0 {
				t.Errorf("a second time it sets %v, %v", again.Changed, err)
			}
		}
	})
}

func TestOwnersAreNoPrefixes(t *testing.T) {
	list := []Trail{of("shop.audit", ""), of("shop.audit-2", ""), of("shop.a", "")}
	other := of("shop.audit", "")
	other.Installation = "another"
	list = append(list, other)
	for i, a := range list {
		for j, b := range list {
			if i != j && strings.HasPrefix(a.owner(), b.owner()) {
				t.Errorf("%s begins with %s", a.owner(), b.owner())
			}
		}
	}
}

func TestWithout(t *testing.T) {
	full := Want(everything(), of("shop.audit", "a"), nil)
	for f, want := range map[Feature]int{Transitions: 3, AbortUploads: 3, Lifecycle: 0, Tags: 4} {
		if got := len(full.Without(f).Rules); got != want {
			t.Errorf("without %s: %d rules, want %d", f, got, want)
		}
	}
	left := full.Without(Versioning, Encryption, ObjectLock, Lifecycle, Tags)
	if d := cmp.Diff(Desired{Owner: full.Owner}, left, cmpopts.IgnoreUnexported(Desired{}), cmpopts.EquateEmpty()); d != "" {
		t.Error(d)
	}
	// What is left alone is neither asked for nor removed.
	store := lockedBucket(t)
	manage(t, store, everything())
	if out, err := Manage(t.Context(), store, left); err != nil || len(out.Changed) > 0 {
		t.Errorf("it changes %v, %v", out.Changed, err)
	}
	if rules, _ := store.Lifecycle(t.Context()); len(rules) != 4 {
		t.Errorf("%d rules are left", len(rules))
	}
}

// everything asks for all there is.
func everything() v1alpha1.Destination {
	return v1alpha1.Destination{
		Versioning: v1alpha1.VersioningEnabled,
		Encryption: &v1alpha1.Encryption{Type: v1alpha1.EncryptionKMS, KMSKeyID: "key"},
		ObjectLock: &v1alpha1.ObjectLock{Mode: v1alpha1.LockGovernance, Days: 7},
		Lifecycle: &v1alpha1.Lifecycle{
			Transitions:     []v1alpha1.Transition{{StorageClass: "GLACIER", AfterDays: 30}},
			ExpireAfterDays: 365, DigestExpireAfterDays: 800, NoncurrentExpireAfterDays: 9, AbortIncompleteUploadAfterDays: 3,
		},
		Tags: []v1alpha1.Tag{{Key: "team", Value: "platform"}},
	}
}
