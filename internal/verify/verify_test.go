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

	"github.com/trail-operator/trail-operator/internal/digest"
	"github.com/trail-operator/trail-operator/internal/objectstore"
	"github.com/trail-operator/trail-operator/internal/objectstore/memory"
	"github.com/trail-operator/trail-operator/internal/record"
	"github.com/trail-operator/trail-operator/internal/signing"
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
	}
}

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
		Digests: Count{5, 5}, LogFiles: Count{10, 10},
	}
	if diff := cmp.Diff(want, r); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(Progress{5, 5, 10, 10, 10}, last); diff != "" {
		t.Error(diff)
	}
}

// signed appends a digest that the installation itself has signed wrongly.
func signed(change func(*digest.Input)) func(*testing.T, *fixture, *Options) {
	return func(t *testing.T, f *fixture, o *Options) {
		in := digest.Input{
			Layout: f.Layout, Trail: f.Name, Bucket: f.Bucket,
			Window:   digest.Window{Start: f.End(), End: f.End().Add(time.Hour)},
			Sequence: 6, ChainID: f.Last.Head.ChainID, Previous: f.Last.Previous(), Signer: f.Key,
		}
		in.PreviousChain = f.Last.ChainEnd()
		change(&in)
		if in.Previous != nil {
			in.PreviousChain = nil
		}
		f.Sign(t, in)
		o.Heads[0] = f.Last.Head
	}
}

