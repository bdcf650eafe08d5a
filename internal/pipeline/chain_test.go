package pipeline

import (
	"context"
	"testing"
	"time"

	"github.com/trail-operator/trail-operator/internal/objectstore"
	"github.com/trail-operator/trail-operator/internal/objectstore/memory"
	"github.com/trail-operator/trail-operator/internal/record"
)

// Files that were still on their way when validation was switched off are in
// the final digest, too.
func TestSwitchingValidationOffListsEverything(t *testing.T) {
	b := newBench(t)
	red := b.trail("red")
	b.apply()
	b.post("red", 1)
	b.until("delivery", func() bool { return b.status("red").Counts.Delivered == 1 })
	b.bucket("red").SetHook(func(context.Context, objectstore.Op, string) memory.Fault {
		return memory.Fault{Refuse: objectstore.ErrUnreachable}
	})
	b.post("red", 2)
	b.until("a closed file", func() bool { return b.status("red").PendingFiles == 1 })
	b.post("red", 3) // in the open file
	red.LogFileValidation, red.Generation = false, 2
	b.apply()
	b.bucket("red").SetHook(nil)
	b.until("the final digest", func() bool { h := b.status("red").Head; return h != nil && h.Final })
	if n := len(b.delivered("red")); n != 6 {
		t.Errorf("%d of 6 events were delivered before the final digest", n)
	}
	b.checkDigests("red")
}

// Somebody who may write to the bucket, and knows where the next digest will
// be, cannot keep it from being delivered.
func TestOccupiedDigestKeys(t *testing.T) {
	b := newBench(t)
	b.trail("red")
	b.apply()
	b.post("red", 1)
	b.until("delivery", func() bool { return b.status("red").Counts.Delivered == 1 })
	layout := record.Layout{Prefix: "p", Account: "123456789012", Region: "lab-1"}
	hour := time.Date(2026, 11, 21, 11, 0, 0, 0, time.UTC)
	for i := range 3 {
		b.bucket("red").Overwrite(layout.Digest("red.all", hour.Add(time.Duration(i)*time.Second)), []byte("occupied"))
	}
	b.clock.Step(time.Hour)
	b.until("the digest behind them", func() bool { h := b.status("red").Head; return h != nil && h.EndTime == "2026-11-21T11:00:03Z" })
	b.until("the record of it", func() bool { return b.status("red").Counts.Delivered >= 2 })
}
