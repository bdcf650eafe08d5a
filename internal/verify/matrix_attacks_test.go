package verify

import (
	"testing"
	"time"

	"github.com/trail-operator/trail-operator/internal/objectstore/memory"
	"github.com/trail-operator/trail-operator/internal/record"
	"github.com/trail-operator/trail-operator/internal/verify/verifytest"
)

// removeFrom deletes digests with the log files that they list, from the one on
// and before the other.
func (w *world) removeFrom(from, to int) []string {
	for i := from; i < to; i++ {
		w.remove(w.digests[i])
		w.remove(w.files[i]...)
	}
	return nil
}

// backdate gives the digests the times of their windows, as somebody can who
// runs the store.
func (w *world) backdate() {
	for _, key := range w.digests {
		o := w.objects[key]
		name, _ := record.ParseDigestKey(key)
		o.Modified = name.End
		w.objects[key] = o
	}
}

// rowsWithoutKey: several changes at a time, by somebody who has no key.
func rowsWithoutKey() []row {
	deleteNewest := func(k int) []tampering {
		return one(func(_ *testing.T, w *world) []string { return w.removeFrom(newest+1-k, newest+1) })
	}
	missing := finds(DigestMissing)
	both := func(a, b cell) [inputs]cell { return [inputs]cell{a, a, a, b, b} }
	return []row{
		{change: "the newest digest is deleted with its log files", cases: deleteNewest(1), want: both(misses(newer), missing)},
		{change: "the newest 2 digests are deleted with their log files", cases: deleteNewest(2), want: both(tells(newer), missing)},
		{change: "the newest day is deleted, back to where the trail was stopped", cases: deleteNewest(newest + 1 - resumed), want: both(misses(newer), missing)},
		{
			change: "all is deleted from before the head of the day before", cases: deleteNewest(newest + 1 - rotated),
			want: [inputs]cell{tells(newer), tells(newer), missing, missing, missing},
		},
		{
			change: "the newest 4 digests are deleted with their log files, and the receiver's next digest is there",
			cases:  afterwards(deleteNewest(newest + 1 - resumed)), want: always(missing),
		},
		{change: "a day in the middle is deleted", cases: one(func(_ *testing.T, w *world) []string { return w.removeFrom(rotated, resumed) }), want: always(missing)},
		{change: "the oldest day is deleted", cases: one(func(_ *testing.T, w *world) []string { return w.removeFrom(0, closing+1) }), want: always(missing)},
		{
			change: "the oldest digests are deleted with their log files, when they have reached the age at which they expire",
			cases: one(func(_ *testing.T, w *world) []string {
				w.now = on(5, "12:30:00")
				return w.removeFrom(0, closing+1)
			}),
			want: always(tells(expired)),
		},
		{
			change: "the log files of a day are deleted, by a lifecycle rule of the attacker",
			cases: one(func(_ *testing.T, w *world) []string {
				for i := rotated; i < resumed; i++ {
					w.remove(w.files[i]...)
				}
				return nil
			}),
			want: always(finds(LogFileMissing)),
		},
		{
			change: "all digests are deleted, or everything",
			cases: []tampering{
				func(_ *testing.T, w *world) []string { w.remove(w.digests...); return nil },
				func(_ *testing.T, w *world) []string { clear(w.objects); return nil },
			},
			want: [inputs]cell{{verdict: refused}, {verdict: refused}, missing, missing, missing},
			also: []Kind{KeyUntrusted},
		},
		{
			change: "a digest is added that is signed with a key of the attacker",
			cases: one(func(t *testing.T, w *world) []string {
				d := w.appended(t, on(4, "10:10:00"))
				w.sign(t, d, w.own)
				return []string{d.DigestS3Object}
			}),
			want: always(finds(KeyUnknown)),
		},
		{
			change: "the same, with the key published as a first one",
			cases: one(func(t *testing.T, w *world) []string {
				d := w.appended(t, on(4, "10:10:00"))
				w.sign(t, d, w.own)
				return []string{w.publish(t, w.own, nil)}
			}),
			want: always(finds(KeyUntrusted)),
		},
		{
			change: "the same, with the key published as the one before the first",
			cases: one(func(t *testing.T, w *world) []string {
				d := w.appended(t, on(4, "10:10:00"))
				w.sign(t, d, w.own)
				predecessor(t, w)
				return []string{d.DigestS3Object}
			}),
			want: [inputs]cell{finds(KeyRetired), finds(KeyUntrusted), finds(KeyUntrusted), finds(KeyUntrusted), finds(KeyUntrusted)},
		},
		{
			change: "the oldest digest is signed anew with the attacker's key, published as the one before the first",
			cases: one(func(t *testing.T, w *world) []string {
				predecessor(t, w)
				w.sign(t, w.digest(t, 0), w.own)
				return []string{w.digests[0]}
			}),
			want: [inputs]cell{finds(ChainBroken), finds(KeyUntrusted), finds(ChainBroken), finds(ChainBroken), finds(KeyUntrusted)},
		},
		{
			change: "all keys are replaced by one of the attacker, and all digests are signed anew",
			cases: one(func(t *testing.T, w *world) []string {
				w.remove(w.keys...)
				w.publish(t, w.own, nil)
				w.rewrite(t, 0, w.own, w.forge(t, resumed))
				return nil
			}),
			want: [inputs]cell{tells(replaced), finds(KeyUntrusted), finds(KeyUntrusted), finds(KeyUntrusted), finds(KeyUntrusted)},
		},
		{
			change: "the same, by somebody who also sets the times of the objects",
			cases: one(func(t *testing.T, w *world) []string {
				w.remove(w.keys...)
				w.publish(t, w.own, nil)
				w.rewrite(t, 0, w.own, w.forge(t, resumed))
				w.backdate()
				return nil
			}),
			want: [inputs]cell{misses(replaced), finds(KeyUntrusted), finds(KeyUntrusted), finds(KeyUntrusted), finds(KeyUntrusted)},
		},
	}
}

