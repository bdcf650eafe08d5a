package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"testing"

	"github.com/trail-operator/trail-operator/internal/objectstore"
)

func testCreateOnly(t *testing.T, s objectstore.Store) {
	o := options([]byte("first"))
	o.Metadata = map[string]string{"signature": "1"}
	if err := s.Create(t.Context(), "key", bytes.NewReader([]byte("first")), 5, o); err != nil {
		t.Fatal(err)
	}
	before, err := s.Head(t.Context(), "key")
	if err != nil {
		t.Fatal(err)
	}
	for _, body := range []string{"second", "first", ""} {
		wantError(t, fmt.Sprintf("creating %q again", body), create(t, s, "key", []byte(body)), objectstore.ErrExists)
	}
	if got := read(t, s, "key"); string(got) != "first" {
		t.Errorf("the object was overwritten with %q", got)
	}
	after, err := s.Head(t.Context(), "key")
	if err != nil {
		t.Fatal(err)
	}
	if after.Metadata["signature"] != "1" || !after.Modified.Equal(before.Modified) {
		t.Errorf("the object was changed: %+v became %+v", before, after)
	}
}

func testRace(t *testing.T, s objectstore.Store) {
	const writers = 16
	for round := range 5 {
		key := fmt.Sprintf("race/%d", round)
		errs := make([]error, writers)
		start := make(chan struct{})
		var wg sync.WaitGroup
		for i := range writers {
			wg.Go(func() {
				<-start
				errs[i] = create(t, s, key, body(i))
			})
		}
		close(start)
		wg.Wait()
		winner := -1
		for i, err := range errs {
			switch {
			case err == nil && winner >= 0:
				t.Errorf("writers %d and %d both created %s", winner, i, key)
			case err == nil:
				winner = i
			default:
				wantError(t, "a lost race", err, objectstore.ErrExists)
			}
		}
		if winner < 0 {
			t.Fatal("nobody created the object")
		}
		if got := read(t, s, key); !bytes.Equal(got, body(winner)) {
			t.Errorf("the body is not that of the winner, %d", winner)
		}
	}
}

// body is what one writer of a race sends: too much for one packet.
func body(writer int) []byte { return bytes.Repeat([]byte{byte('a' + writer)}, 100<<10) }

// wantAbsent checks that a refused object left nothing.
func wantAbsent(t *testing.T, s objectstore.Store, key string) {
	t.Helper()
	_, err := s.Head(t.Context(), key)
	wantError(t, "head of what was refused", err, objectstore.ErrNotExist)
}

func testBadDigest(t *testing.T, s objectstore.Store) {
	o := options([]byte("what was meant"))
	err := s.Create(t.Context(), "key", bytes.NewReader([]byte("what was sent!")), 14, o)
	wantError(t, "a damaged body", err, objectstore.ErrBadDigest)
	wantAbsent(t, s, "key")
	mustCreate(t, s, "key", []byte("what was meant")) // the refusal has not taken the key
}

func testWrongSize(t *testing.T, s objectstore.Store) {
	for _, size := range []int64{0, 3, 5} {
		err := s.Create(t.Context(), "key", bytes.NewReader([]byte("four")), size, options([]byte("four")))
		var e *objectstore.Error
		if !errors.As(err, &e) {
			t.Errorf("size %d of a body of 4 bytes: want an *objectstore.Error, got %v", size, err)
		}
		wantAbsent(t, s, "key")
	}
}

// unreadable is a body whose second half cannot be read, as from a bad disk.
type unreadable struct{ *bytes.Reader }

var errDisk = errors.New("input/output error")

func (u unreadable) Read(p []byte) (int, error) {
	if u.Len() <= int(u.Size()/2) {
		return 0, errDisk
	}
	return u.Reader.Read(p[:min(len(p), u.Len()-int(u.Size()/2))])
}

func testUnreadableBody(t *testing.T, s objectstore.Store) {
	body := random(1 << 20)
	var source io.ReadSeeker = struct{ io.ReadSeeker }{unreadable{bytes.NewReader(body)}}
	err := s.Create(t.Context(), "key", source, int64(len(body)), options(body))
	wantError(t, "a body that cannot be read", err, errDisk)
	wantAbsent(t, s, "key")
}

func testCanceled(t *testing.T, s objectstore.Store) {
	mustCreate(t, s, "a", []byte("x"))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	wantError(t, "create", s.Create(ctx, "key", bytes.NewReader([]byte("x")), 1, options([]byte("x"))), context.Canceled)
	_, err := s.Head(ctx, "a")
	wantError(t, "head", err, context.Canceled)
	_, _, err = s.Get(ctx, "a")
	wantError(t, "get", err, context.Canceled)
	yielded := false
	for _, err := range s.List(ctx, "", "") {
		yielded = true
		wantError(t, "list", err, context.Canceled)
	}
	if !yielded {
		t.Error("list: want an error, got the end of a list")
	}
	wantError(t, "check bucket", s.CheckBucket(ctx, ""), context.Canceled)
	wantError(t, "create bucket", s.CreateBucket(ctx), context.Canceled)
}
