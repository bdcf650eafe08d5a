package verify

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	testclock "k8s.io/utils/clock/testing"

	"github.com/trail-operator/trail-operator/internal/objectstore"
	"github.com/trail-operator/trail-operator/internal/objectstore/memory"
	"github.com/trail-operator/trail-operator/internal/record"
	"github.com/trail-operator/trail-operator/internal/signing"
	"github.com/trail-operator/trail-operator/internal/verify/verifytest"
)

// world is a bucket with one trail of four days, and what its verifier and its
// attackers have. It is a Reader.
type world struct {
	objects map[string]memory.Object
	layout  record.Layout
	name    string
	now     time.Time

	digests []string // in order
	files   [][]string
	keys    []string

	heads   [2]record.Head // the one of a day before, and the newest
	pin     string
	retired *signing.PrivateKey
	present *signing.PrivateKey
	own     *signing.PrivateKey // of the attacker
	honest  record.Digest       // the newest that the receiver has made
	end     record.ChainEnd     // of it
	added   int                 // number of digests that it has made since

	known map[state]*Result // what validation says of it
}

// Indexes of digests.
const (
	closing  = 3  // ends the first chain
	rotated  = 8  // the first that the second key signs
	anchored = 10 // the older head
	resumed  = 13 // begins the third chain, on the fourth day
	newest   = 16
)

func on(day int, clock string) time.Time { return at(clock).AddDate(0, 0, day-1) }

// newWorld: recording from 09:20 of the first day, stopped at 12:25; resumed on
// the second at 20:10 with lifecycle rules; a new key at midnight; stopped on
// the third at 04:30; resumed on the fourth at 06:15, until 10:20.
func newWorld(t testing.TB) *world {
	clock := testclock.NewFakePassiveClock(on(1, "09:20:00"))
	store := memory.New(clock)
	tr := verifytest.New(t, store, "audit", on(1, "09:20:00"))
	tr.Tick = clock.SetTime
	w := &world{layout: tr.Layout, name: tr.Name, pin: tr.Keys[0].SHA256, known: map[state]*Result{}}
	w.retired = tr.Key
	tr.Put(t, tr.Layout.Owner(), record.MustJSON(record.Owner{TrailARN: tr.ARN()}), nil)
	window := func(end time.Time, files int, final bool) {
		before := len(tr.Files)
		tr.Window(t, end, files, final)
		w.files = append(w.files, tr.Files[before:])
	}
	hours := func(files ...int) {
		for _, n := range files {
			window(tr.End().Truncate(time.Hour).Add(time.Hour), n, false)
		}
	}
	hours(2, 0, 1)
	window(on(1, "12:25:10"), 1, true)
	tr.Lifecycle = []record.LifecycleRule{
		{Objects: record.LifecycleLogs, ExpireDays: 2},
		{Objects: record.LifecycleLogs, TransitionDays: 1, StorageClass: "GLACIER"},
		{Objects: record.LifecycleDigests, ExpireDays: 4},
	}
	tr.Restart(on(2, "20:10:00"))
	hours(2, 0, 1, 2)
	tr.Rotate(t)
	hours(1, 0, 2)
	w.heads[0] = tr.Last.Head
	hours(1)
	window(on(3, "04:30:00"), 1, true)
	tr.Restart(on(4, "06:15:00"))
	hours(2, 1, 0, 2)
	w.heads[1], w.end = tr.Last.Head, *tr.Last.ChainEnd()
	w.present = tr.Key

	own, err := signing.Generate()
	if err != nil {
		t.Fatal(err)
	}
	w.own = own
	for _, key := range w.files[0] { // by the rule
		store.Delete(key)
	}
	store.Archive(w.files[4][0]) // by the rule
	w.objects, w.digests = store.Objects(), tr.Digests
	for _, k := range tr.Keys {
		w.keys = append(w.keys, tr.Layout.DigestKey(k.Fingerprint))
	}
	w.now = on(4, "10:20:00")
	w.honest = *w.digest(t, newest)
	return w
}

func (w *world) clone() *world {
	c := *w
	c.objects = maps.Clone(w.objects)
	return &c
}

// Get and List implement Reader.
func (w *world) Get(_ context.Context, key string) (io.ReadCloser, objectstore.Info, error) {
	o, ok := w.objects[key]
	switch {
	case !ok:
		return nil, objectstore.Info{}, objectstore.ErrNotExist
	case o.Archived:
		return nil, objectstore.Info{}, objectstore.ErrArchived
	}
	return io.NopCloser(bytes.NewReader(o.Body)), objectstore.Info{Key: key, Modified: o.Modified, Metadata: o.Metadata}, nil
}

func (w *world) List(_ context.Context, prefix, startAfter string) iter.Seq2[objectstore.Info, error] {
	return func(yield func(objectstore.Info, error) bool) {
		for _, key := range slices.Sorted(maps.Keys(w.objects)) {
			if strings.HasPrefix(key, prefix) && key > startAfter && !yield(objectstore.Info{Key: key, Modified: w.objects[key].Modified}, nil) {
				return
			}
		}
	}
}

// What whoever may write to the bucket can do. The bucket sets the time.

func (w *world) put(key string, o memory.Object) {
	o.Modified = w.now
	w.objects[key] = o
}

func (w *world) overwrite(key string, body []byte) {
	o := w.objects[key]
	o.Body = body
	w.put(key, o)
}

func (w *world) remove(keys ...string) {
	for _, key := range keys {
		delete(w.objects, key)
	}
}

func (w *world) rename(from, to string) {
	o := w.objects[from]
	w.remove(from)
	w.put(to, o)
}

func (w *world) archive(key string) {
	o := w.objects[key]
	o.Archived = true
	w.objects[key] = o
}