func rowsWithRetiredKey() []row {
	return []row{
		{
			change: "a digest is added that it signs",
			cases: one(func(t *testing.T, w *world) []string {
				d := w.appended(t, on(4, "10:10:00"))
				w.sign(t, d, w.retired)
				return []string{d.DigestS3Object}
			}),
			want: [inputs]cell{finds(KeyRetired), finds(KeyRetired), finds(KeyUntrusted), finds(KeyUntrusted), finds(KeyRetired)},
		},
		{
			change: "a log file of its time is changed, and the digests are signed anew until it was replaced",
			cases: one(func(t *testing.T, w *world) []string {
				edit := w.forge(t, closing+1)
				last := w.digests
				w.digests = last[:rotated]
				w.rewrite(t, closing+1, w.retired, edit)
				w.digests = last
				return []string{w.digests[rotated-1]}
			}),
			want: always(finds(ChainBroken)),
		},
		{
			change: "its successor is deleted, and all digests that this one signed are signed anew",
			cases: one(func(t *testing.T, w *world) []string {
				w.remove(w.keys[1])
				w.rewrite(t, rotated, w.retired, w.forge(t, resumed))
				return nil
			}),
			want: [inputs]cell{tells(genuine), tells(genuine), finds(HeadMismatch, KeyUntrusted), finds(HeadMismatch, KeyUntrusted), finds(HeadMismatch)},
		},
	}
}

// resign is an attack that writes the trail anew with the present key.
func resign(from int, edit func(t *testing.T, w *world) func(int, *record.Digest) bool) []tampering {
	return one(func(t *testing.T, w *world) []string {
		w.rewrite(t, from, w.present, edit(t, w))
		return nil
	})
}

func forging(i int) func(*testing.T, *world) func(int, *record.Digest) bool {
	return func(t *testing.T, w *world) func(int, *record.Digest) bool { return w.forge(t, i) }
}

