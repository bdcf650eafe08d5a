package verify

import (
	"slices"
	"strings"
	"testing"
	"time"

	testclock "k8s.io/utils/clock/testing"

	"github.com/trail-operator/trail-operator/internal/digest"
	"github.com/trail-operator/trail-operator/internal/record"
	"github.com/trail-operator/trail-operator/internal/verify/verifytest"
)

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
		"something else is planted among the digests": {
			func(t *testing.T, f *fixture, _ *Options) {
				f.Put(t, strings.Replace(f.Digests[1], ".json.gz", "_backfill.json.gz", 1), f.store.Objects()[f.Digests[1]].Body, nil)
				f.Put(t, f.Layout.Digest("shop.other", at("12:00:00")), []byte("x"), nil)
			},
			func(f *fixture) []Finding {
				return []Finding{
					{Kind: DigestForeign, Key: strings.Replace(f.Digests[1], ".json.gz", "_backfill.json.gz", 1)},
					{Kind: DigestForeign, Key: f.Layout.Digest("shop.other", at("12:00:00"))},
				}
			},
		},
		"a digest ends in the future": {
			func(t *testing.T, f *fixture, o *Options) {
				f.Hours(t, 1, 0)
				o.Heads[0], o.Clock = f.Last.Head, testclock.NewFakePassiveClock(at("14:30:00"))
			},
			func(f *fixture) []Finding { return []Finding{{Kind: DigestInvalid, Key: f.Digests[5]}} },
		},
		"a key that was replaced signs again": {
			func(t *testing.T, f *fixture, o *Options) {
				old := f.Key
				f.Rotate(t)
				f.Hours(t, 1, 0)
				f.Rotate(t)
				f.Hours(t, 1, 0)
				f.Key = old
				f.Hours(t, 1, 0)
				o.Heads[0] = f.Last.Head
			},
			func(f *fixture) []Finding { return []Finding{{Kind: KeyRetired, Key: f.Digests[7]}} },
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
