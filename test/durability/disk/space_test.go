package disk

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// outcomes counts what became of processes, for the log of a test.
type outcomes struct {
	mu sync.Mutex
	n  map[string]int
}

func (o *outcomes) count(what string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.n == nil {
		o.n = map[string]int{}
	}
	o.n[what]++
}

// TestFullAtEachStep takes all space away from the n-th write, create, sync or
// rename of a receiver on, also while it starts, for every n; and gives it back.
// Nobody looks at the reserve here, as when somebody else fills the volume.
func TestFullAtEachStep(t *testing.T) {
	t.Parallel()
	var seen outcomes
	everyNth(t, 13, 260, func(seed uint64, n int64) {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			w := newWorld(t, seed)
			w.before()
			w.newLife()
			w.failFrom(n, syscall.ENOSPC)
			w.liveOn(&seen)
		})
	})
	t.Logf("%v", seen.n)
}

// TestErrorAtEachStep lets the n-th operation fail once with an input/output
// error: a read, a write, or a sync, whose file then never reaches the disk.
func TestErrorAtEachStep(t *testing.T) {
	t.Parallel()
	for kind, most := range map[stepKind]int64{opRead: 60, opSync: 60, opSyncDir: 40, opWrite: 120, opCreate: 30, opRename: 12, opRemove: 20} {
		t.Run(kind.String(), func(t *testing.T) {
			t.Parallel()
			var seen outcomes
			everyNth(t, 7, most, func(seed uint64, n int64) {
				t.Run(fmt.Sprint(n), func(t *testing.T) {
					w := newWorld(t, seed)
					w.before()
					w.newLife()
					var count atomic.Int64
					w.fail(syscall.EIO, func(s step) bool { return s.kind == kind && count.Add(1) == n })
					w.liveOn(&seen)
				})
			})
			t.Logf("%v", seen.n)
		})
	}
}

// before fills volume and bucket a little, and leaves some of it undelivered.
func (w *world) before() {
	w.start()
	w.live(12)
	w.kill(100)
}

// failFrom lets every operation that takes space fail, from the n-th on.
func (w *world) failFrom(n int64, err error) {
	var count atomic.Int64
	w.fail(err, func(s step) bool {
		switch s.kind {
		case opCreate, opWrite, opSync, opSyncDir, opRename:
			return count.Add(1) >= n
		}
		return false
	})
}

// fail lets operations of the present life fail.
//
// Once Pebble has begun to flush what it found in its logs, an Open that fails
// leaves goroutines behind that use what Open has closed. The process has
// ended by then; here it ends just before.
func (w *world) fail(err error, wanted func(step) bool) {
	l := w.life
	var flushes atomic.Bool
	l.volume.setFault(func(s step) error {
		if strings.HasSuffix(s.path, ".sst") && s.kind == opCreate {
			flushes.Store(true)
		}
		if l.cut.Load() {
			select {} // the process is gone
		}
		if !wanted(s) {
			return nil
		}
		w.logs.logger().Info("fault", "kind", s.kind.String(), "path", s.path)
		if flushes.Load() && !l.opened.Load() {
			why := fmt.Sprintf("cannot open: %s %s", s.kind, s.path)
			l.ended.Store(&why)
			l.die()
			select {}
		}
		return err
	})
}

// liveOn starts the present life on a volume that fails, lives on it, mends the
// volume, and checks the promise. What kubelets do is done: a process that ends,
// or says that it is not well, is started again.
func (w *world) liveOn(seen *outcomes) {
	w.t.Helper()
	l := w.life
	err := w.open(l)
	switch {
	case err != nil:
		seen.count("did not start")
		w.kill(100)
	case w.isDead():
		seen.count("ended while it started")
		w.kill(100)
	default:
		if err := w.tryApply(); err != nil {
			w.generation++ // it is tried again with the next one
		}
		w.live(16)
	}
	if l.ended.Load() != nil {
		if err == nil {
			seen.count("ended")
		}
		w.kill(w.r.IntN(2) * 100)
	} else if !w.isDead() {
		l.volume.setFault(nil)
		if w.healthy() {
			seen.count("went on")
			w.apply()
		} else {
			seen.count("was not healthy")
			w.kill(w.r.IntN(2) * 100)
		}
	}
	if w.isDead() {
		w.start()
	}
	for range 3 {
		w.step(10 * time.Second)
	}
	w.promise()
}
