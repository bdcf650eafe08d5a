package verify

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	testclock "k8s.io/utils/clock/testing"

	"github.com/trail-operator/trail-operator/internal/objectstore"
	"github.com/trail-operator/trail-operator/internal/objectstore/memory"
	"github.com/trail-operator/trail-operator/internal/record"
	"github.com/trail-operator/trail-operator/internal/verify/verifytest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func at(clock string) time.Time {
	t, err := time.Parse("2006-01-02 15:04:05", "2026-03-01 "+clock)
	if err != nil {
		panic(err)
	}
	return t
}

// fixture is a trail of five hours with two log files each.
type fixture struct {
	*verifytest.Trail
	store *memory.Store
	clock *testclock.FakePassiveClock
}

func newFixture(t testing.TB) *fixture {
	t.Helper()
	f := emptyFixture(t)
	f.Hours(t, 5, 2)
	return f
}

func emptyFixture(t testing.TB) *fixture {
	clock := testclock.NewFakePassiveClock(at("09:20:00"))
	store := memory.New(clock)
	tr := verifytest.New(t, store, "audit", at("09:20:00"))
	tr.Tick = clock.SetTime
	return &fixture{tr, store, clock}
}

func (f *fixture) options() Options {
	return Options{
		Reader: f.store, Layout: f.Layout, Trail: f.Name, Bucket: f.Bucket,
		Trust: f.Keys[0].SHA256, Heads: []record.Head{f.Last.Head},
		Clock: shortlyAfter{f.Trail},
	}
}

// shortlyAfter is a clock that stands still when the trail's newest digest has
// been delivered.
type shortlyAfter struct{ *verifytest.Trail }

func (c shortlyAfter) Now() time.Time                  { return c.End().Add(20 * time.Minute) }
func (c shortlyAfter) Since(t time.Time) time.Duration { return c.Now().Sub(t) }

// content changes an object's content.
func (f *fixture) content(t *testing.T, key string, change func(string) string) {
	t.Helper()
	old := string(verifytest.Gunzip(t, f.store.Objects()[key].Body))
	changed := change(old)
	if changed == old {
		t.Fatalf("nothing was changed in %s", key)
	}
	f.store.Overwrite(key, verifytest.Gzip(t, []byte(changed)))
}

// copy puts the object from to a new place.
func (f *fixture) copy(t *testing.T, from, to string) {
	t.Helper()
	o := f.store.Objects()[from]
	f.store.Delete(to)
	f.Put(t, to, o.Body, o.Metadata)
}

func (f *fixture) run(t *testing.T, o Options) *Result {
	t.Helper()
	r, err := Run(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	if r.Valid != (len(r.Findings) == 0) {
		t.Errorf("valid is %v with %d findings", r.Valid, len(r.Findings))
	}
	return r
}

// wantFindings compares kinds and keys; messages are for people.
func wantFindings(t *testing.T, r *Result, want ...Finding) {
	t.Helper()
	var got []Finding
	for _, f := range r.Findings {
		if f.Message == "" {
			t.Errorf("the finding %s of %s has no message", f.Kind, f.Key)
		}
		got = append(got, Finding{Kind: f.Kind, Key: f.Key})
	}
	slices.SortFunc(want, Finding.compare)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("findings (-want +got):\n%s", diff)
		for _, f := range r.Findings {
			t.Logf("%s %s: %s", f.Kind, f.Key, f.Message)
		}
	}
}

func TestValidTrail(t *testing.T) {
	f := newFixture(t)
	var last Progress
	o := f.options()
	o.Progress = func(p Progress) { last = p }
	r := f.run(t, o)
	want := &Result{
		TrailARN: f.ARN(), Bucket: "audit", Start: at("09:20:00"), End: at("14:00:00"), Valid: true,
		KeySource: KeysFromBucket, KeysPinned: true, HeadChecked: true,
		Digests: Count{Total: 5, Valid: 5}, LogFiles: Count{Total: 10, Valid: 10},
	}
	if diff := cmp.Diff(want, r); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(Progress{5, 5, 10, 10, 10}, last); diff != "" {
		t.Error(diff)
	}
}

