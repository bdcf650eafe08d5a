package pipeline

import (
	"context"
	"fmt"
	"io/fs"
	"math"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/trail-operator/trail-operator/internal/objectstore"
	"github.com/trail-operator/trail-operator/internal/objectstore/memory"
	"github.com/trail-operator/trail-operator/internal/record"
)

func TestOverdue(t *testing.T) {
	const reserve, share, plenty = 100, 1000, math.MaxInt64
	a := func(uid string, bytes int64, failing bool) backlog { return backlog{uid, bytes, failing} }
	for name, tc := range map[string]struct {
		trails []backlog
		free   int64
		uid    string
		n      int64
	}{
		"no trails":                                 {free: 0},
		"nothing undelivered":                       {trails: []backlog{a("a", 0, true)}, free: 0},
		"room enough":                               {trails: []backlog{a("a", 500, true), a("b", 500, false)}, free: reserve},
		"together over the share":                   {trails: []backlog{a("a", 500, false), a("b", 510, false)}, free: plenty, uid: "b", n: 10},
		"over the share, one cannot deliver":        {trails: []backlog{a("a", 500, true), a("b", 510, false)}, free: plenty, uid: "a", n: 10},
		"over the share by more than the worst has": {trails: []backlog{a("a", 20, true), a("b", 1500, false)}, free: plenty, uid: "a", n: 20},
		"below the reserve":                         {trails: []backlog{a("a", 50, true), a("b", 60, true), a("c", 99, false)}, free: 70, uid: "b", n: 30},
		"below the reserve, little to give":         {trails: []backlog{a("a", 5, true)}, free: 0, uid: "a", n: 5},
		"below the reserve, all deliver":            {trails: []backlog{a("a", 500, false)}, free: 0},
		"equal":                                     {trails: []backlog{a("b", 50, true), a("a", 50, true)}, free: 99, uid: "a", n: 1},
	} {
		t.Run(name, func(t *testing.T) {
			if uid, n := overdue(tc.trails, tc.free, reserve, share); uid != tc.uid || n != tc.n {
				t.Errorf("%q gives up %d bytes, want %q %d", uid, n, tc.uid, tc.n)
			}
		})
	}
}

// used is what the files of the outbox take.
func (b *bench) used() (n int64) {
	_ = filepath.WalkDir(b.dir+"/outbox", func(_ string, e fs.DirEntry, err error) error {
		if err == nil && e.Type().IsRegular() {
			if info, err := e.Info(); err == nil {
				n += info.Size()
			}
		}
		return nil
	})
	return n
}

// TestNoFileBelowHalfOfTheReserve: what is open is closed and delivered, and
// the rest stays in the spool until there is space.
func TestNoFileBelowHalfOfTheReserve(t *testing.T) {
	b := newBench(t)
	var free atomic.Int64
	free.Store(math.MaxInt64)
	b.stop()
	b.space = func(o *Options) {
		o.ReserveBytes, o.FreeBytes = 1000, func() (int64, error) { return free.Load(), nil }
	}
	b.start()
	b.trail("red")
	b.apply()
	b.post("red", 3)
	b.until("an open file", func() bool { return b.used() > 0 || b.status("red").Counts.Delivered == 3 })
	free.Store(499)
	b.until("delivery", func() bool { return b.status("red").Counts.Delivered == 3 })
	b.post("red", 2)
	for range 60 {
		b.clock.Step(time.Second)
		time.Sleep(time.Millisecond)
		if n := b.used(); n > 0 {
			t.Fatalf("%d bytes were written", n)
		}
	}
	if got := b.status("red").Counts; got.Delivered != 3 || got.Expired != 0 {
		t.Errorf("the account is %+v", got)
	}
	free.Store(500)
	b.until("delivery of the rest", func() bool { return b.status("red").Counts.Delivered == 5 })
	b.checkExactlyOnce("red", []string{"e-1", "e-2", "e-3", "e-4", "e-5"})
}

// TestDeadBucketMakesRoom: the files of a bucket that is away go until the
// volume has its reserve, or all files their share; nobody else loses any.
func TestDeadBucketMakesRoom(t *testing.T) {
	const capacity, reserve = 10_000, 5_000
	for name, space := range map[string]func(b *bench) func(*Options){
		"below the reserve": func(b *bench) func(*Options) {
			return func(o *Options) {
				o.ReserveBytes, o.FreeBytes = reserve, func() (int64, error) { return capacity - b.used(), nil }
			}
		},
		"over the share": func(*bench) func(*Options) {
			return func(o *Options) { o.ReserveBytes, o.VolumeBytes = reserve, capacity+reserve }
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.stop()
			b.space = space(b)
			b.start()
			b.trail("red").MaxFileAgeSeconds = 10
			b.trail("blue").MaxFileAgeSeconds = 10
			b.apply()
			b.reachable("red", false)
			for i := range 10 {
				b.post("blue", 1)
				b.post("red", 20)
				n := int64(i + 1)
				b.until("blue's delivery and red's file", func() bool {
					return b.status("blue").Counts.Delivered >= n && b.status("red").Counts.Accepted >= 20*n
				})
			}
			b.until("expiry", func() bool { return b.status("red").Counts.Expired > 0 && b.used() <= capacity-reserve })
			b.reachable("red", true)
			b.until("red's recovery", func() bool {
				c := b.status("red").Counts
				return c.Pending == 0 && c.Delivered > 0 && c.Accepted == c.Delivered+c.Expired
			})
			if n := b.status("blue").Counts.Expired; n != 0 {
				t.Errorf("blue lost %d events", n)
			}
			if newest := fmt.Sprintf("e-%d", b.events); !slices.Contains(b.delivered("red"), newest) {
				t.Errorf("%s has expired before older ones", newest)
			}
			b.until("the record", func() bool { return b.recorded("red", record.EventEventsLost) > 0 })
		})
	}
}

// TestBackoffDoesNotHoldExpiry: files expire while their trail waits to try again.
func TestBackoffDoesNotHoldExpiry(t *testing.T) {
	b := newBench(t)
	b.trail("red")
	b.apply()
	var puts atomic.Int64
	b.bucket("red").SetHook(func(context.Context, objectstore.Op, string) memory.Fault {
		puts.Add(1)
		return memory.Fault{Refuse: objectstore.ErrUnreachable}
	})
	p := b.p
	d := p.trails["uid-red"].deliverer
	b.post("red", 2)
	b.until("a file that waits", func() bool { return b.status("red").PendingFiles == 1 })
	b.post("red", 2) // the first may be in the bucket, and stays until that has been asked
	b.until("a long backoff", func() bool { return puts.Load() > 8 && b.status("red").PendingFiles == 2 })
	tried := puts.Load()
	d.mu.Lock()
	p.TrailQuota = 1
	d.mu.Unlock()
	deadline := time.Now().Add(10 * time.Second)
	for b.status("red").Counts.Expired == 0 {
		if time.Now().After(deadline) {
			t.Fatal("the file does not expire")
		}
		d.poke()
		time.Sleep(time.Millisecond)
	}
	if puts.Load() != tried {
		t.Error("the backoff has ended")
	}
}
