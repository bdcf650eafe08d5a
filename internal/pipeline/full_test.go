package pipeline

import (
	"context"
	"sync/atomic"
	"testing"

	"github.com/go-logr/logr"

	"github.com/trail-operator/trail-operator/internal/objectstore"
	"github.com/trail-operator/trail-operator/internal/outbox"
	"github.com/trail-operator/trail-operator/internal/spool/pebble"
)

// TestFullVolumeExpires: a volume that is full because of a dead bucket gets
// room again, and what that costs is recorded.
func TestFullVolumeExpires(t *testing.T) {
	b := newBench(t)
	b.stop()
	var free atomic.Int64
	free.Store(1 << 40)
	s, err := pebble.Open(b.dir+"/spool", pebble.Options{Clock: b.clock, FreeBytes: func() (int64, error) { return free.Load(), nil }})
	if err != nil {
		t.Fatal(err)
	}
	p, err := New(Options{
		Spool: s, FS: outbox.OS{}, Dir: b.dir + "/outbox", Clock: steppedClock{b.clock}, Log: logr.Discard(), TrailQuota: 100,
		Open: func(objectstore.Config) (objectstore.Store, error) { return b.bucket("red"), nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	b.spool, b.p = s, p
	b.trail("red")
	b.reachable("red", false)
	b.apply()
	b.post("red", 200)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); _ = p.Run(ctx) }()
	b.stop = func() {
		cancel()
		<-done
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	free.Store(pebble.DefaultReserveBytes / 2)
	b.until("expiry", func() bool { return b.status("red").Counts.Expired >= 200 })
}