// What an honest receiver may leave behind is no finding.
func TestHonestTrails(t *testing.T) {
	for name, tc := range map[string]struct {
		write func(t *testing.T, f *fixture)
		check func(t *testing.T, r *Result)
	}{
		"a log file that the next digest will list": {
			write: func(t *testing.T, f *fixture) { f.LogFile(t, at("14:05:00")) },
			check: func(t *testing.T, r *Result) {
				if r.Undigested != 1 {
					t.Errorf("%d log files are undigested, want 1", r.Undigested)
				}
			},
		},
		"a log file that waited for its bucket": {
			write: func(t *testing.T, f *fixture) {
				f.Tick = func(time.Time) { f.clock.SetTime(at("14:01:00")) }
				f.LogFile(t, at("13:40:00"))
			},
			check: func(t *testing.T, r *Result) {
				if r.Undigested != 1 {
					t.Errorf("%d log files are undigested, want 1", r.Undigested)
				}
			},
		},
		"a suspended trail that was resumed": {
			write: func(t *testing.T, f *fixture) {
				f.Final(t, at("14:12:13"), 1)
				f.Restart(at("15:20:00"))
				f.Hours(t, 2, 1)
			},
			check: func(t *testing.T, r *Result) {
				if diff := cmp.Diff([]Gap{{at("14:12:13"), at("15:20:00"), true}}, r.Gaps); diff != "" {
					t.Error(diff)
				}
			},
		},
		"a receiver that lost its volume": {
			write: func(t *testing.T, f *fixture) {
				f.Restart(at("14:20:00"))
				f.Hours(t, 1, 1)
			},
			check: func(t *testing.T, r *Result) {
				if diff := cmp.Diff([]Gap{{at("14:00:00"), at("14:20:00"), false}}, r.Gaps); diff != "" {
					t.Error(diff)
				}
			},
		},
		"a key that was rotated twice": {
			write: func(t *testing.T, f *fixture) {
				f.Rotate(t)
				f.Hours(t, 1, 1)
				f.Rotate(t)
				f.Hours(t, 1, 1)
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			tc.write(t, f)
			r := f.run(t, f.options())
			wantFindings(t, r)
			if tc.check != nil {
				tc.check(t, r)
			}
		})
	}
}

// A foreign object under the key of a digest makes the receiver end the window
// a second later; only the foreign object is a finding.
func TestForeignObjectUnderDigestKey(t *testing.T) {
	f := newFixture(t)
	foreign := f.Layout.Digest(f.Name, at("15:00:00"))
	f.Put(t, foreign, verifytest.Gzip(t, []byte("{}")), nil)
	f.Window(t, at("15:00:01"), 1, false)
	f.Hours(t, 1, 1)
	wantFindings(t, f.run(t, f.options()), Finding{Kind: DigestInvalid, Key: foreign})
}

func TestFinalDigestCoversEverything(t *testing.T) {
	f := newFixture(t)
	f.Final(t, at("14:30:00"), 1)
	planted := f.Layout.LogFile(at("14:10:00"), "planted000000000")
	f.Put(t, planted, verifytest.Gzip(t, []byte("{}")), nil)
	f.LogFile(t, at("14:31:00")) // of the next chain
	r := f.run(t, f.options())
	wantFindings(t, r, Finding{Kind: LogFileUnlisted, Key: planted})
	if r.Undigested != 1 {
		t.Errorf("%d log files are undigested, want 1", r.Undigested)
	}
}

func TestWithoutHeadDeletedTailGoesUnnoticedAndIsSaid(t *testing.T) {
	f := newFixture(t)
	f.store.Delete(f.Digests[4])
	o := f.options()
	o.Heads = nil
	r := f.run(t, o)
	if r.HeadChecked || len(r.Notes) != 1 || !strings.Contains(r.Notes[0], "No head was given") {
		t.Errorf("the result does not say that there was no head: %+v", r.Notes)
	}
}

// What proves nothing, and is worth a look, is said.
func TestNotes(t *testing.T) {
	for name, tc := range map[string]struct {
		write func(t *testing.T, f *fixture, o *Options)
		want  string // within the only note; empty: there is none
	}{
		"nothing": {write: func(*testing.T, *fixture, *Options) {}},
		"the next digests are overdue": {
			write: func(_ *testing.T, f *fixture, o *Options) {
				o.Clock = testclock.NewFakePassiveClock(f.End().Add(overdue + time.Second))
			},
			want: "the next ones were not delivered yet",
		},
		"the next digest is due": {
			write: func(_ *testing.T, f *fixture, o *Options) {
				o.Clock = testclock.NewFakePassiveClock(f.End().Add(overdue))
			},
		},
		"the trail was stopped": {
			write: func(t *testing.T, f *fixture, o *Options) {
				f.Final(t, at("14:30:00"), 0)
				o.Heads[0], o.Clock = f.Last.Head, testclock.NewFakePassiveClock(at("23:00:00"))
			},
		},
		"digests were stored late": {
			write: func(t *testing.T, f *fixture, o *Options) {
				f.Tick = func(time.Time) { f.clock.SetTime(at("17:01:00")) }
				f.Hours(t, 3, 0)
				o.Heads[0] = f.Last.Head
			},
			want: "2 of the digests were stored more than an hour after their time, the first of them, of 2026-03-01T15:00:00Z, at 2026-03-01T17:01:00Z",
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			o := f.options()
			tc.write(t, f, &o)
			r := f.run(t, o)
			wantFindings(t, r)
			if notes := strings.Join(r.Notes, "\n"); (tc.want == "") != (notes == "") || !strings.Contains(notes, tc.want) {
				t.Errorf("notes: %q, want %q", notes, tc.want)
			}
			o.DetachedSignatures = true
			if r := f.run(t, o); len(r.Notes) > 0 {
				t.Errorf("a copy has the notes %q", r.Notes)
			}
		})
	}
}

