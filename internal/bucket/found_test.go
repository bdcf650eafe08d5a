package bucket

import (
	"context"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/trail-operator/trail-operator/api/v1alpha1"
	"github.com/trail-operator/trail-operator/internal/objectstore"
	"github.com/trail-operator/trail-operator/internal/objectstore/memory"
)

func TestFound(t *testing.T) {
	trail := of("shop.audit", "a")
	asked := everything()
	asked.Lifecycle = &v1alpha1.Lifecycle{ExpireAfterDays: 365, DigestExpireAfterDays: 800, NoncurrentExpireAfterDays: 9}
	want := &v1alpha1.BucketStatus{ExpireAfterDays: 365, DigestExpireAfterDays: 800, NoncurrentExpireAfterDays: 9}
	now := asked.DeepCopy()
	now.Lifecycle = &v1alpha1.Lifecycle{ExpireAfterDays: 1}

	s := lockedBucket(t)
	find := func() *v1alpha1.BucketStatus {
		t.Helper()
		got, err := Found(t.Context(), s, *now, trail)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	if got := find(); got != nil {
		t.Errorf("a new bucket: %+v", got)
	}
	manage(t, s, asked)
	if d := cmp.Diff(want, find()); d != "" {
		t.Error(d)
	}
	// What the rules say of another place, or another trail, says nothing here.
	for name, other := range map[string]Trail{"place": of("shop.audit", "b"), "trail": of("shop.second", "a")} {
		if got, err := Found(t.Context(), s, *now, other); err != nil || got != nil {
			t.Errorf("another %s: %+v, %v", name, got, err)
		}
	}
	fault := memory.Fault{}
	s.SetHook(func(_ context.Context, op objectstore.Op, _ string) memory.Fault {
		if op == objectstore.OpGetLifecycle {
			return fault
		}
		return memory.Fault{}
	})
	fault.Refuse = objectstore.ErrNotImplemented
	if d := cmp.Diff(&v1alpha1.BucketStatus{ExpireAfterDays: 1}, find()); d != "" {
		t.Errorf("a server that deletes nothing: %s", d)
	}
	fault.Refuse = objectstore.ErrAccessDenied
	if got := find(); got != nil {
		t.Errorf("denied: %+v", got)
	}
	fault.Refuse = objectstore.ErrUnreachable
	if _, err := Found(t.Context(), s, *now, trail); !errors.Is(err, objectstore.ErrUnreachable) {
		t.Errorf("got %v", err)
	}
}
