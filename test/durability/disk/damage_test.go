package disk

import (
	"fmt"
	"path"
	"slices"
	"strings"
	"testing"
	"time"
)

// kinds are the files on the volume, by what begins or ends their names.
var kinds = map[string]func(name string) bool{
	"log":             func(name string) bool { return strings.HasSuffix(name, ".log") },
	"table":           func(name string) bool { return strings.HasSuffix(name, ".sst") },
	"manifest":        func(name string) bool { return strings.HasPrefix(name, "MANIFEST-") },
	"manifest marker": func(name string) bool { return strings.HasPrefix(name, "marker.manifest.") },
	"format marker":   func(name string) bool { return strings.HasPrefix(name, "marker.format-version.") },
	"options":         func(name string) bool { return strings.HasPrefix(name, "OPTIONS-") },
	"note":            func(name string) bool { return name == "acknowledged" },
	"outbox":          func(name string) bool { return strings.HasSuffix(name, ".json.gz") },
}

// damages are what a disk, or a hand, does to a file. They return nil for a file
// that is gone.
var damages = map[string]func(w *world, b []byte) []byte{
	"flipped": func(w *world, b []byte) []byte {
		for range 1 + w.r.IntN(4) {
			if len(b) > 0 {
				b[w.r.IntN(len(b))] ^= 1 << w.r.IntN(8)
			}
		}
		return b
	},
	"cut": func(w *world, b []byte) []byte {
		return b[:w.r.IntN(len(b)+1)]
	},
	"page zeroed": func(w *world, b []byte) []byte {
		if len(b) > 0 {
			at := w.r.IntN(len(b)) &^ 4095
			clear(b[at:min(len(b), at+4096)])
		}
		return b
	},
	"gone": func(*world, []byte) []byte { return nil },
}

// TestDamage does each damage to each kind of file: the receiver starts, once,
// and delivers; nothing is missing, or there twice, without a record that tells
// of a loss; and what is damaged is kept.
func TestDamage(t *testing.T) {
	t.Parallel()
	for kind, is := range kinds {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			for name, damage := range damages {
				seeds := uint64(1)
				for end, seed := time.Now().Add(soak()/8), uint64(0); (seed < seeds || time.Now().Before(end)) && !t.Failed(); seed++ {
					t.Run(fmt.Sprintf("%s/%d", name, seed), func(t *testing.T) { damaged(t, seed, is, damage) })
				}
			}
		})
	}
}

func damaged(t *testing.T, seed uint64, is func(string) bool, damage func(*world, []byte) []byte) {
	w := newWorld(t, seed)
	w.start()
	for range 3 {
		w.send("red", 1+w.r.IntN(5))
		w.step(time.Second)
	}
	w.until("a delivery", func() bool { return w.status("red").Counts.Delivered > 0 })
	w.kill(100)
	w.start() // which writes tables
	w.reachable(false)
	for range 8 {
		w.send("red", 1+w.r.IntN(5))
		w.step(time.Duration(w.r.IntN(40)) * time.Second)
	}
	w.until("files that wait", func() bool { return w.status("red").PendingFiles > 0 })
	w.send("red", 3)
	if w.r.IntN(3) == 0 {
		w.stop()
	} else {
		w.kill(100)
	}

	var found []string
	for _, name := range walk(t, w.mem, dataDir) {
		if is(path.Base(name)) {
			found = append(found, name)
		}
	}
	if len(found) == 0 {
		t.Skip("there is no such file")
	}
	slices.Sort(found)
	victim := found[w.r.IntN(len(found))]
	before := readFile(t, w.mem, victim)
	after := damage(w, slices.Clone(before))
	if after == nil {
		if err := w.mem.Remove(victim); err != nil {
			t.Fatal(err)
		}
	} else {
		writeFile(t, w.mem, victim, after)
	}
	w.logs.logger().Info("damaged", "file", victim, "size", len(before), "left", len(after))

	w.start()
	w.reachable(true)
	w.send("red", 2)
	w.resend()
	w.until("the rest", func() bool {
		s := w.status("red")
		return s.PendingFiles == 0 && s.Counts.Pending == 0 && s.Counts.Delivered > 0
	})
	w.step(time.Minute)
	w.until("the records of losses", func() bool { s := w.status("red"); return s.PendingFiles == 0 && s.Counts.Pending == 0 })
	w.flush()
	times := w.delivered("red")
	delete(times, "") // events of our own
	missing, twice := w.missing(times), 0
	for _, n := range times {
		if n > 1 {
			twice++
		}
	}
	causes := w.losses("red")
	if (len(missing) > 0 || twice > 0) && len(causes) == 0 {
		t.Errorf("of %d acknowledged events %d are missing and %d there twice, and no record tells", len(w.acked), len(missing), twice)
	}
	if len(missing) > 0 && w.pipeline.Status().Spool.Damaged == 0 && w.status("red").Counts.Quarantined == 0 {
		t.Error("the status does not tell")
	}
	if !slices.Equal(before, after) && len(missing) > 0 && after != nil {
		w.kept(after)
	}
	t.Logf("%s: of %d acknowledged events %d are missing and %d there twice; recorded: %s", victim, len(w.acked), len(missing), twice, strings.Join(causes, " "))
}

// kept requires that a file with this content is still somewhere.
func (w *world) kept(content []byte) {
	w.t.Helper()
	for _, name := range walk(w.t, w.mem, dataDir) {
		if slices.Equal(readFile(w.t, w.mem, name), content) {
			return
		}
	}
	w.t.Error("the damaged file is not kept")
}
