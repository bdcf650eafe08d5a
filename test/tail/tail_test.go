package tail

import (
	"os"
	"testing"
	"time"
)

// absence is how long the receiver is away: TRAIL_ABSENCE, 10m for the proof.
func absence(t *testing.T) time.Duration {
	t.Helper()
	s := os.Getenv("TRAIL_ABSENCE")
	if s == "" {
		return 15 * time.Second
	}
	d, err := time.ParseDuration(s)
	if err != nil {
		t.Fatalf("TRAIL_ABSENCE: %v", err)
	}
	return d
}

// TestAbsence: the receiver is away, for much longer than the webhook of the API
// server can bear when TRAIL_ABSENCE says so, and the tail is killed meanwhile.
// Every call is recorded, and none twice although both post.
func TestAbsence(t *testing.T) {
	w := newWorld(t, true)
	away := absence(t)
	stop := w.load(max(5*time.Millisecond, away/30_000))
	w.eventually("the tail to send", func() bool { return w.metric("trail_tail_lines_total") > 100 })
	w.receiver.Kill()
	time.Sleep(away / 3)
	w.tail.Kill()
	time.Sleep(away / 3)
	w.must(w.tail.Start())
	time.Sleep(away / 3)
	w.startReceiver()
	w.eventually("the tail to send again", func() bool { return w.metric("trail_tail_lines_total") > 100 })
	w.tail.Kill()
	w.must(w.tail.Start())
	calls := stop()
	w.once("load", calls)
}

// TestAlone: without the webhook nothing is lost either, whoever is killed.
func TestAlone(t *testing.T) {
	w := newWorld(t, false)
	stop := w.load(time.Millisecond)
	for i := range 4 {
		w.eventually("the tail to send", func() bool { return w.metric("trail_tail_lines_total") > 200 })
		w.tail.Kill()
		if i%2 == 0 {
			w.receiver.Kill()
			w.startReceiver()
		}
		w.must(w.tail.Start())
	}
	w.once("load", stop())
}