func TestRange(t *testing.T) {
	f := newFixture(t)
	o := f.options()
	o.Start, o.End = at("10:20:00"), at("12:00:00")
	r := f.run(t, o)
	wantFindings(t, r)
	if diff := cmp.Diff(Count{Total: 2, Valid: 2}, r.Digests); diff != "" {
		t.Error(diff)
	}
	if !r.Start.Equal(at("10:00:00")) || !r.End.Equal(at("12:00:00")) {
		t.Errorf("the result covers %v to %v", r.Start, r.End)
	}

	f.store.Delete(f.Digests[1]) // 10:00 to 11:00
	wantFindings(t, f.run(t, o), Finding{Kind: DigestMissing, Key: f.Digests[1]},
		Finding{Kind: LogFileUnlisted, Key: f.Files[3]})
	o.Start = at("11:00:00") // does not need it
	wantFindings(t, f.run(t, o))
	f.store.Delete(f.Digests[2])
	o.Start, o.End = at("10:20:00"), time.Time{}
	wantFindings(t, f.run(t, o), Finding{Kind: DigestMissing, Key: f.Digests[1]}, Finding{Kind: DigestMissing, Key: f.Digests[2]},
		Finding{Kind: LogFileUnlisted, Key: f.Files[3]},
		Finding{Kind: LogFileUnlisted, Key: f.Files[4]}, Finding{Kind: LogFileUnlisted, Key: f.Files[5]})
}

func TestRangeThatStartsWithANewChain(t *testing.T) {
	f := newFixture(t)
	f.Restart(at("14:30:00"))
	f.Forget()
	f.Hours(t, 2, 1)
	o := f.options()
	o.Start = at("14:10:00")
	wantFindings(t, f.run(t, o), Finding{Kind: ChainCut, Key: f.Digests[5]})
}

func TestRunRefuses(t *testing.T) {
	f := newFixture(t)
	for name, change := range map[string]func(*Options){
		"the head of another trail":  func(o *Options) { o.Heads[0].TrailARN = "x" },
		"the head of another bucket": func(o *Options) { o.Heads[0].Bucket = "x" },
		"a head that is no digest":   func(o *Options) { o.Heads[0].Object = "x" },
		"an end before the start":    func(o *Options) { o.Start, o.End = at("10:00:00"), at("09:00:00") },
		"a key that is none":         func(o *Options) { o.Keys = []record.PublishedKey{{}} },
	} {
		o := f.options()
		change(&o)
		if _, err := Run(context.Background(), o); err == nil {
			t.Errorf("%s was accepted", name)
		}
	}
	o := f.options()
	o.Heads, o.Layout.Prefix = nil, "nowhere"
	if _, err := Run(context.Background(), o); !errors.Is(err, ErrNoDigests) {
		t.Errorf("an empty bucket: got %v, want ErrNoDigests", err)
	}
}

func TestStoreErrorsAreNoFindings(t *testing.T) {
	for _, op := range []objectstore.Op{objectstore.OpGet, objectstore.OpList} {
		f := newFixture(t)
		for _, part := range []string{"CloudTrail-Digest-Keys/", "CloudTrail-Digest/", "CloudTrail/"} {
			f.store.SetHook(func(_ context.Context, got objectstore.Op, key string) memory.Fault {
				if got == op && strings.Contains(key, part) {
					return memory.Fault{Refuse: objectstore.ErrAccessDenied}
				}
				return memory.Fault{}
			})
			if _, err := Run(context.Background(), f.options()); !errors.Is(err, objectstore.ErrAccessDenied) {
				t.Errorf("%s of %s: got %v, want ErrAccessDenied", op, part, err)
			}
		}
	}
}

func TestCancel(t *testing.T) {
	f := newFixture(t)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	f.store.SetHook(func(_ context.Context, op objectstore.Op, key string) memory.Fault {
		if op == objectstore.OpGet && strings.Contains(key, "/CloudTrail/") {
			cancel()
		}
		return memory.Fault{}
	})
	if _, err := Run(ctx, f.options()); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
}

// Whatever the order in which workers finish, the result is the same.
func TestResultIsDeterministic(t *testing.T) {
	f := newFixture(t)
	for _, i := range []int{1, 4, 7} {
		f.store.Delete(f.Files[i])
	}
	f.store.Delete(f.Digests[2])
	var first *Result
	for workers := range 12 {
		o := f.options()
		o.Workers = workers
		r := f.run(t, o)
		if first == nil {
			first = r
		}
		if diff := cmp.Diff(first, r); diff != "" {
			t.Fatal(diff)
		}
	}
}