func rowsWithPresentKey() []row {
	mismatch := finds(HeadMismatch)
	append10 := func(change func(*record.Digest)) tampering {
		return func(t *testing.T, w *world) []string {
			d := w.appended(t, on(4, "10:10:00"))
			change(d)
			w.sign(t, d, w.present)
			return []string{d.DigestS3Object}
		}
	}
	ending := func(d *record.Digest) { d.Final = true }
	listing := func(t *testing.T, w *world) []string {
		content := []byte(`{"Records":[{"eventID":"forged"}]}`)
		key := w.layout.LogFile(w.now, "forged0000000000")
		w.put(key, memory.Object{Body: verifytest.Gzip(t, content)})
		return append10(func(d *record.Digest) {
			d.LogFiles = []record.DigestLogFile{{S3Bucket: "audit", S3Object: key, HashValue: record.HexSHA256(content), HashAlgorithm: record.HashAlgorithm}}
		})(t, w)
	}
	return []row{
		{
			change: "a log file is changed, and its digest is signed anew, except the newest",
			cases: func() (cases []tampering) {
				for _, i := range []int{2, 5 + 1, rotated, anchored, resumed} {
					cases = append(cases, func(t *testing.T, w *world) []string {
						d := w.digest(t, i)
						w.forge(t, i)(i, d)
						w.sign(t, d, w.present)
						return []string{w.digests[i]}
					})
				}
				return cases
			}(),
			want: always(finds(ChainBroken)), also: []Kind{KeyRetired},
		},
		{
			change: "the same, with the newest",
			cases:  resign(newest, forging(newest)),
			want:   [inputs]cell{misses(genuine), misses(genuine), misses(genuine), mismatch, mismatch},
		},
		{
			change: "a log file newer than the head of the day before is changed, and every digest from there on is signed anew",
			cases:  resign(resumed, forging(resumed)),
			want:   [inputs]cell{tells(genuine), tells(genuine), tells(genuine), mismatch, mismatch},
		},
		{
			change: "the same with an older log file, also one from before the key's time",
			cases:  append(resign(rotated, forging(rotated)), resign(closing+1+2, forging(closing+1+2))...),
			want:   [inputs]cell{tells(genuine), tells(genuine), mismatch, mismatch, mismatch},
		},
		{
			change: "the same, by somebody who also sets the times of the objects",
			cases: one(func(t *testing.T, w *world) []string {
				w.rewrite(t, rotated, w.present, w.forge(t, rotated))
				w.backdate()
				return nil
			}),
			want: [inputs]cell{misses(genuine), misses(genuine), mismatch, mismatch, mismatch},
		},
		{
			change: "a log file is deleted, and taken out of its digest",
			cases: resign(resumed, func(_ *testing.T, w *world) func(int, *record.Digest) bool {
				w.remove(w.files[resumed][0])
				return func(i int, d *record.Digest) bool {
					if i == resumed {
						d.LogFiles = d.LogFiles[1:]
					}
					return true
				}
			}),
			want: [inputs]cell{tells(genuine), tells(genuine), tells(genuine), mismatch, mismatch},
		},
		{
			change: "a digest is taken out of the chain, and the next one covers its time",
			cases: resign(resumed, func(_ *testing.T, w *world) func(int, *record.Digest) bool {
				w.remove(w.files[resumed+1]...)
				return func(i int, d *record.Digest) bool {
					if i > resumed+1 {
						d.DigestSequence--
					}
					if i == resumed+2 {
						d.DigestStartTime = "2026-03-04T07:00:00Z"
					}
					return i != resumed+1
				}
			}),
			want: [inputs]cell{tells(genuine), tells(genuine), tells(genuine), mismatch, mismatch},
		},
		{
			change: "the chain is cut: a new one starts with the newest day, everything older is deleted",
			cases: one(func(t *testing.T, w *world) []string {
				w.removeFrom(0, resumed)
				w.rewrite(t, resumed, w.present, func(i int, d *record.Digest) bool {
					if i == resumed {
						d.PreviousChain = nil
					}
					return true
				})
				return nil
			}),
			want: [inputs]cell{tells(genuine), tells(genuine), finds(DigestMissing), mismatch, mismatch},
		},
		{
			change: "the chain is cut: a new one starts with the newest digest, everything older is deleted",
			cases: one(func(t *testing.T, w *world) []string {
				w.removeFrom(0, newest)
				d := w.digest(t, newest)
				d.PreviousDigestS3Bucket, d.PreviousDigestS3Object, d.PreviousDigestHashValue = nil, nil, nil
				d.PreviousDigestHashAlgo, d.PreviousDigestSignature = nil, nil
				d.DigestSequence = 1
				w.sign(t, d, w.present)
				return nil
			}),
			want: [inputs]cell{misses(genuine), misses(genuine), finds(DigestMissing), mismatch, mismatch},
		},
		{
			change: "the chain is cut, and what is older is left",
			cases: one(func(t *testing.T, w *world) []string {
				w.rewrite(t, resumed, w.present, func(i int, d *record.Digest) bool {
					if i == resumed {
						d.PreviousChain = nil
					}
					return true
				})
				return []string{w.digests[resumed]}
			}),
			want: always(finds(ChainCut)),
		},
		{
			change: "a digest is back-dated: into a time in which the trail was stopped",
			cases: one(func(t *testing.T, w *world) []string {
				d := w.digest(t, resumed)
				d.LogFiles = []record.DigestLogFile{}
				d.DigestStartTime, d.DigestEndTime = "2026-03-03T09:00:00Z", "2026-03-03T10:00:00Z"
				d.DigestS3Object = w.layout.Digest(w.name, on(3, "10:00:00"))
				w.sign(t, d, w.present)
				return nil
			}),
			want: always(finds(ChainBroken)),
		},
		{
			change: "a digest is back-dated: to before the first",
			cases: one(func(t *testing.T, w *world) []string {
				d := w.digest(t, 0)
				d.LogFiles = []record.DigestLogFile{}
				d.DigestStartTime, d.DigestEndTime = "2026-02-28T09:00:00Z", "2026-02-28T10:00:00Z"
				d.DigestS3Object, d.ChainID = w.layout.Digest(w.name, on(0, "10:00:00")), "other"
				w.sign(t, d, w.present)
				return []string{w.digests[0]}
			}),
			want: always(finds(ChainCut)), also: []Kind{KeyRetired},
		},
		{
			change: "a digest is dated ahead",
			cases: one(func(t *testing.T, w *world) []string {
				d := w.appended(t, on(4, "11:00:00"))
				w.sign(t, d, w.present)
				return []string{d.DigestS3Object}
			}),
			want: always(finds(DigestInvalid)),
		},
		{
			change: "a digest is added, with a forged log file or as the final one",
			cases:  []tampering{listing, append10(ending)}, want: always(misses(ahead)),
		},
		{
			change: "the same, and the receiver's next digest is there",
			cases: afterwards([]tampering{
				func(t *testing.T, w *world) []string { listing(t, w); return nil },
				func(t *testing.T, w *world) []string { append10(ending)(t, w); return nil },
				func(t *testing.T, w *world) []string {
					w.sign(t, w.appended(t, on(4, "11:00:00")), w.present)
					return nil
				},
			}),
			want: always(finds(ChainBroken)),
		},
		{
			change: "a digest is added that a key of the attacker signs, published as successor",
			cases: one(func(t *testing.T, w *world) []string {
				w.publish(t, w.own, w.present)
				w.sign(t, w.appended(t, on(4, "10:10:00")), w.own)
				return nil
			}),
			want: always(misses(ahead)),
		},
		{
			change: "the same, and the receiver's next digest is there",
			cases: afterwards(one(func(t *testing.T, w *world) []string {
				w.publish(t, w.own, w.present)
				w.sign(t, w.appended(t, on(4, "10:10:00")), w.own)
				return nil
			})),
			want: always(finds(ChainBroken, KeyRetired)),
		},
		{
			change: "a digest is added that lists a lifecycle rule of one day, and what is older is deleted",
			cases: one(func(t *testing.T, w *world) []string {
				w.removeFrom(0, resumed)
				append10(func(d *record.Digest) {
					d.LifecycleRules = []record.LifecycleRule{
						{Objects: record.LifecycleLogs, ExpireDays: 1}, {Objects: record.LifecycleDigests, ExpireDays: 1},
					}
				})(t, w)
				return nil
			}),
			want: always(tells(ahead)),
		},
	}
}

