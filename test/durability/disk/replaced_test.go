package disk

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/trail-operator/trail-operator/internal/record"
)

// names counts the records of a trail by the name of their event.
func (w *world) names(namespace string) map[string]int {
	w.t.Helper()
	n := map[string]int{}
	for _, f := range contents[logFile](w, namespace, record.IsLogFileKey) {
		for _, r := range f.Records {
			n[r.EventName]++
		}
	}
	return n
}

// TestNewVolume gives the receiver an empty volume, or one on which only the
// spool is new. What was on the old one is gone; the bucket is as it was, the
// new chain of digests names the end of the old one, and positions and cursors
// of the old spool mean nothing.
func TestNewVolume(t *testing.T) {
	t.Parallel()
	for name, outboxStays := range map[string]bool{"empty": false, "the outbox is still there": true} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, 1)
			w.start()
			w.send("red", 5)
			w.until("a delivery", func() bool { return w.status("red").Counts.Delivered == 5 })
			w.step(time.Hour)
			w.until("a digest", func() bool { return w.status("red").Head != nil })
			uuid, head := w.pipeline.Status().Spool.UUID, *w.status("red").Head
			w.reachable(false)
			w.send("red", 3)
			w.until("a file", func() bool { return w.status("red").PendingFiles == 1 })
			w.kill(100)
			before := w.bucket.Objects()

			var err error
			if outboxStays {
				err = w.mem.RemoveAll(dataDir + "/spool")
			} else {
				w.mem = vfs.NewCrashableMem()
				err = w.mem.MkdirAll(dataDir, 0o700)
			}
			if err != nil {
				t.Fatal(err)
			}
			w.trails[0].LastHead = &head
			w.reachable(true)
			w.start()
			if w.pipeline.Status().Spool.UUID == uuid {
				t.Error("the new spool has the UUID of the old one")
			}
			w.send("red", 4)
			w.until("a delivery", func() bool { return w.status("red").Counts.Delivered >= 4 })
			w.flush()

			for key, o := range before {
				if !bytes.Equal(w.bucket.Objects()[key].Body, o.Body) {
					t.Errorf("%s was changed", key)
				}
			}
			times := w.delivered("red")
			if lost := w.missing(times); !slices.Equal(lost, []string{"e-6", "e-7", "e-8"}) {
				t.Errorf("missing are %v, want the three events of the old volume", lost)
			}
			for id, n := range times {
				if id != "" && n > 1 {
					t.Errorf("%s was delivered %d times", id, n)
				}
			}
			causes := w.losses("red")
			if told := len(causes) == 1 && strings.Contains(causes[0], "SpoolGone"); told != outboxStays {
				t.Errorf("recorded are %v", causes)
			}
			linked := false
			for _, d := range contents[record.Digest](w, "red", isDigest) {
				linked = linked || d.PreviousChain != nil && d.PreviousChain.Object == head.Object && d.PreviousChain.Signature == head.Signature
			}
			if !linked {
				t.Error("no digest names the end of the chain before")
			}
			if result := w.verify("red"); !result.Valid {
				t.Errorf("the trail is not valid: %s", record.MustJSON(result))
			}
		})
	}
}

// TestOldVolume gives the receiver its volume as it was some hours ago. What it
// then sends again is in the bucket already: nothing there is overwritten, what
// has the same key is not doubled, that another digest stands in place of the
// next one is recorded, and the receiver goes on.
func TestOldVolume(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.start()
	w.send("red", 5)
	w.until("a delivery", func() bool { return w.status("red").Counts.Delivered == 5 })
	w.reachable(false)
	w.send("red", 3)
	w.until("a file", func() bool { return w.status("red").PendingFiles == 1 })
	snapshot := w.mem.CrashClone(vfs.CrashCloneCfg{})
	w.reachable(true)
	w.send("red", 4)
	w.until("a delivery", func() bool { return w.status("red").Counts.Delivered == 12 })
	w.step(time.Hour)
	w.until("a digest", func() bool { return w.status("red").Head != nil })
	w.kill(100)
	before := w.bucket.Objects()

	w.mem = snapshot
	w.start()
	w.send("red", 2)
	w.until("a delivery", func() bool { return w.status("red").Counts.Delivered >= 10 })
	w.step(time.Hour)
	w.until("the next digest", func() bool {
		h := w.status("red").Head
		return h != nil && before[h.Object].Body == nil
	})
	w.step(time.Minute)
	w.until("the record", func() bool { return w.names("red")[record.EventObjectConflict] > 0 })
	w.flush()

	for key, o := range before {
		if !bytes.Equal(w.bucket.Objects()[key].Body, o.Body) {
			t.Errorf("%s was changed", key)
		}
	}
	times := w.delivered("red")
	if lost := w.missing(times); len(lost) != 0 {
		t.Errorf("missing are %v", lost)
	}
	for id, n := range times {
		if id != "" && n > 1 {
			t.Errorf("%s was delivered %d times", id, n)
		}
	}
}
