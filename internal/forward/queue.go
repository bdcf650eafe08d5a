package forward

import (
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// Reasons for which a body is dropped, as the metrics show them.
const (
	reasonQueue    = "queue_full" // for a newer one
	reasonTooLarge = "too_large"  // larger than the queue
	reasonVolume   = "volume"     // the volume is short of space, or fails
	reasonRefused  = "refused"    // the second receiver does not want it
	reasonFailed   = "failed"     // it answered with an error too often
	reasonRestart  = "restart"    // it was waiting when the process ended
	reasonDisabled = "disabled"   // nothing is forwarded any more
)

const (
	// minCost is what a body takes of the queue at least: it bounds the files.
	minCost = 16 << 10

	dueSuffix, partSuffix = ".due", ".part"

	// logInterval is how often drops for one reason are logged.
	logInterval = time.Minute
)

func cost(size int64) int64 { return max(size, minCost) }

func (f *Forwarder) path(file uint64, suffix string) string {
	return filepath.Join(f.o.Dir, fmt.Sprintf("%016x%s", file, suffix))
}

// grow takes n more bytes of the queue for a body that has taken some already,
// and drops the oldest bodies that wait for that. It returns why there is no room.
func (f *Forwarder) grow(n, taken int64) (reason string) {
	for {
		switch reason, room := f.tryGrow(n, taken, f.tight()); {
		case room:
			return ""
		case reason != "":
			return reason
		}
	}
}

// tryGrow grows when there is room, or drops a body to make some.
func (f *Forwarder) tryGrow(n, taken int64, tight bool) (reason string, room bool) {
	f.mu.Lock()
	defer f.unlock()
	switch {
	case f.target == nil:
		return reasonDisabled, false
	case taken+n > f.target.config.QueueBytes:
		return reasonTooLarge, false
	case f.used+n > f.target.config.QueueBytes:
		reason = reasonQueue
	case tight:
		reason = reasonVolume
	default:
		f.used += n
		return "", true
	}
	if f.dropOldest(reason) {
		return "", false
	}
	return reason, false
}

// tight reports whether the volume needs its space for events.
func (f *Forwarder) tight() bool {
	if f.o.FreeBytes == nil {
		return false
	}
	free, err := f.o.FreeBytes()
	return err != nil || free < f.o.KeepFree
}

// dropOldest drops the oldest body that is not on its way. The caller holds mu.
func (f *Forwarder) dropOldest(reason string) bool {
	for i, e := range f.queue[:min(len(f.queue), 2)] {
		if !e.sending {
			f.remove(i)
			f.count(reason, 1)
			return true
		}
	}
	return false
}

// drop drops the n oldest bodies. The caller holds mu.
func (f *Forwarder) drop(reason string, n int) {
	for range n {
		f.remove(0)
	}
	f.count(reason, n)
}

// remove takes one of the first bodies out of the queue. The caller holds mu.
func (f *Forwarder) remove(i int) {
	e := f.queue[i]
	copy(f.queue[1:i+1], f.queue[:i])
	f.queue[0] = nil
	f.queue = f.queue[1:]
	f.used -= cost(e.size)
	f.removed = append(f.removed, e.file)
}

// unlock ends what mu guards, and then deletes the files that were removed: that
// may take long when they are many.
func (f *Forwarder) unlock() {
	removed := f.removed
	f.removed = nil
	f.mu.Unlock()
	for _, file := range removed {
		// What cannot be deleted now is deleted at the next start.
		_ = os.Remove(f.path(file, dueSuffix))
	}
}

// count counts bodies that are dropped, and logs that from time to time. Once
// the Forwarder is in use the caller holds mu.
func (f *Forwarder) count(reason string, n int) {
	if n == 0 {
		return
	}
	f.dropped += int64(n)
	f.metrics.dropped.WithLabelValues(reason).Add(float64(n))
	now := f.o.Clock.Now()
	if last, ok := f.quiet[reason]; ok && now.Sub(last) < logInterval {
		return
	}
	f.quiet[reason] = now
	f.o.Log.Info("POSTs are not forwarded to the second receiver; their events are recorded all the same", "reason", reason, "posts", n, "droppedSinceStart", f.dropped)
}
