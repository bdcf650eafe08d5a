// Package verifytest writes trails for tests of what reads them: log files,
// digests and public keys, as the receiver delivers them.
package verifytest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"

	"github.com/trail-operator/trail-operator/internal/digest"
	"github.com/trail-operator/trail-operator/internal/objectstore"
	"github.com/trail-operator/trail-operator/internal/record"
	"github.com/trail-operator/trail-operator/internal/signing"
)

// Trail writes one trail into a bucket.
type Trail struct {
	Layout record.Layout
	Name   string
	Bucket string
	Store  objectstore.Store
	Key    *signing.PrivateKey
	// Lifecycle are the rules that the next digests list.
	Lifecycle []record.LifecycleRule
	// Content, if set, makes the content of the nth log file.
	Content func(n int) []byte
	// Tick, if set, is told the time at which the next object is stored.
	Tick func(time.Time)

	// Digests and Files are the keys of what was written, in order.
	Digests, Files []string
	// Keys are the published keys, in order.
	Keys []record.PublishedKey
	// Last is the newest digest.
	Last digest.Output

	end      time.Time
	chain    int
	sequence int64
	after    *record.ChainEnd
	files    int
}

// New starts a trail whose first chain starts at start, and publishes a key.
func New(t testing.TB, store objectstore.Store, bucket string, start time.Time) *Trail {
	t.Helper()
	return begin(t, store, bucket, "shop.all", record.Layout{Prefix: "shop/all"}, start)
}

// NewOrganization starts the trail of a whole cluster. Its keys carry the
// organization ID, which may be empty, and no prefix.
func NewOrganization(t testing.TB, store objectstore.Store, bucket, organization string, start time.Time) *Trail {
	t.Helper()
	return begin(t, store, bucket, "all", record.Layout{Organization: organization}, start)
}

// NewIn starts a trail of any name at any place. Its first digests are signed
// with key, which somebody else has published.
func NewIn(store objectstore.Store, bucket, name string, layout record.Layout, key *signing.PrivateKey, start time.Time) *Trail {
	return &Trail{
		Layout: layout, Name: name, Bucket: bucket, Store: store, Key: key, end: start.UTC().Truncate(time.Second), chain: 1,
	}
}

func begin(t testing.TB, store objectstore.Store, bucket, name string, layout record.Layout, start time.Time) *Trail {
	t.Helper()
	layout.Account, layout.Region = "123456789012", "eu-lab-1"
	tr := &Trail{
		Layout: layout, Name: name, Bucket: bucket, Store: store,
		end: start.UTC().Truncate(time.Second), chain: 1,
	}
	tr.Rotate(t)
	return tr
}

// ARN is that of the trail.
func (tr *Trail) ARN() string {
	return record.TrailARN(tr.Layout.Region, tr.Layout.Account, tr.Name)
}

// End is where the newest window ended.
func (tr *Trail) End() time.Time { return tr.end }

// Rotate makes and publishes a new key, signed by the one before.
func (tr *Trail) Rotate(t testing.TB) {
	t.Helper()
	key := cachedKey(t, len(tr.Keys))
	published, err := signing.Publish(key.Public(), tr.end, tr.Key)
	if err != nil {
		t.Fatal(err)
	}
	tr.Put(t, tr.Layout.DigestKey(published.Fingerprint), record.MustJSON(published), nil)
	tr.Key, tr.Keys = key, append(tr.Keys, published)
}

var keyCache struct {
	sync.Mutex
	keys []*signing.PrivateKey
}

// cachedKey returns the nth key of every trail: making one takes long.
func cachedKey(t testing.TB, n int) *signing.PrivateKey {
	t.Helper()
	keyCache.Lock()
	defer keyCache.Unlock()
	for len(keyCache.keys) <= n {
		key, err := signing.Generate()
		if err != nil {
			t.Fatal(err)
		}
		keyCache.keys = append(keyCache.keys, key)
	}
	return keyCache.keys[n]
}

// Hours writes n hours, each with a digest of the given number of log files.
func (tr *Trail) Hours(t testing.TB, n, files int) {
	t.Helper()
	for range n {
		tr.Window(t, tr.end.Truncate(time.Hour).Add(time.Hour), files, false)
	}
}

