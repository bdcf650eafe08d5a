package memory_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"k8s.io/utils/clock"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/trail-operator/trail-operator/internal/objectstore"
	"github.com/trail-operator/trail-operator/internal/objectstore/memory"
	"github.com/trail-operator/trail-operator/internal/objectstore/storetest"
)

func TestConformance(t *testing.T) {
	storetest.Run(t, func(*testing.T) objectstore.Store {
		s := memory.New(clock.RealClock{})
		s.DeleteBucket()
		return s
	})
}

func TestAdminConformance(t *testing.T) {
	storetest.RunAdmin(t, storetest.AdminServer{
		Open: func(*testing.T) (objectstore.Managed, string) {
			s := memory.New(clock.RealClock{})
			s.DeleteBucket()
			return s, "bucket"
		},
		KMSKey: "arn:aws:kms:eu-west-1:123456789012:key/1",
		Differs: map[storetest.Feature]storetest.Outcome{
			storetest.EncryptionUnknown: storetest.Works, // it has every key
			storetest.RetentionUnlocked: storetest.Refused,
		},
	})
}

func create(ctx context.Context, s objectstore.Store, key, body string) error {
	return s.Create(ctx, key, strings.NewReader(body), int64(len(body)), objectstore.PutOptions{SHA256: sha256.Sum256([]byte(body))})
}

func always(f memory.Fault) memory.Hook {
	return func(context.Context, objectstore.Op, string) memory.Fault { return f }
}

func TestFaults(t *testing.T) {
	ctx, now := t.Context(), time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	s := memory.New(clocktesting.NewFakePassiveClock(now))

	s.SetHook(always(memory.Fault{Refuse: objectstore.ErrThrottled}))
	err := create(ctx, s, "key", "body")
	if !errors.Is(err, objectstore.ErrThrottled) || objectstore.Code(err) != "SlowDown" || len(s.Objects()) != 0 {
		t.Errorf("Refuse: got %v, %v", err, s.Objects())
	}
	if _, ok := s.ServerTime(); ok {
		t.Error("Refuse: the server has not been reached")
	}
	s.SetHook(always(memory.Fault{CutAfter: 2}))
	if err := create(ctx, s, "key", "body"); !errors.Is(err, objectstore.ErrUnreachable) || len(s.Objects()) != 0 {
		t.Errorf("CutAfter: got %v, %v", err, s.Objects())
	}
	s.SetHook(always(memory.Fault{Lose: objectstore.ErrUnreachable}))
	if err := create(ctx, s, "key", "body"); !errors.Is(err, objectstore.ErrUnreachable) {
		t.Errorf("Lose: got %v", err)
	}
	if o := s.Objects()["key"]; string(o.Body) != "body" || !o.Modified.Equal(now) {
		t.Errorf("Lose: the object should be stored, got %+v", o)
	}
	if err := create(ctx, s, "key", "body"); !errors.Is(err, objectstore.ErrExists) {
		t.Errorf("Lose: the error of the call itself comes first, got %v", err)
	}
	s.SetHook(always(memory.Fault{ETag: "wrong"}))
	if info, err := s.Head(ctx, "key"); err != nil || info.ETag != "wrong" {
		t.Errorf("ETag: got %+v, %v", info, err)
	}
	s.SetHook(always(memory.Fault{CutAfter: 3}))
	r, info, err := s.Get(ctx, "key")
	if err != nil || info.Size != 4 {
		t.Fatalf("CutAfter: got %+v, %v", info, err)
	}
	var got bytes.Buffer
	if _, err := io.Copy(&got, r); !errors.Is(err, objectstore.ErrUnreachable) || got.String() != "bod" {
		t.Errorf("CutAfter: read %q, %v", got.String(), err)
	}
	s.SetHook(nil)
	if _, err := s.Head(ctx, "key"); err != nil {
		t.Errorf("without a hook: %v", err)
	}
	if puts, heads := s.Calls(objectstore.OpPut), s.Calls(objectstore.OpHead); puts != 4 || heads != 2 {
		t.Errorf("want 4 puts and 2 heads counted, got %d and %d", puts, heads)
	}
	s.SetServerTime(-time.Hour)
	if offset, ok := s.ServerTime(); !ok || offset != -time.Hour {
		t.Errorf("SetServerTime: got %v, %v", offset, ok)
	}
}

