package verify

import (
	"bytes"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/trail-operator/trail-operator/internal/objectstore/memory"
	"github.com/trail-operator/trail-operator/internal/record"
	"github.com/trail-operator/trail-operator/internal/verify/verifytest"
)

// each makes a case of every object.
func each(keys []string, change func(t *testing.T, w *world, key string) []string) []tampering {
	var cases []tampering
	for _, key := range keys {
		cases = append(cases, func(t *testing.T, w *world) []string { return change(t, w, key) })
	}
	return cases
}

// body makes a case of every object, of changing its body.
func body(keys []string, change func(t *testing.T, old []byte) []byte) []tampering {
	return each(keys, func(t *testing.T, w *world, key string) []string {
		w.overwrite(key, change(t, w.objects[key].Body))
		return []string{key}
	})
}

// pairs makes a case of every object but the first, and the one before it.
func pairs(keys []string, change func(w *world, before, key string) []string) []tampering {
	var cases []tampering
	for i := 1; i < len(keys); i++ {
		cases = append(cases, func(_ *testing.T, w *world) []string { return change(w, keys[i-1], keys[i]) })
	}
	return cases
}

func one(change tampering) []tampering { return []tampering{change} }

// Changes of bodies.

func flipped(_ *testing.T, b []byte) []byte {
	b = bytes.Clone(b)
	b[len(b)/2] ^= 1
	return b
}

func halved(_ *testing.T, b []byte) []byte   { return b[:len(b)/2] }
func emptied(*testing.T, []byte) []byte      { return nil }
func extended(_ *testing.T, b []byte) []byte { return append(bytes.Clone(b), "more"...) }
func continued(t *testing.T, b []byte) []byte {
	return append(bytes.Clone(b), verifytest.Gzip(t, b)...)
}
func recompressed(t *testing.T, b []byte) []byte { return stored(t, verifytest.Gunzip(t, b)) }

// edited replaces text within a gzip file.
func edited(from, to string) func(*testing.T, []byte) []byte {
	return func(t *testing.T, b []byte) []byte {
		content := verifytest.Gunzip(t, b)
		changed := bytes.Replace(content, []byte(from), []byte(to), 1)
		if bytes.Equal(changed, content) {
			t.Fatalf("nothing to change from %s", from)
		}
		return verifytest.Gzip(t, changed)
	}
}

// Changes of places.

func deleted(_ *testing.T, w *world, key string) []string {
	w.remove(key)
	return []string{key}
}

func swapped(w *world, a, b string) []string {
	x, y := w.objects[a], w.objects[b]
	w.put(a, y)
	w.put(b, x)
	return []string{a, b}
}

func replayed(w *world, old, key string) []string {
	w.put(key, w.objects[old])
	return []string{key}
}

// moved inserts text in front of the end of the name.
func moved(insert string) func(*testing.T, *world, string) []string {
	return func(_ *testing.T, w *world, key string) []string {
		to := withinName(key, insert)
		w.rename(key, to)
		return []string{key, to}
	}
}

func copied(insert string) func(*testing.T, *world, string) []string {
	return func(_ *testing.T, w *world, key string) []string {
		to := withinName(key, insert)
		w.put(to, w.objects[key])
		return []string{to}
	}
}

func withinName(key, insert string) string {
	at := strings.LastIndex(key, ".json")
	return key[:at-len(insert)] + insert + key[at:]
}

// metadata changes one of an object's entries, or removes it.
func metadata(keys []string, entry string, value func(w *world) string) []tampering {
	return each(keys, func(_ *testing.T, w *world, key string) []string {
		o := w.objects[key]
		o.Metadata = maps.Clone(o.Metadata)
		if delete(o.Metadata, entry); value != nil {
			o.Metadata[entry] = value(w)
		}
		w.put(key, o)
		return []string{key}
	})
}

func planted(t *testing.T, w *world, at time.Time) []string {
	key := w.layout.LogFile(at, "planted000000000")
	w.put(key, memory.Object{Body: verifytest.Gzip(t, []byte(`{"Records":[]}`))})
	return []string{key}
}

