package pipeline

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/trail-operator/trail-operator/internal/record"
	"github.com/trail-operator/trail-operator/internal/signing"
	"github.com/trail-operator/trail-operator/internal/spool"
	"github.com/trail-operator/trail-operator/internal/verify"
)

// TestSentAgain sends what was acknowledged once more, in another order: within
// fifteen minutes of uptime it is recognized, however long the receiver was away
// meanwhile; later it is another record, with the same eventID.
func TestSentAgain(t *testing.T) {
	b := newBench(t)
	b.trail("red")
	b.apply()
	var chunks []spool.Chunk
	for range 4 {
		chunks = append(chunks, b.post("red", 2))
	}
	again := func() {
		for _, c := range slices.Backward(chunks) {
			b.send(c)
		}
	}
	again()
	b.stop()
	b.clock.Step(10 * time.Hour)
	b.start()
	again()
	b.post("red", 1)
	b.until("delivery", func() bool { return b.status("red").Counts.Delivered == 9 })
	b.checkExactlyOnce("red", []string{"e-1", "e-2", "e-3", "e-4", "e-5", "e-6", "e-7", "e-8", "e-9"})

	for range 32 { // of uptime; IDs are forgotten as others are stored
		b.clock.Step(time.Minute)
		b.post("red", 1)
	}
	b.send(chunks[0])
	b.until("delivery", func() bool { return b.status("red").Counts.Delivered == 9+32+2 })
	ids := map[string][]string{}
	for key, o := range b.bucket("red").Objects() {
		if record.IsLogFileKey(key) {
			var f struct {
				Records []struct{ RequestID, EventID string }
			}
			gunzip(t, o.Body, &f)
			for _, r := range f.Records {
				ids[r.RequestID] = append(ids[r.RequestID], r.EventID)
			}
		}
	}
	for id, events := range ids {
		want := 1
		if id == "e-1" || id == "e-2" {
			want = 2
		}
		slices.Sort(events)
		if len(events) != want || len(slices.Compact(slices.Clone(events))) != 1 {
			t.Errorf("%s is there as %v", id, events)
		}
	}
}

// TestLateEvents: what arrives days late has its own time in its record, stands
// in a file of the day on which it was recorded, and in the digest of that hour,
// which says how old it is. The verifier has nothing against it.
func TestLateEvents(t *testing.T) {
	b := newBench(t)
	b.trail("red")
	b.apply()
	b.post("red", 2)
	late := b.chunk("red", 2)
	late.Data = bytes.ReplaceAll(late.Data, []byte("2026-11-21T10:20:00"), []byte("2026-11-17T03:04:05"))
	b.send(late)
	b.until("delivery", func() bool { return b.status("red").Counts.Delivered == 4 })
	b.clock.Step(time.Hour)
	b.until("a digest", func() bool { return len(b.digests("red")) == 1 })
	b.trails[0].Suspended, b.trails[0].Generation = true, 2
	b.apply()
	b.until("the last digest", func() bool { return b.status("red").Flushed })

	files := b.logFiles("red")
	if len(files) != 1 || !strings.Contains(files[0], "/2026/11/21/") {
		t.Errorf("the files are %v", files)
	}
	var f struct {
		Records []struct{ RequestID, EventTime string }
	}
	gunzip(t, b.bucket("red").Objects()[files[0]].Body, &f)
	times := map[string]string{}
	for _, r := range f.Records {
		times[r.RequestID] = r.EventTime
	}
	const now, then = "2026-11-21T10:20:00Z", "2026-11-17T03:04:05Z"
	if diff := cmp.Diff(map[string]string{"e-1": now, "e-2": now, "e-3": then, "e-4": then}, times); diff != "" {
		t.Error(diff)
	}
	listed := b.digests("red")[0].LogFiles
	if len(listed) != 1 || listed[0].OldestEventTime != then || listed[0].NewestEventTime != now {
		t.Errorf("the digest lists %+v", listed)
	}
	key, err := signing.Publish(b.key.Public(), b.clock.Now().Add(-240*time.Hour), nil)
	if err != nil {
		t.Fatal(err)
	}
	result, err := verify.Run(t.Context(), verify.Options{
		Reader: b.bucket("red"), Bucket: "red", Trail: "red.all", Keys: []record.PublishedKey{key}, Trust: b.key.Trust(),
		Layout: record.Layout{Prefix: "p", Account: "123456789012", Region: "lab-1"},
		Heads:  []record.Head{*b.status("red").Head},
	})
	if err != nil {
		t.Fatal(err)
	}
	if !result.Valid || result.LogFiles.Valid != 1 || result.Undigested != 0 {
		t.Errorf("the verifier says %s", record.MustJSON(result))
	}
}
