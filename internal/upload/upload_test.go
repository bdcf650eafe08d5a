package upload_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/utils/clock"

	"github.com/trail-operator/trail-operator/internal/objectstore"
	"github.com/trail-operator/trail-operator/internal/objectstore/memory"
	"github.com/trail-operator/trail-operator/internal/outbox"
	"github.com/trail-operator/trail-operator/internal/receiverstatus"
	"github.com/trail-operator/trail-operator/internal/upload"
)

const key = "p/AWSLogs/123456789012/CloudTrail/r/x.json.gz"

func TestSend(t *testing.T) {
	const body = "the bytes that were committed"
	sum := sha256.Sum256([]byte(body))
	entry := outbox.Entry{Key: key, Size: int64(len(body)), SHA256: hex.EncodeToString(sum[:]), Metadata: map[string]string{"signature": "ab"}}
	for name, tc := range map[string]struct {
		file  string // what is on the volume; empty = nothing
		there string // what stands under the key already
		fault memory.Fault
		want  error
		after string // what stands under the key in the end
	}{
		"free key":                        {file: body, after: body},
		"ours is there already":           {file: body, there: body, after: body},
		"another object is there":         {file: body, there: "the bytes that were COMMITTED", want: upload.ErrConflict, after: "the bytes that were COMMITTED"},
		"a shorter object is there":       {file: body, there: "x", want: upload.ErrConflict, after: "x"},
		"flipped byte on the volume":      {file: "the bytes that were committeD", want: upload.ErrDamaged},
		"torn file on the volume":         {file: body[:5], want: upload.ErrDamaged},
		"file is gone":                    {want: upload.ErrDamaged},
		"refused":                         {file: body, fault: memory.Fault{Refuse: objectstore.ErrAccessDenied}, want: objectstore.ErrAccessDenied},
		"stored, but the answer was lost": {file: body, fault: memory.Fault{Lose: objectstore.ErrUnreachable}, want: objectstore.ErrUnreachable, after: body},
		"half of it stored":               {file: body, fault: memory.Fault{KeepHalf: true}, want: upload.ErrConflict, after: body[:len(body)/2]},
		"confirmed, and not stored":       {file: body, fault: memory.Fault{Forget: true}, want: upload.ErrNotStored},
		"connection dropped":              {file: body, fault: memory.Fault{CutAfter: 7}, want: objectstore.ErrUnreachable},
	} {
		t.Run(name, func(t *testing.T) {
			store := memory.New(clock.RealClock{})
			path := filepath.Join(t.TempDir(), "f")
			if tc.file != "" {
				if err := os.WriteFile(path, []byte(tc.file), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if tc.there != "" {
				there := sha256.Sum256([]byte(tc.there))
				if err := store.Create(t.Context(), key, strings.NewReader(tc.there), int64(len(tc.there)),
					objectstore.PutOptions{SHA256: there, Metadata: entry.Metadata}); err != nil {
					t.Fatal(err)
				}
			}
			store.SetHook(func(_ context.Context, op objectstore.Op, _ string) memory.Fault {
				if op == objectstore.OpPut {
					return tc.fault
				}
				return memory.Fault{}
			})
			_, err := upload.Send(t.Context(), store, outbox.OS{}, path, &entry, upload.Protection{})
			if tc.want == nil && err != nil || !errors.Is(err, tc.want) {
				t.Errorf("error %v, want %v", err, tc.want)
			}
			if got := string(store.Objects()[key].Body); got != tc.after {
				t.Errorf("the bucket holds %q, want %q", got, tc.after)
			}
		})
	}
}

// Who may write and not read has to believe the server.
func TestSendWithoutReading(t *testing.T) {
	const body = "bytes"
	sum := sha256.Sum256([]byte(body))
	path := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(path, []byte(body), 0o600); err != nil {
		t.Fatal(err)
	}
	store := memory.New(clock.RealClock{})
	store.SetHook(func(_ context.Context, op objectstore.Op, _ string) memory.Fault {
		if op == objectstore.OpHead {
			return memory.Fault{Refuse: objectstore.ErrAccessDenied}
		}
		return memory.Fault{}
	})
	e := outbox.Entry{Key: key, Size: int64(len(body)), SHA256: hex.EncodeToString(sum[:])}
	if _, err := upload.Send(t.Context(), store, outbox.OS{}, path, &e, upload.Protection{}); err != nil {
		t.Error(err)
	}
}

func TestRefused(t *testing.T) {
	failed := func(op objectstore.Op, status int, err error) error {
		return &objectstore.Error{Op: op, Status: status, Err: err}
	}
	for _, tc := range []struct {
		err  error
		want bool
	}{
		{failed(objectstore.OpPut, 403, objectstore.ErrAccessDenied), true},
		{failed(objectstore.OpPut, 404, objectstore.ErrNoBucket), true},
		{failed(objectstore.OpPut, 0, objectstore.ErrCertificate), true},
		{failed(objectstore.OpPut, 503, objectstore.ErrThrottled), false},
		{failed(objectstore.OpPut, 0, objectstore.ErrUnreachable), false},
		{failed(objectstore.OpHead, 403, objectstore.ErrAccessDenied), false}, // it comes after a PUT
		{upload.ErrConflict, false},
	} {
		if got := upload.Refused(tc.err); got != tc.want {
			t.Errorf("%v: %t", tc.err, got)
		}
	}
}

// A digest that lost its signature is not ours, even with the same bytes.
func TestSendComparesMetadata(t *testing.T) {
	const body = "digest"
	sum := sha256.Sum256([]byte(body))
	store := memory.New(clock.RealClock{})
	if err := store.Create(t.Context(), key, strings.NewReader(body), int64(len(body)), objectstore.PutOptions{SHA256: sum}); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(path, []byte(body), 0o600); err != nil {
		t.Fatal(err)
	}
	e := outbox.Entry{Key: key, Size: int64(len(body)), SHA256: hex.EncodeToString(sum[:]), Metadata: map[string]string{"signature": "ab"}}
	if _, err := upload.Send(t.Context(), store, outbox.OS{}, path, &e, upload.Protection{}); !errors.Is(err, upload.ErrConflict) {
		t.Errorf("error %v, want %v", err, upload.ErrConflict)
	}
}

// A server that takes the bytes too slowly, or not at all, holds its trail for a
// time that depends on the size of the file only.
func TestSendIsBounded(t *testing.T) {
	body := strings.Repeat("x", 3<<20)
	sum := sha256.Sum256([]byte(body))
	path := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(path, []byte(body), 0o600); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		store := memory.New(clock.RealClock{})
		store.SetHook(func(ctx context.Context, _ objectstore.Op, _ string) memory.Fault {
			select {
			case <-ctx.Done():
			case <-time.After(5 * time.Hour):
			}
			return memory.Fault{}
		})
		begin := time.Now()
		_, err := upload.Send(t.Context(), store, outbox.OS{}, path, &outbox.Entry{Key: key, Size: int64(len(body)), SHA256: hex.EncodeToString(sum[:])}, upload.Protection{})
		if took, want := time.Since(begin), 2*time.Minute+12*time.Second; took != want {
			t.Errorf("it took %s, want %s", took, want)
		}
		if f := upload.Failure(err, time.Now()); f.Reason != receiverstatus.ReasonUnreachable {
			t.Errorf("%v gives %+v", err, f)
		}
	})
}