// afterwards lets the receiver go on before the trail is validated.
func afterwards(cases []tampering) []tampering {
	var then []tampering
	for _, c := range cases {
		then = append(then, func(t *testing.T, w *world) []string {
			about := c(t, w)
			w.next(t, false)
			return about
		})
	}
	return then
}

func (w *world) logFiles(from, to int) []string {
	var keys []string
	for _, key := range slices.Concat(w.files[from:to]...) {
		if o, ok := w.objects[key]; ok && !o.Archived {
			keys = append(keys, key)
		}
	}
	return keys
}

func logFileRows(w *world) []row {
	files := w.logFiles(0, newest+1)
	fresh, older, due := w.logFiles(resumed, newest+1), w.logFiles(closing+1, resumed), w.logFiles(0, closing+1)
	archived := w.files[closing+1][:1]
	invalid := always(finds(LogFileInvalid))
	plant := append(each([]string{"a"}, func(t *testing.T, w *world, _ string) []string { return planted(t, w, w.now) }),
		func(t *testing.T, w *world) []string { return planted(t, w, on(2, "21:30:00")) },
		func(_ *testing.T, w *world) []string {
			w.put(w.layout.LogFiles()+"2026/03/02/notes.txt", memory.Object{Body: []byte("x")})
			return []string{w.layout.LogFiles() + "2026/03/02/notes.txt"}
		})
	return []row{
		{change: "a record in a log file is changed", cases: body(files, edited("1.11", "1.10")), want: invalid},
		{change: "a bit of a log file is flipped", cases: body(files, flipped), want: invalid},
		{change: "a log file is cut short", cases: append(body(files, halved), body(files, emptied)...), want: invalid},
		{change: "something is appended to a log file", cases: append(body(files, extended), body(files, continued)...), want: invalid},
		{change: "two log files are swapped", cases: pairs(files, swapped), want: invalid},
		{change: "an older log file is put in place of a newer one", cases: pairs(files, replayed), want: invalid},
		{change: "a log file is deleted", cases: each(append(fresh, older...), deleted), want: always(finds(LogFileMissing))},
		{change: "a log file that is archived is deleted", cases: each(archived, deleted), want: always(finds(LogFileMissing))},
		{change: "a log file that has reached the age at which it expires is deleted", cases: each(due, deleted), want: always(tells(expired))},
		{change: "a log file is renamed", cases: each(append(fresh, older...), moved("renamed000000000")), want: always(finds(LogFileMissing))},
		{change: "a log file is added, also a copy, also with a name of the past", cases: append(each(files, copied("copy000000000000")), plant...), want: always(tells(undigested))},
		{change: "the same, and the next digest is there", cases: afterwards(append(each(fresh, copied("copy000000000000")), plant...)), want: always(finds(LogFileUnlisted))},
		{
			change: "a log file is added to a trail that was stopped",
			cases: one(func(t *testing.T, w *world) []string {
				w.next(t, true)
				return planted(t, w, w.now.Add(-30*time.Minute))
			}),
			want: always(finds(LogFileUnlisted)),
		},
		{change: "a log file is archived before a rule does it", cases: each(fresh, archive), want: always(finds(LogFileUnreadable))},
		{change: "a log file is changed and archived, at an age at which a rule may do it", cases: each(older, changeAndArchive), want: always(tells(unreadable))},
		{
			change: "the same, and it has been restored",
			cases: each(older, func(t *testing.T, w *world, key string) []string {
				w.overwrite(key, edited("1.11", "1.10")(t, w.objects[key].Body))
				return []string{key}
			}),
			want: invalid,
		},
		{change: "a log file is compressed anew, with the same content", cases: body(files, recompressed), want: always(misses(same))},
	}
}

func archive(_ *testing.T, w *world, key string) []string {
	w.archive(key)
	return []string{key}
}

func changeAndArchive(t *testing.T, w *world, key string) []string {
	w.overwrite(key, edited("1.11", "1.10")(t, w.objects[key].Body))
	return archive(t, w, key)
}

