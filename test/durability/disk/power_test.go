package disk

import (
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// TestPowerLossAtEachStep cuts the power before the n-th sync, rename, create or
// removal on the volume that spool and outbox share, for every n; and, in half
// of the runs, once more while the receiver recovers.
func TestPowerLossAtEachStep(t *testing.T) {
	t.Parallel()
	everyNth(t, 10, 200, func(seed uint64, n int64) {
		t.Run(fmt.Sprint(n), func(t *testing.T) { powerLossAt(t, seed, n) })
	})
}

// cutAt cuts the power before the n-th operation of the present life that
// changes names or what is durable.
func (w *world) cutAt(n int64) {
	var count atomic.Int64
	l, percent, r := w.life, w.r.IntN(3)*50, rand.New(rand.NewPCG(w.r.Uint64(), 1))
	l.volume.setFault(func(s step) error {
		if l.cut.Load() {
			select {} // the process is gone
		}
		if !s.kind.names() || count.Add(1) != n {
			return nil
		}
		l.cut.Store(true)
		w.mem = l.volume.mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: r})
		l.die()
		select {}
	})
}

func powerLossAt(t *testing.T, seed uint64, n int64) {
	w := newWorld(t, seed)
	for _, at := range []int64{n, 1 + w.r.Int64N(60)} {
		w.newLife()
		w.cutAt(at)
		if err := w.open(w.life); err != nil {
			t.Fatal(err)
		}
		if w.isDead() {
			continue
		}
		w.apply()
		w.live(30)
		if !w.isDead() {
			w.kill(w.r.IntN(101))
		}
		if w.r.IntN(2) == 0 {
			break
		}
	}
	w.start()
	w.promise()
}

// live does what a receiver meets, until it dies.
func (w *world) live(actions int) {
	for range actions {
		if w.isDead() {
			return
		}
		switch w.r.IntN(8) {
		case 0, 1, 2:
			w.send("red", 1+w.r.IntN(6))
		case 3:
			w.again()
		case 4:
			w.unanswered = nil // an API server gives up long before
			w.step(time.Hour)
		case 5: // the trail changes
			w.trails[0].Generation++
			w.trails[0].MaxFileAgeSeconds = 30 + w.r.Int32N(3)*30
			w.generation++
			_ = w.tryApply() // again with the next one
		default:
			for range 10 {
				w.step(time.Duration(w.r.IntN(8000)) * time.Millisecond)
			}
		}
	}
}
