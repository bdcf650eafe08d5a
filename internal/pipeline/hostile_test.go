package pipeline

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/trail-operator/trail-operator/internal/objectstore"
	"github.com/trail-operator/trail-operator/internal/objectstore/memory"
	"github.com/trail-operator/trail-operator/internal/receiverstatus"
	"github.com/trail-operator/trail-operator/internal/record"
)

// on makes a hook that does fault to the log files that a trail sends.
func on(fault func(n int) memory.Fault) memory.Hook {
	n := 0
	return func(_ context.Context, op objectstore.Op, key string) memory.Fault {
		if op != objectstore.OpPut || !record.IsLogFileKey(key) {
			return memory.Fault{}
		}
		n++
		return fault(n)
	}
}

// TestStoreThatKeepsHalf: a store that says yes and keeps half gets the file
// again under another key, and not at once for ever: each time is an object and
// a record.
func TestStoreThatKeepsHalf(t *testing.T) {
	b := newBench(t)
	b.trail("red").MaxFileAgeSeconds = 10
	b.apply()
	b.bucket("red").SetHook(on(func(int) memory.Fault { return memory.Fault{KeepHalf: true} }))
	b.post("red", 3)
	b.until("trouble", func() bool { return b.status("red").DeliveryError != nil })
	begun, before := b.clock.Now(), b.bucket("red").Calls(objectstore.OpPut)
	for b.clock.Since(begun) < 10*time.Minute {
		b.clock.Step(time.Second)
		time.Sleep(time.Millisecond) // lets the deliverer run
	}
	if n := b.bucket("red").Calls(objectstore.OpPut) - before; n > 20 {
		t.Errorf("in ten minutes the file was sent %d times", n)
	}
	if got := b.status("red").Counts; got.Delivered != 0 || got.Quarantined != 0 {
		t.Errorf("half files are counted: %+v", got)
	}
	halves := len(b.bucket("red").Objects())
	b.bucket("red").SetHook(nil)
	b.until("delivery", func() bool { c := b.status("red").Counts; return c.Delivered >= 3 && c.Pending == 0 })
	if halves < 2 {
		t.Errorf("there are %d halves", halves)
	}
}

// TestStoreThatForgets: what is not there after it was confirmed is sent again.
func TestStoreThatForgets(t *testing.T) {
	b := newBench(t)
	b.trail("red")
	b.apply()
	b.bucket("red").SetHook(on(func(n int) memory.Fault { return memory.Fault{Forget: n < 3} }))
	b.post("red", 3)
	b.until("delivery", func() bool { return b.status("red").Counts.Delivered == 3 })
	b.checkExactlyOnce("red", []string{"e-1", "e-2", "e-3"})
}

// TestFileInDoubtDoesNotExpire: a file whose answer was lost is in the bucket. It
// is not counted as lost when the trail has to make room, also after a restart.
func TestFileInDoubtDoesNotExpire(t *testing.T) {
	for name, restart := range map[string]bool{"one run": false, "restart": true} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.stop()
			b.space = func(o *Options) { o.TrailQuota = 1500 }
			b.start()
			b.trail("red").MaxFileAgeSeconds = 10
			b.apply()
			b.bucket("red").SetHook(on(func(n int) memory.Fault {
				if n == 1 {
					return memory.Fault{Lose: objectstore.ErrUnreachable}
				}
				return memory.Fault{Refuse: objectstore.ErrUnreachable}
			}))
			b.post("red", 20)
			b.until("the first file", func() bool { return len(b.bucket("red").Objects()) == 1 })
			if restart {
				b.stop()
				b.start()
			}
			for range 6 {
				files := b.status("red").PendingFiles
				expired := b.status("red").Counts.Expired
				b.post("red", 20)
				b.until("the next file", func() bool {
					return b.status("red").PendingFiles > files || b.status("red").Counts.Expired > expired
				})
			}
			b.until("something to expire", func() bool { return b.status("red").Counts.Expired > 0 })
			b.bucket("red").SetHook(nil)
			b.until("delivery", func() bool { c := b.status("red").Counts; return c.Pending == 0 && c.Delivered > 0 })
			counts, ids := b.status("red").Counts, b.delivered("red")
			if int64(len(ids)) != counts.Delivered || counts.Delivered+counts.Expired != counts.Accepted {
				t.Errorf("the bucket has %d records; the account is %+v", len(ids), counts)
			}
			if !slices.Contains(ids, "e-1") {
				t.Error("the file in doubt is not in the bucket")
			}
			b.trails[0].Suspended, b.trails[0].Generation = true, 2
			b.apply()
			b.until("the last digest", func() bool { return b.status("red").Flushed })
			listed := map[string]bool{}
			for _, d := range b.digests("red") {
				for _, f := range d.LogFiles {
					listed[f.S3Object] = true
				}
			}
			for key := range b.bucket("red").Objects() {
				if record.IsLogFileKey(key) && !listed[key] {
					t.Errorf("%s is in no digest", key)
				}
			}
		})
	}
}

// TestProgressEndsBackoff: a store that takes every other request is asked again
// soon each time, since something got on.
func TestProgressEndsBackoff(t *testing.T) {
	b := newBench(t)
	b.trail("red").MaxFileAgeSeconds = 10
	b.apply()
	b.bucket("red").SetHook(on(func(int) memory.Fault { return memory.Fault{Refuse: objectstore.ErrThrottled} }))
	const files = 24
	for n := range files {
		b.post("red", 1)
		b.until("a file", func() bool { return b.status("red").PendingFiles > n })
	}
	b.bucket("red").SetHook(on(func(n int) memory.Fault {
		if n%2 == 0 {
			return memory.Fault{Refuse: objectstore.ErrThrottled}
		}
		return memory.Fault{}
	}))
	b.until("the first delivery", func() bool { return b.status("red").Counts.Delivered > 0 })
	begun := b.clock.Now()
	b.until("delivery", func() bool { return b.status("red").Counts.Delivered == files })
	// One second each; without progress the waits grow to two minutes. The clock of
	// the test goes on while a busy machine is at work.
	if took := b.clock.Since(begun); took > files*time.Minute {
		t.Errorf("delivery of %d files took %s", files, took)
	}
}

// TestStoreThatNeverEnds: a tenant's store that never comes to the end of its
// answers holds nothing but its own trail, whose files expire all the same.
func TestStoreThatNeverEnds(t *testing.T) {
	b := newBench(t)
	b.stop()
	b.space = func(o *Options) { o.TrailQuota = 1500 }
	b.start()
	b.p.lookPatience = 100 * time.Millisecond
	b.trail("red").MaxFileAgeSeconds = 10
	b.trail("blue").MaxFileAgeSeconds = 10
	b.bucket("red").SetHook(func(ctx context.Context, op objectstore.Op, _ string) memory.Fault {
		if op != objectstore.OpPut {
			<-ctx.Done()
		}
		return memory.Fault{}
	})
	b.apply()
	for n := range 6 {
		b.post("red", 20)
		b.post("blue", 1)
		b.until("a file", func() bool {
			return b.status("blue").Counts.Delivered == int64(n+1) && b.status("red").Counts.Accepted >= int64(20*(n+1))
		})
	}
	b.until("files to expire", func() bool { return b.status("red").Counts.Expired > 0 })
	if f := b.status("red").DeliveryError; f == nil || f.Reason != receiverstatus.ReasonUnreachable {
		t.Errorf("the status says %+v", f)
	}
}
