package durability

import (
	"testing"
	"time"
)

// TestTerminate ends the receiver with SIGTERM under load, as a kubelet does
// when the pod is deleted: it ends by itself, with exit code 0, and what it has
// acknowledged is delivered after the next start.
func TestTerminate(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "", nil)
	w.inForce()
	const times = 4
	over := make(chan struct{})
	wait := w.startLoad(func() bool { return !running(over) || t.Failed() }, smallBody)
	for range times {
		w.acknowledged(w.acknowledged(0) + 100)
		begun := time.Now()
		w.terminate()
		if took := time.Since(begun); took > 15*time.Second {
			t.Errorf("it took %s to end", took)
		}
		w.inForce()
	}
	close(over)
	wait()
	if n := w.deaths(); n != 0 {
		t.Errorf("%d receivers had to be killed", n)
	}
	w.promise()
}

// acknowledged waits until so many events are, and returns how many are.
func (w *world) acknowledged(want int) int {
	w.t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		w.ledger.mu.Lock()
		n := len(w.ledger.acked)
		w.ledger.mu.Unlock()
		if n >= want {
			return n
		}
		if w.t.Failed() || time.Now().After(deadline) {
			w.t.Fatalf("%d events are acknowledged, want %d\n%s", n, want, w.log())
		}
	}
}