// Final ends the chain at the given time.
func (tr *Trail) Final(t testing.TB, end time.Time, files int) {
	t.Helper()
	tr.Window(t, end.UTC().Truncate(time.Second), files, true)
}

// Restart starts a new chain that follows the one before.
func (tr *Trail) Restart(start time.Time) {
	tr.end = start.UTC().Truncate(time.Second)
	tr.chain++
	tr.sequence, tr.after = 0, tr.Last.ChainEnd()
}

// Forget makes the next chain start without a word about the one before.
func (tr *Trail) Forget() { tr.after = nil }

// Window writes log files and the digest that lists them.
func (tr *Trail) Window(t testing.TB, end time.Time, files int, final bool) {
	t.Helper()
	in := digest.Input{
		Layout: tr.Layout, Trail: tr.Name, Bucket: tr.Bucket,
		Window:   digest.Window{Start: tr.end, End: end},
		Sequence: tr.sequence + 1, ChainID: fmt.Sprintf("chain-%d", tr.chain), Final: final,
		Signer: tr.Key, Lifecycle: tr.Lifecycle,
	}
	if in.Sequence == 1 {
		in.PreviousChain = tr.after
	} else {
		in.Previous = tr.Last.Previous()
	}
	for i := range files {
		at := in.Window.Start.Add(end.Sub(in.Window.Start) * time.Duration(i+1) / time.Duration(files+1))
		in.Files = append(in.Files, tr.LogFile(t, at))
	}
	tr.Sign(t, in)
}

// Sign builds one digest and stores it.
func (tr *Trail) Sign(t testing.TB, in digest.Input) {
	t.Helper()
	out, err := digest.Build(in)
	if err != nil {
		t.Fatal(err)
	}
	tr.tick(in.Window.End.Add(time.Second))
	tr.Put(t, out.Key, out.Compressed, out.Metadata)
	tr.Digests = append(tr.Digests, out.Key)
	tr.Last, tr.end, tr.sequence = out, in.Window.End, in.Sequence
}

// LogFile writes a log file that was closed and stored at the given time.
func (tr *Trail) LogFile(t testing.TB, at time.Time) record.DigestLogFile {
	t.Helper()
	tr.files++
	stamp := at.UTC().Format(record.TimeFormat)
	content := fmt.Appendf(nil, `%s{"eventVersion":"1.11","eventTime":%q,"eventID":"%d"}%s`,
		record.LogFileHead, stamp, tr.files, record.LogFileTail)
	if tr.Content != nil {
		content = tr.Content(tr.files)
	}
	key := tr.Layout.LogFile(at, fmt.Sprintf("%016d", tr.files))
	tr.tick(at)
	tr.Put(t, key, Gzip(t, content), nil)
	tr.Files = append(tr.Files, key)
	return record.DigestLogFile{
		S3Bucket: tr.Bucket, S3Object: key, HashValue: record.HexSHA256(content), HashAlgorithm: record.HashAlgorithm,
		OldestEventTime: stamp, NewestEventTime: stamp,
	}
}

// Put stores an object.
func (tr *Trail) Put(t testing.TB, key string, body []byte, metadata map[string]string) {
	t.Helper()
	err := tr.Store.Create(context.Background(), key, bytes.NewReader(body), int64(len(body)), objectstore.PutOptions{
		ContentType: "application/json", SHA256: sha256.Sum256(body), Metadata: metadata,
	})
	if err != nil {
		t.Fatalf("storing %s: %v", key, err)
	}
}

func (tr *Trail) tick(at time.Time) {
	if tr.Tick != nil {
		tr.Tick(at)
	}
}

// Gzip compresses b.
func Gzip(t testing.TB, b []byte) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := gzip.NewWriter(&buf)
	if _, err := w.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

// Gunzip inflates b.
func Gunzip(t testing.TB, b []byte) []byte {
	t.Helper()
	r, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	var buf bytes.Buffer
	if _, err := buf.ReadFrom(r); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}
