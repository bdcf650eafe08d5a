package verify

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	testclock "k8s.io/utils/clock/testing"

	"github.com/trail-operator/trail-operator/internal/record"
)

const day = 24 * time.Hour

func expire(objects string, days int32) []record.LifecycleRule {
	return []record.LifecycleRule{{Objects: objects, ExpireDays: days}}
}

// TestLifecycle: what a lifecycle rule has removed is told from what somebody
// has deleted. The trail has six hours with one log file each; the rules are
// those that each digest lists.
func TestLifecycle(t *testing.T) {
	logs30, logs60 := expire(record.LifecycleLogs, 30), expire(record.LifecycleLogs, 60)
	digests30 := expire(record.LifecycleDigests, 30)
	archive1 := []record.LifecycleRule{{Objects: record.LifecycleLogs, TransitionDays: 1, StorageClass: "GLACIER"}}
	for name, tc := range map[string]struct {
		rules    [6][]record.LifecycleRule
		now      time.Duration // since the end of the third digest
		change   func(t *testing.T, f *fixture)
		findings func(f *fixture) []Finding
		notices  func(f *fixture) []Finding
		files    Count
	}{
		"expired": {
			rules: [6][]record.LifecycleRule{logs30, logs30, logs30, logs30, logs30, logs30}, now: 30*day + time.Second,
			change: func(_ *testing.T, f *fixture) {
				for _, key := range f.Files[:3] {
					f.store.Delete(key)
				}
			},
			notices: func(f *fixture) []Finding {
				return []Finding{{Kind: LogFileExpired, Key: f.Files[0]}, {Kind: LogFileExpired, Key: f.Files[1]}, {Kind: LogFileExpired, Key: f.Files[2]}}
			},
			files: Count{Total: 6, Valid: 3, Expired: 3},
		},
		"deleted before it expires": {
			rules: [6][]record.LifecycleRule{logs30, logs30, logs30, logs30, logs30, logs30}, now: 30 * day,
			change:   func(_ *testing.T, f *fixture) { f.store.Delete(f.Files[2]) },
			findings: func(f *fixture) []Finding { return []Finding{{Kind: LogFileMissing, Key: f.Files[2]}} },
			files:    Count{Total: 6, Valid: 5},
		},
		"expired by the rule of its own digest, which was lifted later": {
			rules: [6][]record.LifecycleRule{2: logs30}, now: 31 * day,
			change:  func(_ *testing.T, f *fixture) { f.store.Delete(f.Files[2]) },
			notices: func(f *fixture) []Finding { return []Finding{{Kind: LogFileExpired, Key: f.Files[2]}} },
			files:   Count{Total: 6, Valid: 5, Expired: 1},
		},
		"expired by a rule that came later": {
			rules: [6][]record.LifecycleRule{logs60, logs60, logs60, logs60, logs30, logs60}, now: 31 * day,
			change:  func(_ *testing.T, f *fixture) { f.store.Delete(f.Files[2]) },
			notices: func(f *fixture) []Finding { return []Finding{{Kind: LogFileExpired, Key: f.Files[2]}} },
			files:   Count{Total: 6, Valid: 5, Expired: 1},
		},
		"the rule was lifted before": {
			rules: [6][]record.LifecycleRule{logs30, logs30}, now: 100 * day,
			change:   func(_ *testing.T, f *fixture) { f.store.Delete(f.Files[2]) },
			findings: func(f *fixture) []Finding { return []Finding{{Kind: LogFileMissing, Key: f.Files[2]}} },
			files:    Count{Total: 6, Valid: 5},
		},
		"the rule is one for digests": {
			rules: [6][]record.LifecycleRule{5: digests30}, now: 31 * day,
			change:   func(_ *testing.T, f *fixture) { f.store.Delete(f.Files[2]) },
			findings: func(f *fixture) []Finding { return []Finding{{Kind: LogFileMissing, Key: f.Files[2]}} },
			files:    Count{Total: 6, Valid: 5},
		},
		"the rule stands in a digest that was changed": {
			rules: [6][]record.LifecycleRule{5: logs60}, now: 31 * day,
			change: func(t *testing.T, f *fixture) {
				f.content(t, f.Digests[5], func(s string) string { return strings.Replace(s, `"expireDays":60`, `"expireDays":30`, 1) })
				f.store.Delete(f.Files[2])
			},
			findings: func(f *fixture) []Finding {
				return []Finding{
					{Kind: LogFileMissing, Key: f.Files[2]},
					{Kind: DigestSignature, Key: f.Digests[5]},
					{Kind: HeadMismatch, Key: f.Digests[5]},
					{Kind: LogFileUnlisted, Key: f.Files[5]},
				}
			},
			files: Count{Total: 5, Valid: 4},
		},
		"days that no bucket takes": {
			rules: [6][]record.LifecycleRule{5: expire(record.LifecycleLogs, maxDays+1)}, now: day,
			change: func(*testing.T, *fixture) {},
			findings: func(f *fixture) []Finding {
				return []Finding{{Kind: DigestInvalid, Key: f.Digests[5]}, {Kind: LogFileUnlisted, Key: f.Files[5]}}
			},
			files: Count{Total: 5, Valid: 5},
		},
		"archived": {
			rules: [6][]record.LifecycleRule{2: archive1}, now: 2 * day,
			change:  func(_ *testing.T, f *fixture) { f.store.Archive(f.Files[1]) },
			notices: func(f *fixture) []Finding { return []Finding{{Kind: LogFileArchived, Key: f.Files[1]}} },
			files:   Count{Total: 6, Valid: 5, Archived: 1},
		},
		"archived before its time": {
			rules: [6][]record.LifecycleRule{2: archive1}, now: day,
			change:   func(_ *testing.T, f *fixture) { f.store.Archive(f.Files[2]) },
			findings: func(f *fixture) []Finding { return []Finding{{Kind: LogFileUnreadable, Key: f.Files[2]}} },
			files:    Count{Total: 6, Valid: 5},
		},
		"archived, and no rule does that": {
			rules: [6][]record.LifecycleRule{2: logs60}, now: 31 * day,
			change:   func(_ *testing.T, f *fixture) { f.store.Archive(f.Files[1]) },
			findings: func(f *fixture) []Finding { return []Finding{{Kind: LogFileUnreadable, Key: f.Files[1]}} },
			files:    Count{Total: 6, Valid: 5},
		},
		"the oldest digests have expired": {
			rules: [6][]record.LifecycleRule{5: append(digests30, logs30...)}, now: 31 * day,
			change: func(_ *testing.T, f *fixture) {
				for _, key := range append(f.Digests[:3:3], f.Files[:3]...) {
					f.store.Delete(key)
				}
			},
			notices: func(f *fixture) []Finding { return []Finding{{Kind: DigestExpired, Key: f.Digests[2]}} },
			files:   Count{Total: 3, Valid: 3},
		},
		"one of two digests in the middle has expired": {
			rules: [6][]record.LifecycleRule{5: digests30}, now: 30*day + time.Second,
			change: func(_ *testing.T, f *fixture) {
				for _, key := range append(f.Digests[2:4:4], f.Files[2:4]...) {
					f.store.Delete(key)
				}
			},
			findings: func(f *fixture) []Finding { return []Finding{{Kind: DigestMissing, Key: f.Digests[3]}} },
			notices:  func(f *fixture) []Finding { return []Finding{{Kind: DigestExpired, Key: f.Digests[2]}} },
			files:    Count{Total: 4, Valid: 4},
		},
		"the newest digest is missing": {
			rules: [6][]record.LifecycleRule{digests30, digests30, digests30, digests30, digests30, digests30}, now: 100 * day,
			change: func(_ *testing.T, f *fixture) {
				f.store.Delete(f.Digests[5])
				f.store.Delete(f.Files[5])
			},
			findings: func(f *fixture) []Finding { return []Finding{{Kind: DigestMissing, Key: f.Digests[5]}} },
			files:    Count{Total: 5, Valid: 5},
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := emptyFixture(t)
			for _, rules := range tc.rules {
				f.Lifecycle = rules
				f.Hours(t, 1, 1)
			}
			tc.change(t, f)
			o := f.options()
			third, _ := record.ParseDigestKey(f.Digests[2])
			o.Clock = testclock.NewFakePassiveClock(third.End.Add(tc.now))
			r := f.run(t, o)
			var want []Finding
			if tc.findings != nil {
				want = tc.findings(f)
			}
			wantFindings(t, r, want...)
			want = nil
			if tc.notices != nil {
				want = tc.notices(f)
			}
			if diff := cmp.Diff(want, r.Notices, cmpopts.IgnoreFields(Finding{}, "Message")); diff != "" {
				t.Errorf("notices (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tc.files, r.LogFiles); diff != "" {
				t.Errorf("log files (-want +got):\n%s", diff)
			}
		})
	}
}

// A digest that is archived cannot be judged.
func TestArchivedDigest(t *testing.T) {
	f := newFixture(t)
	f.store.Archive(f.Digests[1])
	if _, err := Run(t.Context(), f.options()); err == nil || !strings.Contains(err.Error(), "restore it") {
		t.Errorf("want an error that says what to do, got %v", err)
	}
}
