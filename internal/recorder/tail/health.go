package tail

import (
	"net/http"
	"sync"
	"time"
)

// complainTime is how often the log says that something still does not work.
const complainTime = time.Minute

// health is what the probes are told.
type health struct {
	mu         sync.Mutex
	trouble    string
	complained time.Time
}

// set notes what does not work, empty if everything does, and returns whether
// that is to be logged: when it is new, and once in complainTime.
func (h *health) set(trouble string, now time.Time) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if trouble == h.trouble && (trouble == "" || now.Sub(h.complained) < complainTime) {
		return false
	}
	h.trouble, h.complained = trouble, now
	return true
}

// Trouble says what keeps events from being sent; empty if nothing does.
func (t *Tail) Trouble() string {
	t.health.mu.Lock()
	defer t.health.mu.Unlock()
	return t.health.trouble
}

func (t *Tail) fail(err error) {
	if t.health.set(err.Error(), t.o.Clock.Now()) {
		t.o.Log.Error(err, "Events cannot be sent; they wait in the audit log")
	}
}

func (t *Tail) works() {
	if t.health.set("", t.o.Clock.Now()) {
		t.o.Log.Info("Events can be sent")
	}
}

// ServeHealth answers 200 as long as the program runs: a receiver that is away
// is no reason to start it anew.
func (t *Tail) ServeHealth(w http.ResponseWriter, _ *http.Request) {
	_, _ = w.Write([]byte("ok\n")) // a probe that has left needs no answer
}

// ServeReady answers 503 while events cannot be sent, and says why.
func (t *Tail) ServeReady(w http.ResponseWriter, r *http.Request) {
	if trouble := t.Trouble(); trouble != "" {
		http.Error(w, trouble, http.StatusServiceUnavailable)
		return
	}
	t.ServeHealth(w, r)
}