func TestFailureSpeaksInWordsOfOurs(t *testing.T) {
	for err, want := range map[error]string{
		objectstore.ErrNoBucket:         receiverstatus.ReasonNoBucket,
		objectstore.ErrBadCredentials:   receiverstatus.ReasonBadCredentials,
		objectstore.ErrAccessDenied:     receiverstatus.ReasonAccessDenied,
		objectstore.ErrCertificate:      receiverstatus.ReasonCertificate,
		objectstore.ErrForbiddenAddress: receiverstatus.ReasonAddress,
		objectstore.ErrClockSkew:        receiverstatus.ReasonClockSkew,
		objectstore.ErrThrottled:        receiverstatus.ReasonThrottled,
		objectstore.ErrUnreachable:      receiverstatus.ReasonUnreachable,
		objectstore.ErrNotImplemented:   receiverstatus.ReasonProtection,
		objectstore.ErrKey:              receiverstatus.ReasonProtection,
		objectstore.ErrBucketState:      receiverstatus.ReasonProtection,
		objectstore.ErrRegion:           receiverstatus.ReasonOther,
		upload.ErrEncryptionIgnored:     receiverstatus.ReasonEncryptionIgnored,
		upload.ErrRetentionIgnored:      receiverstatus.ReasonRetentionIgnored,
		errors.New("hunter2"):           receiverstatus.ReasonOther,
	} {
		f := upload.Failure(&objectstore.Error{Op: "put", Code: "Some", Err: err}, time.Now())
		if f.Reason != want || f.Message == "" || strings.Contains(f.Message, "hunter2") || f.Code != "Some" && f.Code != want {
			t.Errorf("%v gives %+v, want reason %s", err, f, want)
		}
	}
}

func TestBackoff(t *testing.T) {
	last := time.Duration(0)
	for n := 1; n < 12; n++ {
		d := upload.Backoff(n)
		if d < last || d > 2*time.Minute {
			t.Errorf("failure %d waits %s after %s", n, d, last)
		}
		last = d
	}
	if first, far := upload.Backoff(1), upload.Backoff(1_000_000); first != time.Second || far != 2*time.Minute {
		t.Errorf("backoff goes from %s to %s", first, far)
	}
}
