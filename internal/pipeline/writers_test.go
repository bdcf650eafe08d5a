package pipeline

import (
	"context"
	"fmt"
	"testing"

	"github.com/go-logr/logr"

	"github.com/trail-operator/trail-operator/internal/objectstore"
	"github.com/trail-operator/trail-operator/internal/objectstore/memory"
	"github.com/trail-operator/trail-operator/internal/outbox"
	"github.com/trail-operator/trail-operator/internal/record"
)

// TestTwoWriters lets two pipelines work on one spool. Each state document is
// written by one of them only, since the other expects an older one, and no
// event is lost or delivered twice.
func TestTwoWriters(t *testing.T) {
	b := newBench(t)
	b.trail("red").MaxFileAgeSeconds = 1
	b.apply()
	other, err := New(Options{
		Spool: b.spool, FS: outbox.OS{}, Dir: b.dir + "/outbox", Clock: steppedClock{b.clock}, Log: logr.Discard(), TrailQuota: 1 << 30,
		Open: b.p.Open,
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Apply(&b.config, b.trails, b.key); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); _ = other.Run(ctx) }()
	var want []string
	for i := range 10 {
		n := 5
		for range n {
			want = append(want, fmt.Sprintf("e-%d", len(want)+1))
		}
		b.post("red", n)
		b.until(fmt.Sprintf("delivery of file %d", i), func() bool { return b.count("red") >= len(want) })
	}
	cancel()
	<-done
	b.checkExactlyOnce("red", want)
	var d outbox.Delivery
	if _, err := outbox.Load(b.spool, outbox.KeysOf("uid-red").Delivery(), &d); err != nil || d.Delivered != int64(len(want)) {
		t.Errorf("%d deliveries are counted (%v), want %d", d.Delivered, err, len(want))
	}
}

// count is the number of records in a bucket.
func (b *bench) count(namespace string) (n int) {
	for key, o := range b.bucket(namespace).Objects() {
		if record.IsLogFileKey(key) {
			var f record.LogFile
			gunzip(b.t, o.Body, &f)
			n += len(f.Records)
		}
	}
	return n
}

// TestTrailThatReturns takes a trail out of the configuration in the middle of
// a delivery, and puts it in again.
func TestTrailThatReturns(t *testing.T) {
	b := newBench(t)
	b.trail("red").MaxFileAgeSeconds = 1
	b.apply()
	entered := make(chan struct{}, 100)
	b.bucket("red").SetHook(func(ctx context.Context, op objectstore.Op, key string) memory.Fault {
		if op == objectstore.OpPut && record.IsLogFileKey(key) {
			entered <- struct{}{}
			<-ctx.Done() // a server that does not answer
		}
		return memory.Fault{}
	})
	b.post("red", 3)
	b.until("a delivery", func() bool { return len(entered) > 0 })
	trails := b.trails
	b.trails = nil
	b.apply()
	b.trails = trails
	b.bucket("red").SetHook(nil)
	b.apply()
	b.post("red", 2)
	b.until("delivery", func() bool { return b.status("red").Counts.Delivered == 5 })
	b.checkExactlyOnce("red", []string{"e-1", "e-2", "e-3", "e-4", "e-5"})
}