func TestHookBlocksUntilTheContextEnds(t *testing.T) {
	s := memory.New(clock.RealClock{})
	started := make(chan struct{})
	s.SetHook(func(ctx context.Context, _ objectstore.Op, _ string) memory.Fault {
		close(started)
		<-ctx.Done()
		return memory.Fault{}
	})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- create(ctx, s, "key", "body") }()
	<-started
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) || len(s.Objects()) != 0 {
		t.Errorf("got %v, %v", err, s.Objects())
	}
}

func TestTampering(t *testing.T) {
	s := memory.New(clock.RealClock{})
	if err := create(t.Context(), s, "key", "body"); err != nil {
		t.Fatal(err)
	}
	s.Overwrite("key", []byte("evil"))
	if o := s.Objects()["key"]; string(o.Body) != "evil" {
		t.Errorf("Overwrite: got %+v", o)
	}
	s.Delete("key")
	if _, err := s.Head(t.Context(), "key"); !errors.Is(err, objectstore.ErrNotExist) {
		t.Errorf("Delete: got %v", err)
	}
	s.DeleteBucket()
	if err := s.CheckBucket(t.Context(), ""); !errors.Is(err, objectstore.ErrNoBucket) {
		t.Errorf("DeleteBucket: got %v", err)
	}
}

// TestServersThatLack: a fault makes the store one that refuses settings, or
// takes them and keeps none.
func TestServersThatLack(t *testing.T) {
	ctx, s := t.Context(), memory.New(clock.RealClock{})
	rules := []objectstore.LifecycleRule{{ID: "o/1", ExpireDays: 1}}
	s.SetHook(func(_ context.Context, op objectstore.Op, _ string) memory.Fault {
		if op == objectstore.OpGetLifecycle {
			return memory.Fault{Refuse: objectstore.ErrNotImplemented}
		}
		return memory.Fault{IgnoreSetting: true}
	})
	if err := s.SetLifecycle(ctx, "o/", rules); !errors.Is(err, objectstore.ErrNotImplemented) || objectstore.Code(err) != "NotImplemented" {
		t.Errorf("refused: got %v", err)
	}
	if err := s.SetVersioning(ctx, objectstore.VersioningEnabled); err != nil {
		t.Error(err)
	}
	if v, err := s.Versioning(ctx); v != objectstore.VersioningOff || err != nil {
		t.Errorf("ignored: got %q, %v", v, err)
	}
	s.SetHook(always(memory.Fault{IgnoreSetting: true}))
	if err := s.SetLifecycle(ctx, "o/", rules); !errors.Is(err, objectstore.ErrChanged) {
		t.Errorf("lifecycle ignored: got %v", err)
	}
	s.SetHook(nil)
	s.AddLifecycle(objectstore.LifecycleRule{ID: "theirs", Partial: true})
	if err := s.SetLifecycle(ctx, "o/", rules); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Lifecycle(ctx); len(got) != 2 || !got[0].Partial || err != nil {
		t.Errorf("a rule of others: got %v, %v", got, err)
	}
	if err := create(ctx, s, "key", "body"); err != nil {
		t.Fatal(err)
	}
	s.Archive("key")
	if _, _, err := s.Get(ctx, "key"); !errors.Is(err, objectstore.ErrArchived) {
		t.Errorf("archived: got %v", err)
	}
	if _, err := s.Head(ctx, "key"); err != nil {
		t.Errorf("an archived object is there: got %v", err)
	}
}