func digestRows(w *world) []row {
	all := w.digests
	followed, last := all[:newest], all[newest:]
	invalid, signature := always(finds(DigestInvalid)), always(finds(DigestSignature))
	return []row{
		{change: "a digest is changed", cases: body(all, edited(`"awsAccountId":"1`, `"awsAccountId":"2`)), want: signature},
		{change: "a bit of a digest is flipped", cases: body(all, flipped), want: invalid},
		{change: "a digest is cut short", cases: append(body(all, halved), body(all, emptied)...), want: invalid},
		{change: "something is appended to a digest", cases: append(body(all, extended), body(all, continued)...), want: invalid},
		{change: "two digests are swapped", cases: pairs(all, swapped), want: invalid},
		{change: "an older digest is put in place of a newer one", cases: pairs(all, replayed), want: invalid},
		{
			change: "an older digest is put where the next one belongs",
			cases: each(all, func(_ *testing.T, w *world, key string) []string {
				return replayed(w, key, w.layout.Digest(w.name, on(4, "10:10:00")))
			}),
			want: invalid,
		},
		{change: "a digest is put in place of one, signed by the installation for another trail", cases: each(all, ofAnotherTrail), want: always(finds(DigestMoved))},
		{change: "a signature is removed", cases: metadata(all, record.MetadataSignature, nil), want: signature},
		{change: "a signature is replaced by that of another digest", cases: metadata(all[1:], record.MetadataSignature, func(w *world) string {
			return w.objects[w.digests[0]].Metadata[record.MetadataSignature]
		}), want: signature},
		{change: "another algorithm is named", cases: metadata(all, record.MetadataSignatureAlgorithm, func(*world) string { return "none" }), want: signature},
		{change: "a digest is deleted, except the newest", cases: each(followed, deleted), want: always(finds(DigestMissing))},
		{
			change: "the newest digest is deleted", cases: each(last, deleted),
			want: [inputs]cell{tells(newer), tells(newer), tells(newer), finds(DigestMissing), finds(DigestMissing)},
		},
		{change: "a digest is renamed to another time", cases: each(all, laterName), want: invalid, also: []Kind{DigestMissing}},
		{change: "a digest is renamed to that of a backfill, or of another trail", cases: append(each(all, renamedTo(backfill)), each(all, renamedTo(anotherTrail))...), want: always(finds(DigestForeign)), also: []Kind{DigestMissing}},
		{change: "something is added among the digests", cases: append(each(all, func(_ *testing.T, w *world, key string) []string {
			return replayed(w, key, backfill(w, key))
		}), func(_ *testing.T, w *world) []string {
			w.put(w.layout.Digests()+"notes.txt", memory.Object{})
			return []string{w.layout.Digests() + "notes.txt"}
		}), want: always(finds(DigestForeign))},
		{change: "a digest is archived", cases: each(all, archive), want: always(cell{verdict: refused})},
		{change: "a digest is compressed anew, with the same content", cases: body(followed, recompressed), want: always(tells(same))},
		{change: "the same with the newest digest, within the hour", cases: body(last, recompressed), want: always(misses(same))},
	}
}

func ofAnotherTrail(t *testing.T, w *world, key string) []string {
	d := w.digest(t, slices.Index(w.digests, key))
	name, _ := record.ParseDigestKey(key)
	d.DigestS3Object = w.layout.Digest("shop.other", name.End)
	w.sign(t, d, w.present)
	w.rename(d.DigestS3Object, key)
	return []string{key}
}

func laterName(_ *testing.T, w *world, key string) []string {
	name, _ := record.ParseDigestKey(key)
	to := w.layout.Digest(w.name, name.End.Add(time.Second))
	w.rename(key, to)
	return []string{key, to}
}

func backfill(_ *world, key string) string {
	return strings.TrimSuffix(key, ".json.gz") + "_backfill.json.gz"
}

func anotherTrail(w *world, key string) string {
	name, _ := record.ParseDigestKey(key)
	return w.layout.Digest("shop.other", name.End)
}