// sign stores d, signed with key, as what it says it is.
func (w *world) sign(t testing.TB, d *record.Digest, key *signing.PrivateKey) *record.ChainEnd {
	t.Helper()
	d.DigestPublicKeyFinger = key.Fingerprint()
	body := record.MustJSON(d)
	hash := record.HexSHA256(body)
	signature, err := key.Sign(d.StringToSign(hash))
	if err != nil {
		t.Fatal(err)
	}
	w.put(d.DigestS3Object, memory.Object{Body: verifytest.Gzip(t, body), Metadata: map[string]string{
		record.MetadataSignature: signature, record.MetadataSignatureAlgorithm: record.SignatureAlgorithm,
	}})
	return &record.ChainEnd{ChainID: d.ChainID, Bucket: d.DigestS3Bucket, Object: d.DigestS3Object, HashValue: hash, Signature: signature}
}

func (w *world) digest(t testing.TB, i int) *record.Digest {
	t.Helper()
	d := new(record.Digest)
	if err := json.Unmarshal(verifytest.Gunzip(t, w.objects[w.digests[i]].Body), d); err != nil {
		t.Fatal(err)
	}
	return d
}

// rewrite signs the digests anew from the given one on, each following the one
// before; edit changes them, and false leaves one out.
func (w *world) rewrite(t testing.TB, from int, key *signing.PrivateKey, edit func(i int, d *record.Digest) bool) {
	t.Helper()
	var before *record.ChainEnd
	for i := from; i < len(w.digests); i++ {
		d := w.digest(t, i)
		if before != nil {
			if d.PreviousDigestS3Object != nil {
				follow(d, before)
			} else {
				d.PreviousChain = before
			}
		}
		if edit != nil && !edit(i, d) {
			w.remove(w.digests[i])
			continue
		}
		before = w.sign(t, d, key)
	}
}

func follow(d *record.Digest, before *record.ChainEnd) {
	algorithm := record.HashAlgorithm
	d.PreviousDigestS3Bucket, d.PreviousDigestS3Object, d.PreviousDigestHashAlgo = &before.Bucket, &before.Object, &algorithm
	d.PreviousDigestHashValue, d.PreviousDigestSignature, d.PreviousChain = &before.HashValue, &before.Signature, nil
}

// forge changes a record of the first log file of digest i, and returns an edit
// that has the digest say so.
func (w *world) forge(t testing.TB, i int) func(int, *record.Digest) bool {
	t.Helper()
	key := w.files[i][0]
	content := verifytest.Gunzip(t, w.objects[key].Body)
	changed := bytes.Replace(content, []byte(`"1.11"`), []byte(`"1.10"`), 1)
	w.overwrite(key, verifytest.Gzip(t, changed))
	return func(at int, d *record.Digest) bool {
		if at == i {
			d.LogFiles[0].HashValue = record.HexSHA256(changed)
		}
		return true
	}
}

// publish publishes key as successor of before, or as a first key.
func (w *world) publish(t testing.TB, key, before *signing.PrivateKey) string {
	t.Helper()
	p, err := signing.Publish(key.Public(), w.now, before)
	if err != nil {
		t.Fatal(err)
	}
	at := w.layout.DigestKey(p.Fingerprint)
	w.put(at, memory.Object{Body: record.MustJSON(p)})
	return at
}

// appended is a digest that would follow the newest one.
func (w *world) appended(t testing.TB, end time.Time) *record.Digest {
	t.Helper()
	d := w.digest(t, newest)
	follow(d, &w.end)
	w.continued(d, end)
	return d
}

func (w *world) continued(d *record.Digest, end time.Time) {
	d.DigestStartTime, d.DigestEndTime = d.DigestEndTime, stamp(end)
	d.DigestS3Object = w.layout.Digest(w.name, end)
	d.DigestSequence++
	d.LogFiles, d.OldestEventTime, d.NewestEventTime = []record.DigestLogFile{}, nil, nil
}

// next is what the receiver does in the next hour: a log file, and a digest. It
// knows its own state, and not what has become of the bucket. Then it is 20
// minutes later.
func (w *world) next(t testing.TB, final bool) {
	t.Helper()
	last, err := time.Parse(record.TimeFormat, w.honest.DigestEndTime)
	if err != nil {
		t.Fatal(err)
	}
	end := last.Truncate(time.Hour).Add(time.Hour)
	for w.objects[w.layout.Digest(w.name, end)].Body != nil {
		end = end.Add(time.Second)
	}
	d := w.honest
	follow(&d, &w.end)
	w.continued(&d, end)
	d.Final = final
	w.added++
	content := fmt.Appendf(nil, `{"Records":[{"eventID":"next-%d"}]}`, w.added)
	file := w.layout.LogFile(end.Add(-20*time.Minute), fmt.Sprintf("next%012d", w.added))
	w.now = end.Add(-20 * time.Minute)
	w.put(file, memory.Object{Body: verifytest.Gzip(t, content)})
	d.LogFiles = []record.DigestLogFile{{S3Bucket: "audit", S3Object: file, HashValue: record.HexSHA256(content), HashAlgorithm: record.HashAlgorithm}}
	w.now = end.Add(time.Second)
	w.end, w.honest = *w.sign(t, &d, w.present), d
	w.now = end.Add(20 * time.Minute)
}

// options are what the verifier is given.
func (w *world) options(in input) Options {
	o := Options{
		Reader: w, Layout: w.layout, Trail: w.name, Bucket: "audit", Workers: 1,
		Clock: testclock.NewFakePassiveClock(w.now),
	}
	if in == pinned || in == pinnedAndHead {
		o.Trust = w.pin
	}
	switch in {
	case olderHead:
		o.Heads = w.heads[:1]
	case withHead, pinnedAndHead:
		o.Heads = w.heads[1:]
	}
	return o
}
