// Package storetest holds what every implementation of objectstore.Store must
// do. Each of them runs it in its own tests.
package storetest

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/trail-operator/trail-operator/internal/objectstore"
)

// contentType is that of log files.
const contentType = "application/x-gzip"

// Run checks the stores that open returns: each of them one bucket that does
// not exist yet.
func Run(t *testing.T, open func(t *testing.T) objectstore.Store) {
	for _, tc := range []struct {
		name string
		test func(*testing.T, objectstore.Store)
	}{
		{"Bucket", testBucket},
		{"ServerTime", testServerTime},
	} {
		t.Run(tc.name, func(t *testing.T) { tc.test(t, open(t)) })
	}
	for _, tc := range []struct {
		name string
		test func(*testing.T, objectstore.Store)
	}{
		{"RoundTrip", testRoundTrip},
		{"CreateOnly", testCreateOnly},
		{"Race", testRace},
		{"BadDigest", testBadDigest},
		{"WrongSize", testWrongSize},
		{"UnreadableBody", testUnreadableBody},
		{"NotExist", testNotExist},
		{"Keys", testKeys},
		{"List", testList},
		{"ListPages", testListPages},
		{"Canceled", testCanceled},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := open(t)
			if err := s.CreateBucket(t.Context()); err != nil {
				t.Fatal(err)
			}
			tc.test(t, s)
		})
	}
}

// create stores body under key with the options of a log file.
func create(t *testing.T, s objectstore.Store, key string, body []byte) error {
	t.Helper()
	return s.Create(t.Context(), key, bytes.NewReader(body), int64(len(body)), options(body))
}

func options(body []byte) objectstore.PutOptions {
	return objectstore.PutOptions{ContentType: contentType, SHA256: sha256.Sum256(body)}
}

func mustCreate(t *testing.T, s objectstore.Store, key string, body []byte) {
	t.Helper()
	if err := create(t, s, key, body); err != nil {
		t.Fatalf("creating %q: %v", key, err)
	}
}

func read(t *testing.T, s objectstore.Store, key string) []byte {
	t.Helper()
	r, _, err := s.Get(t.Context(), key)
	if err != nil {
		t.Fatalf("getting %q: %v", key, err)
	}
	defer r.Close()
	body, err := io.ReadAll(r)
	if err != nil {
		t.Fatalf("reading %q: %v", key, err)
	}
	return body
}

// wantError checks that err is one of the errors wanted, in the form in which
// callers can read it.
func wantError(t *testing.T, what string, err error, wanted ...error) {
	t.Helper()
	var e *objectstore.Error
	if !errors.As(err, &e) {
		t.Errorf("%s: want an *objectstore.Error, got %#v", what, err)
		return
	}
	for _, want := range wanted {
		if errors.Is(err, want) {
			return
		}
	}
	t.Errorf("%s: want one of %q, got %q", what, wanted, err)
}

// random returns bytes that do not compress, the same in every run.
func random(n int) []byte {
	body := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(body)
	return body
}

func testBucket(t *testing.T, s objectstore.Store) {
	ctx := t.Context()
	wantError(t, "checking a missing bucket", s.CheckBucket(ctx, ""), objectstore.ErrNoBucket)
	wantError(t, "creating in a missing bucket", create(t, s, "key", []byte("x")), objectstore.ErrNoBucket)
	_, err := s.Head(ctx, "key")
	wantError(t, "head in a missing bucket", err, objectstore.ErrNotExist, objectstore.ErrNoBucket)
	_, _, err = s.Get(ctx, "key")
	wantError(t, "get in a missing bucket", err, objectstore.ErrNotExist, objectstore.ErrNoBucket)
	for _, err := range s.List(ctx, "", "") {
		wantError(t, "listing a missing bucket", err, objectstore.ErrNoBucket)
	}
	for range 2 { // that it is there already is no error
		if err := s.CreateBucket(ctx); err != nil {
			t.Fatal(err)
		}
		if err := s.CheckBucket(ctx, ""); err != nil {
			t.Fatal(err)
		}
	}
	mustCreate(t, s, "key", []byte("x"))
	if err := s.CheckBucket(ctx, ""); err != nil {
		t.Fatal(err)
	}
}

func testServerTime(t *testing.T, s objectstore.Store) {
	if offset, ok := s.ServerTime(); ok {
		t.Errorf("before the first answer the server's time should be unknown, got %v", offset)
	}
	if err := s.CreateBucket(t.Context()); err != nil {
		t.Fatal(err)
	}
	if offset, ok := s.ServerTime(); !ok || offset.Abs() > time.Minute {
		t.Errorf("the clock of a local server should be ours; got %v, %v", offset, ok)
	}
}

func testRoundTrip(t *testing.T, s objectstore.Store) {
	for name, body := range map[string][]byte{
		"empty":   {},
		"small":   []byte("a record"),
		"gzip":    {0x1f, 0x8b, 0x08, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0xff, 0x01, 0x00, 0x00, 0xff, 0xff, 0x00},
		"lines":   []byte("a\r\nb\n\n\x00c"),
		"17 MiB":  random(17 << 20), // more than minio-go sends in one part by itself
		"64 KiB":  random(64 << 10),
		"1 chunk": random(64<<10 + 1),
	} {
		t.Run(name, func(t *testing.T) {
			key, o := "AWSLogs/123456789012/"+name+".json.gz", options(body)
			o.Metadata = map[string]string{"signature": "00ff", "signature-algorithm": "SHA256withRSA"}
			source := bytes.NewReader(body)
			_, _ = source.Seek(int64(len(body)/2), io.SeekStart) // the whole body counts, wherever the reader stands
			if err := s.Create(t.Context(), key, source, int64(len(body)), o); err != nil {
				t.Fatal(err)
			}
			r, got, err := s.Get(t.Context(), key)
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			stored, err := io.ReadAll(r)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(stored, body) {
				t.Errorf("the body came back as other %d bytes", len(stored))
			}
			if got.ETag == "" || time.Since(got.Modified).Abs() > time.Hour {
				t.Errorf("want an ETag and the time, got %+v", got)
			}
			want := objectstore.Info{Key: key, Size: int64(len(body)), ETag: got.ETag, Modified: got.Modified, Metadata: o.Metadata}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("Get (-want +got):\n%s", diff)
			}
			head, err := s.Head(t.Context(), key)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(got, head); diff != "" {
				t.Errorf("Head differs from Get (-get +head):\n%s", diff)
			}
			for listed, err := range s.List(t.Context(), key, "") {
				if err != nil {
					t.Fatal(err)
				}
				if listed.Key != key || listed.Size != want.Size || listed.ETag != want.ETag {
					t.Errorf("List: want the key, size and ETag of %+v, got %+v", want, listed)
				}
			}
		})
	}
}

func testNotExist(t *testing.T, s objectstore.Store) {
	mustCreate(t, s, "a/b", []byte("x"))
	for _, key := range []string{"missing", "a", "a/c", "a/bb"} {
		_, err := s.Head(t.Context(), key)
		wantError(t, "head of "+key, err, objectstore.ErrNotExist)
		_, _, err = s.Get(t.Context(), key)
		wantError(t, "get of "+key, err, objectstore.ErrNotExist)
	}
}