// honestRows are no tampering, and must not be taken for it.
func honestRows() []row {
	goOn := func(t *testing.T, w *world) []string { w.next(t, false); return nil }
	return []row{
		{honest: true, change: "the receiver goes on", cases: one(goOn), want: always(misses(""))},
		{
			honest: true, change: "the receiver is away for three hours", want: always(tells("")),
			cases: one(func(_ *testing.T, w *world) []string {
				w.now = w.now.Add(3 * time.Hour)
				return nil
			}),
		},
		{
			honest: true, change: "it comes back, and makes the digests that were missed", want: always(tells("")),
			cases: one(func(t *testing.T, w *world) []string {
				for range 3 {
					w.next(t, false)
				}
				for key, o := range w.objects {
					if o.Modified.After(on(4, "10:20:00")) {
						o.Modified = w.now
						w.objects[key] = o
					}
				}
				return nil
			}),
		},
		{
			honest: true, change: "log files expire by a rule", want: always(tells("")),
			cases: one(func(_ *testing.T, w *world) []string {
				w.remove(w.files[closing]...)
				return nil
			}),
		},
		{
			honest: true, change: "log files are archived by a rule", want: always(tells("")),
			cases: one(func(_ *testing.T, w *world) []string {
				w.archive(w.files[closing+3][0])
				return nil
			}),
		},
		{
			honest: true, change: "digests expire by a rule", want: always(tells("")),
			cases: one(func(_ *testing.T, w *world) []string {
				w.now = on(5, "12:30:00")
				return w.removeFrom(0, closing+1)
			}),
		},
	}
}
