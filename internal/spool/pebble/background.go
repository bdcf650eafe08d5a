package pebble

import (
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

const (
	// noSpacePause follows a flush or compaction that found no space. Pebble
	// itself would try again at once.
	noSpacePause = 100 * time.Millisecond
	// backgroundLogInterval is the least time between two log lines about such failures.
	backgroundLogInterval = 10 * time.Second
)

// backgroundError is told by Pebble that a flush or a compaction has failed.
// Pebble tries again; nothing is lost. It holds its main lock, so that the
// pause also holds up writers, who would find no space either.
func (s *store) backgroundError(err error) {
	s.compactions.failed.Store(true)
	s.metrics.backgroundErrors.Inc()
	if s.backgroundLog.allow(time.Now()) {
		s.opts.Logger.Error(err, "spool: a flush or a compaction has failed; it is tried again")
	}
	if vfs.IsNoSpaceError(err) {
		select {
		case <-time.After(noSpacePause):
		case <-s.closing:
		}
	}
}

// logLimit lets one line through in each interval.
type logLimit struct{ next atomic.Int64 }

func (l *logLimit) allow(now time.Time) bool {
	next := l.next.Load()
	return now.UnixNano() >= next && l.next.CompareAndSwap(next, now.Add(backgroundLogInterval).UnixNano())
}