func renamedTo(name func(*world, string) string) func(*testing.T, *world, string) []string {
	return func(_ *testing.T, w *world, key string) []string {
		to := name(w, key)
		w.rename(key, to)
		return []string{to}
	}
}

func keyRows(w *world) []row {
	invalid := always(finds(KeyInvalid))
	also := []Kind{KeyUnknown, KeyUntrusted}
	untrusted := always(finds(KeyUntrusted))
	root := w.layout.Place()
	text := func(from, to string) func(*testing.T, []byte) []byte {
		return func(_ *testing.T, b []byte) []byte { return bytes.Replace(b, []byte(from), []byte(to), 1) }
	}
	return []row{
		{change: "a published key is deleted", cases: each(w.keys, func(_ *testing.T, w *world, key string) []string {
			w.remove(key)
			return nil
		}), want: always(finds(KeyUnknown)), also: []Kind{KeyUntrusted}},
		{change: "a published key is changed, cut short or emptied", cases: slices.Concat(body(w.keys, text(`"value":"MIIB`, `"value":"MIIC`)), body(w.keys, text(`"sha256":"`, `"sha256":"0`)), body(w.keys, halved), body(w.keys, emptied)), want: invalid, also: also},
		{change: "two published keys are swapped, or one is put in place of another", cases: append(pairs(w.keys, swapped), pairs(w.keys, replayed)...), want: invalid, also: also},
		{change: "a published key is renamed or copied", cases: append(each(w.keys, moved("renamed")), each(w.keys, copied("copy"))...), want: invalid, also: also},
		{change: "the signature over a successor is changed, or removed", cases: []tampering{
			func(t *testing.T, w *world) []string {
				w.overwrite(w.keys[1], text(`"signature":"`, `"signature":"0`)(t, w.objects[w.keys[1]].Body))
				return nil
			},
			func(t *testing.T, w *world) []string {
				w.overwrite(w.keys[1], text(`"signedBy":`, `"signed":`)(t, w.objects[w.keys[1]].Body))
				return nil
			},
		}, want: untrusted},
		{change: "the time in a published key is changed", cases: body(w.keys, text(`"validityStartTime":"2026`, `"validityStartTime":"2016`)), want: always(misses(published))},
		{change: "something is added among the keys", cases: one(func(_ *testing.T, w *world) []string {
			w.put(w.layout.DigestKeys()+"notes.txt", memory.Object{Body: []byte("x")})
			return []string{w.layout.DigestKeys() + "notes.txt"}
		}), want: invalid},
		{change: "a key of the attacker is added, as a first one or as a successor", cases: []tampering{
			func(t *testing.T, w *world) []string { return []string{w.publish(t, w.own, nil)} },
			func(t *testing.T, w *world) []string {
				key := w.publish(t, w.own, w.own)
				w.overwrite(key, text(w.own.Fingerprint()+`","signature`, w.present.Fingerprint()+`","signature`)(t, w.objects[key].Body))
				return []string{key}
			},
		}, want: untrusted},
		{change: "a key of the attacker is added as the one before the first", cases: one(func(t *testing.T, w *world) []string {
			return []string{predecessor(t, w)}
		}), want: [inputs]cell{misses(idle), finds(KeyUntrusted), misses(idle), misses(idle), finds(KeyUntrusted)}},
		{change: "`trail-owner.json` is changed or deleted, something is added elsewhere below the prefix, or content types are changed", cases: append(each([]string{w.layout.Owner()}, deleted),
			body([]string{w.layout.Owner()}, emptied)[0],
			func(_ *testing.T, w *world) []string {
				w.put(root+"notes.txt", memory.Object{})
				return nil
			},
			func(_ *testing.T, w *world) []string {
				for key, o := range w.objects {
					o.ContentType = "text/plain"
					w.objects[key] = o
				}
				return nil
			}), want: always(misses(outside))},
	}
}

// predecessor publishes the attacker's key, and the first key as its successor.
func predecessor(t *testing.T, w *world) string {
	t.Helper()
	key := w.publish(t, w.own, nil)
	w.publish(t, w.retired, w.own)
	return key
}
