package pipeline

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/trail-operator/trail-operator/internal/objectstore"
	"github.com/trail-operator/trail-operator/internal/objectstore/memory"
	"github.com/trail-operator/trail-operator/internal/record"
)

// TestLateConfirmation: a file is stored, the answer is lost, and the receiver
// is away for three hours. The digest of the hour in which the file was stored
// lists it, so that no verifier takes it for a stranger's.
func TestLateConfirmation(t *testing.T) {
	b := newBench(t)
	b.trail("red")
	b.apply()
	var lost atomic.Bool
	lost.Store(true)
	b.bucket("red").SetHook(func(_ context.Context, op objectstore.Op, key string) memory.Fault {
		switch {
		case !lost.Load() || !record.IsLogFileKey(key):
			return memory.Fault{}
		case op == objectstore.OpPut:
			return memory.Fault{Lose: objectstore.ErrUnreachable}
		}
		return memory.Fault{Refuse: objectstore.ErrUnreachable}
	})
	b.post("red", 2)
	b.until("the file in the bucket", func() bool { return b.count("red") == 2 })
	b.stop()
	b.clock.Step(3 * time.Hour)
	lost.Store(false)
	b.start()
	b.until("the digests", func() bool { return len(b.digests("red")) == 3 && b.status("red").Counts.Delivered == 2 })
	for i, d := range b.digests("red") {
		if want := map[int]int{0: 1}[i]; len(d.LogFiles) != want {
			t.Errorf("the digest of %s lists %d files, want %d", d.DigestEndTime, len(d.LogFiles), want)
		}
	}
}