func TestTampering(t *testing.T) {
	for name, tc := range map[string]struct {
		tamper func(t *testing.T, f *fixture, o *Options)
		want   func(f *fixture) []Finding
	}{
		"a log file is changed": {
			func(t *testing.T, f *fixture, _ *Options) {
				f.content(t, f.Files[3], func(s string) string { return strings.Replace(s, "1.11", "1.10", 1) })
			},
			func(f *fixture) []Finding { return []Finding{{Kind: LogFileInvalid, Key: f.Files[3]}} },
		},
		"a byte of a log file is flipped": {
			func(_ *testing.T, f *fixture, _ *Options) {
				b := slices.Clone(f.store.Objects()[f.Files[3]].Body)
				b[len(b)/2] ^= 1
				f.store.Overwrite(f.Files[3], b)
			},
			func(f *fixture) []Finding { return []Finding{{Kind: LogFileInvalid, Key: f.Files[3]}} },
		},
		"a second gzip member is appended to a log file": {
			func(t *testing.T, f *fixture, _ *Options) {
				f.store.Overwrite(f.Files[3], append(slices.Clone(f.store.Objects()[f.Files[3]].Body), verifytest.Gzip(t, []byte("{}"))...))
			},
			func(f *fixture) []Finding { return []Finding{{Kind: LogFileInvalid, Key: f.Files[3]}} },
		},
		"bytes are appended to a log file": {
			func(_ *testing.T, f *fixture, _ *Options) {
				f.store.Overwrite(f.Files[3], append(slices.Clone(f.store.Objects()[f.Files[3]].Body), "more"...))
			},
			func(f *fixture) []Finding { return []Finding{{Kind: LogFileInvalid, Key: f.Files[3]}} },
		},
		"a log file is deleted": {
			func(_ *testing.T, f *fixture, _ *Options) { f.store.Delete(f.Files[9]) },
			func(f *fixture) []Finding { return []Finding{{Kind: LogFileMissing, Key: f.Files[9]}} },
		},
		"a log file is planted": {
			func(t *testing.T, f *fixture, _ *Options) {
				f.clock.SetTime(at("12:30:00"))
				f.Put(t, f.Layout.LogFile(at("12:30:00"), "planted000000000"), verifytest.Gzip(t, []byte("{}")), nil)
			},
			func(f *fixture) []Finding {
				return []Finding{{Kind: LogFileUnlisted, Key: f.Layout.LogFile(at("12:30:00"), "planted000000000")}}
			},
		},
		"another file is planted among the log files": {
			func(t *testing.T, f *fixture, _ *Options) {
				f.clock.SetTime(at("12:30:00"))
				f.Put(t, f.Layout.LogFiles()+"2026/03/01/notes.txt", []byte("x"), nil)
			},
			func(f *fixture) []Finding {
				return []Finding{{Kind: LogFileUnlisted, Key: f.Layout.LogFiles() + "2026/03/01/notes.txt"}}
			},
		},
		"the content of a digest is changed": {
			func(t *testing.T, f *fixture, _ *Options) {
				f.content(t, f.Digests[2], func(s string) string { return strings.Replace(s, `"final":false`, `"final":true`, 1) })
			},
			func(f *fixture) []Finding {
				return []Finding{
					{Kind: DigestSignature, Key: f.Digests[2]},
					{Kind: ChainBroken, Key: f.Digests[2]},
					{Kind: LogFileUnlisted, Key: f.Files[4]},
					{Kind: LogFileUnlisted, Key: f.Files[5]},
				}
			},
		},
		"a digest is replaced by another one": {
			func(t *testing.T, f *fixture, _ *Options) { f.copy(t, f.Digests[1], f.Digests[2]) },
			func(f *fixture) []Finding {
				return []Finding{
					{Kind: DigestInvalid, Key: f.Digests[2]},
					{Kind: LogFileUnlisted, Key: f.Files[4]},
					{Kind: LogFileUnlisted, Key: f.Files[5]},
				}
			},
		},
		"a digest is no gzip": {
			func(_ *testing.T, f *fixture, _ *Options) { f.store.Overwrite(f.Digests[4], []byte("{}")) },
			func(f *fixture) []Finding {
				return []Finding{
					{Kind: DigestInvalid, Key: f.Digests[4]},
					{Kind: LogFileUnlisted, Key: f.Files[8]},
					{Kind: LogFileUnlisted, Key: f.Files[9]},
				}
			},
		},
		"a digest in the middle is deleted": {
			func(_ *testing.T, f *fixture, _ *Options) { f.store.Delete(f.Digests[2]) },
			func(f *fixture) []Finding {
				return []Finding{
					{Kind: DigestMissing, Key: f.Digests[2]},
					{Kind: LogFileUnlisted, Key: f.Files[4]},
					{Kind: LogFileUnlisted, Key: f.Files[5]},
				}
			},
		},
		"two digests in a row are deleted with their log files": {
			func(_ *testing.T, f *fixture, _ *Options) {
				for _, key := range append(f.Digests[1:3:3], f.Files[2:6]...) {
					f.store.Delete(key)
				}
			},
			func(f *fixture) []Finding {
				return []Finding{{Kind: DigestMissing, Key: f.Digests[1]}, {Kind: DigestMissing, Key: f.Digests[2]}}
			},
		},
		"a digest is deleted and the next one changed": {
			func(t *testing.T, f *fixture, _ *Options) {
				f.store.Delete(f.Digests[1])
				f.content(t, f.Digests[2], func(s string) string { return strings.Replace(s, `"final":false`, `"final":true`, 1) })
				for _, key := range f.Files[2:6] {
					f.store.Delete(key)
				}
			},
			func(f *fixture) []Finding {
				return []Finding{
					{Kind: DigestMissing, Key: f.Digests[1]},
					{Kind: DigestSignature, Key: f.Digests[2]},
					{Kind: ChainBroken, Key: f.Digests[2]},
				}
			},
		},
		"the oldest digests are deleted": {
			func(_ *testing.T, f *fixture, _ *Options) {
				f.store.Delete(f.Digests[0])
				f.store.Delete(f.Files[0])
				f.store.Delete(f.Files[1])
			},
			func(f *fixture) []Finding { return []Finding{{Kind: DigestMissing, Key: f.Digests[0]}} },
		},
		"the newest digests are deleted": {
			func(_ *testing.T, f *fixture, _ *Options) {
				for _, key := range append(f.Digests[3:5:5], f.Files[6:]...) {
					f.store.Delete(key)
				}
			},
			func(f *fixture) []Finding {
				return []Finding{{Kind: DigestMissing, Key: f.Digests[3]}, {Kind: DigestMissing, Key: f.Digests[4]}}
			},
		},
		"all digests are deleted": {
			func(_ *testing.T, f *fixture, _ *Options) {
				for _, key := range f.Digests {
					f.store.Delete(key)
				}
			},
			func(f *fixture) []Finding {
				want := []Finding{{Kind: DigestMissing, Key: f.Digests[4]}}
				for _, key := range f.Files {
					want = append(want, Finding{Kind: LogFileUnlisted, Key: key})
				}
				return want
			},
		},
		"the head names another digest": {
			func(_ *testing.T, f *fixture, o *Options) { o.Heads[0].HashValue = strings.Repeat("0", 64) },
			func(f *fixture) []Finding { return []Finding{{Kind: HeadMismatch, Key: f.Digests[4]}} },
		},
		"a signature is removed": {
			func(_ *testing.T, f *fixture, _ *Options) {
				delete(f.store.Objects()[f.Digests[1]].Metadata, record.MetadataSignature)
			},
			func(f *fixture) []Finding {
				return []Finding{
					{Kind: DigestSignature, Key: f.Digests[1]},
					{Kind: LogFileUnlisted, Key: f.Files[2]},
					{Kind: LogFileUnlisted, Key: f.Files[3]},
				}
			},
		},
		"the bucket was copied": {
			func(_ *testing.T, _ *fixture, o *Options) { o.Bucket, o.Heads = "copy", nil },
			func(f *fixture) []Finding {
				var want []Finding
				for _, key := range f.Digests {
					want = append(want, Finding{Kind: DigestMoved, Key: key})
				}
				for _, key := range f.Files {
					want = append(want, Finding{Kind: LogFileUnlisted, Key: key})
				}
				return want
			},
		},
		"a chain is cut and started anew": {
			func(t *testing.T, f *fixture, o *Options) {
				f.Restart(at("14:30:00"))
				f.Forget()
				f.Hours(t, 2, 0)
				o.Heads[0] = f.Last.Head
			},
			func(f *fixture) []Finding { return []Finding{{Kind: ChainCut, Key: f.Digests[5]}} },
		},
		"the end of a chain before is deleted": {
			func(t *testing.T, f *fixture, o *Options) {
				f.Hours(t, 2, 0)
				f.Restart(at("16:30:00"))
				f.Hours(t, 1, 0)
				o.Heads[0] = f.Last.Head
				f.store.Delete(f.Digests[5])
				f.store.Delete(f.Digests[6])
			},
			func(f *fixture) []Finding {
				return []Finding{{Kind: DigestMissing, Key: f.Digests[5]}, {Kind: DigestMissing, Key: f.Digests[6]}}
			},
		},
		"two chains run at the same time": {
			func(t *testing.T, f *fixture, o *Options) {
				f.Restart(at("13:30:00"))
				f.Window(t, at("14:00:01"), 0, false)
				o.Heads[0] = f.Last.Head
			},
			func(f *fixture) []Finding { return []Finding{{Kind: ChainBroken, Key: f.Digests[5]}} },
		},
		"a log file is listed by two digests": {
			func(t *testing.T, f *fixture, o *Options) {
				file := f.LogFile(t, at("14:10:00"))
				for i := range 2 {
					end := f.End().Add(time.Hour)
					f.Sign(t, digest.Input{
						Layout: f.Layout, Trail: f.Name, Bucket: f.Bucket, Window: digest.Window{Start: f.End(), End: end},
						Sequence: int64(6 + i), ChainID: f.Last.Head.ChainID, Previous: f.Last.Previous(),
						Files: []record.DigestLogFile{file}, Signer: f.Key,
					})
				}
				o.Heads[0] = f.Last.Head
			},
			func(f *fixture) []Finding { return []Finding{{Kind: LogFileDuplicate, Key: f.Files[10]}} },
		},
		"numbers are skipped": {
			signed(func(in *digest.Input) { in.Sequence = 8 }),
			func(f *fixture) []Finding { return []Finding{{Kind: ChainBroken, Key: f.Digests[5]}} },
		},
		"a chain changes its name": {
			signed(func(in *digest.Input) { in.ChainID = "x" }),
			func(f *fixture) []Finding { return []Finding{{Kind: ChainBroken, Key: f.Digests[5]}} },
		},
		"time is skipped": {
			signed(func(in *digest.Input) { in.Window.Start = in.Window.Start.Add(time.Minute) }),
			func(f *fixture) []Finding { return []Finding{{Kind: ChainBroken, Key: f.Digests[5]}} },
		},
		"another hash value is named": {
			signed(func(in *digest.Input) { in.Previous.HashValue = strings.Repeat("0", 64) }),
			func(f *fixture) []Finding { return []Finding{{Kind: ChainBroken, Key: f.Digests[4]}} },
		},
		"another signature is named": {
			signed(func(in *digest.Input) { in.Previous.Signature = strings.Repeat("0", 512) }),
			func(f *fixture) []Finding { return []Finding{{Kind: ChainBroken, Key: f.Digests[4]}} },
		},
		"another bucket is named": {
			signed(func(in *digest.Input) { in.Previous.Bucket = "x" }),
			func(f *fixture) []Finding { return []Finding{{Kind: ChainBroken, Key: f.Digests[5]}} },
		},
		"an older digest is named": {
			signed(func(in *digest.Input) {
				in.Previous.Object = in.Layout.Digest(in.Trail, at("13:00:00"))
			}),
			func(f *fixture) []Finding { return []Finding{{Kind: ChainBroken, Key: f.Digests[5]}} },
		},
		"something else is named": {
			signed(func(in *digest.Input) { in.Previous.Object = "x" }),
			func(f *fixture) []Finding { return []Finding{{Kind: ChainBroken, Key: f.Digests[5]}} },
		},
		"another chain is named": {
			signed(func(in *digest.Input) {
				in.Sequence, in.ChainID, in.Previous = 1, "chain-2", nil
				in.PreviousChain.ChainID = "x"
			}),
			func(f *fixture) []Finding { return []Finding{{Kind: ChainBroken, Key: f.Digests[5]}} },
		},
		"a digest of another trail is put in place": {
			func(t *testing.T, f *fixture, _ *Options) {
				out, err := digest.Build(digest.Input{
					Layout: f.Layout, Trail: "shop.other", Bucket: f.Bucket, Window: digest.Window{Start: at("11:00:00"), End: at("12:00:00")},
					Sequence: 1, ChainID: "x", Signer: f.Key,
				})
				if err != nil {
					t.Fatal(err)
				}
				f.store.Delete(f.Digests[2])
				f.Put(t, f.Digests[2], out.Compressed, out.Metadata)
			},
			func(f *fixture) []Finding {
				return []Finding{
					{Kind: DigestMoved, Key: f.Digests[2]},
					{Kind: ChainBroken, Key: f.Digests[2]},
					{Kind: LogFileUnlisted, Key: f.Files[4]},
					{Kind: LogFileUnlisted, Key: f.Files[5]},
				}
			},
		},
		"another algorithm is named": {
			func(_ *testing.T, f *fixture, _ *Options) {
				f.store.Objects()[f.Digests[1]].Metadata[record.MetadataSignatureAlgorithm] = "none"
			},
			func(f *fixture) []Finding {
				return []Finding{
					{Kind: DigestSignature, Key: f.Digests[1]},
					{Kind: LogFileUnlisted, Key: f.Files[2]},
					{Kind: LogFileUnlisted, Key: f.Files[3]},
				}
			},
		},
		"a chain goes on after its final digest": {
			func(t *testing.T, f *fixture, o *Options) {
				f.Final(t, at("14:30:00"), 0)
				f.Hours(t, 1, 0)
				o.Heads[0] = f.Last.Head
			},
			func(f *fixture) []Finding { return []Finding{{Kind: ChainBroken, Key: f.Digests[6]}} },
		},
		"a log file is placed elsewhere": {
			func(t *testing.T, f *fixture, o *Options) {
				file := f.LogFile(t, at("14:10:00"))
				file.S3Bucket = "other"
				f.Sign(t, digest.Input{
					Layout: f.Layout, Trail: f.Name, Bucket: f.Bucket,
					Window:   digest.Window{Start: f.End(), End: f.End().Add(time.Hour)},
					Sequence: 6, ChainID: f.Last.Head.ChainID, Previous: f.Last.Previous(),
					Files: []record.DigestLogFile{file}, Signer: f.Key,
				})
				o.Heads[0] = f.Last.Head
			},
			func(f *fixture) []Finding {
				return []Finding{{Kind: LogFileElsewhere, Key: f.Files[10]}, {Kind: LogFileUnlisted, Key: f.Files[10]}}
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			o := f.options()
			tc.tamper(t, f, &o)
			wantFindings(t, f.run(t, o), tc.want(f)...)
		})
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
		"another trail's digests beside it": {
			write: func(t *testing.T, f *fixture) {
				f.Put(t, f.Layout.Digest("shop.other", at("12:00:00")), []byte("x"), nil)
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

func TestRange(t *testing.T) {
	f := newFixture(t)
	o := f.options()
	o.Start, o.End = at("10:20:00"), at("12:00:00")
	r := f.run(t, o)
	wantFindings(t, r)
	if diff := cmp.Diff(Count{2, 2}, r.Digests); diff != "" {
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

func TestKeys(t *testing.T) {
	stranger, err := signing.Generate()
	if err != nil {
		t.Fatal(err)
	}
	forge := func(t *testing.T, f *fixture) string {
		published, err := signing.Publish(stranger.Public(), at("09:00:00"), nil)
		if err != nil {
			t.Fatal(err)
		}
		key := f.Layout.DigestKey(published.Fingerprint)
		f.Put(t, key, record.MustJSON(published), nil)
		return key
	}
	t.Run("a foreign key beside the pinned one", func(t *testing.T) {
		f := newFixture(t)
		key := forge(t, f)
		wantFindings(t, f.run(t, f.options()), Finding{Kind: KeyUntrusted, Key: key})
	})
	t.Run("two first keys and no pin", func(t *testing.T) {
		f := newFixture(t)
		key := forge(t, f)
		o := f.options()
		o.Trust = ""
		wantFindings(t, f.run(t, o), Finding{Kind: KeyUntrusted, Key: key},
			Finding{Kind: KeyUntrusted, Key: f.Layout.DigestKey(f.Keys[0].Fingerprint)})
	})
	t.Run("a trail forged with another key", func(t *testing.T) {
		f := newFixture(t)
		o := f.options()
		o.Heads = nil
		o.Trust = stranger.Trust()
		r := f.run(t, o)
		if r.Digests.Valid != 0 || !slices.ContainsFunc(r.Findings, func(f Finding) bool { return f.Kind == KeyUntrusted && f.Key == stranger.Trust() }) {
			t.Errorf("digests of a key that is not pinned are valid: %+v", r)
		}
	})
	t.Run("a successor that nobody signed", func(t *testing.T) {
		f := newFixture(t)
		f.Key = stranger
		published, err := signing.Publish(stranger.Public(), at("14:00:00"), stranger)
		if err != nil {
			t.Fatal(err)
		}
		published.SignedBy = f.Keys[0].Fingerprint
		key := f.Layout.DigestKey(published.Fingerprint)
		f.Put(t, key, record.MustJSON(published), nil)
		f.Hours(t, 1, 0)
		wantFindings(t, f.run(t, f.options()), Finding{Kind: KeyUntrusted, Key: key}, Finding{Kind: KeyUntrusted, Key: f.Digests[5]})
	})
	t.Run("a key that was deleted from the bucket", func(t *testing.T) {
		f := emptyFixture(t)
		f.Hours(t, 1, 0)
		f.store.Delete(f.Layout.DigestKey(f.Keys[0].Fingerprint))
		o := f.options()
		wantFindings(t, f.run(t, o), Finding{Kind: KeyUntrusted, Key: f.Keys[0].SHA256}, Finding{Kind: KeyUnknown, Key: f.Digests[0]})
		o.Keys = f.Keys // from the cluster
		r := f.run(t, o)
		wantFindings(t, r)
		if r.KeySource != KeysGiven || !r.KeysPinned {
			t.Errorf("keys are %s, pinned %v", r.KeySource, r.KeysPinned)
		}
	})
	t.Run("a damaged and an oversized key", func(t *testing.T) {
		f := newFixture(t)
		f.Put(t, f.Layout.DigestKey("00"), []byte("{"), nil)
		f.Put(t, f.Layout.DigestKey("01"), make([]byte, maxPlain+1), nil)
		wantFindings(t, f.run(t, f.options()), Finding{Kind: KeyInvalid, Key: f.Layout.DigestKey("00")}, Finding{Kind: KeyInvalid, Key: f.Layout.DigestKey("01")})
	})
	t.Run("no pin", func(t *testing.T) {
		f := newFixture(t)
		o := f.options()
		o.Trust, o.Heads = "", nil
		r := f.run(t, o)
		if r.KeysPinned || !slices.ContainsFunc(r.Notes, func(s string) bool { return strings.Contains(s, "not pinned") }) {
			t.Errorf("the result does not say that the keys are not pinned: %+v", r)
		}
	})
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
