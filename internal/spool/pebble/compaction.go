package pebble

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"
)

// compactionPause follows a compaction that has failed. Pebble itself would try
// again at once, and for ever when a table is corrupt.
const compactionPause = 30 * time.Second

// scheduler allows one compaction at a time. Deleting whole tables needs no
// permission, so that trimming goes on during a pause.
type scheduler struct {
	db     pebble.DBForCompaction
	failed atomic.Bool // since the last compaction has ended
	wake   chan struct{}
	stop   chan struct{}
	worker sync.WaitGroup

	mu      sync.Mutex // taken after Pebble's own locks
	running bool
	stopped bool
	until   time.Time // of the pause
}

func newScheduler() *scheduler {
	return &scheduler{wake: make(chan struct{}, 1), stop: make(chan struct{})}
}

func (s *scheduler) Register(_ int, db pebble.DBForCompaction) {
	s.db = db
	s.worker.Go(s.grant)
}

func (s *scheduler) Unregister() {
	s.mu.Lock()
	s.stopped = true
	s.mu.Unlock()
	close(s.stop)
	s.worker.Wait()
}

// take reserves the one place, or tells how long the pause will last.
func (s *scheduler) take() (bool, time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running || s.stopped {
		return false, 0
	}
	if pause := time.Until(s.until); pause > 0 {
		return false, pause
	}
	s.running = true
	return true, 0
}

func (s *scheduler) release() {
	s.mu.Lock()
	s.running = false
	s.mu.Unlock()
}

func (s *scheduler) TrySchedule() (bool, pebble.CompactionGrantHandle) {
	ok, _ := s.take()
	if !ok {
		s.UpdateGetAllowedWithoutPermission()
		return false, nil
	}
	return true, s
}

// UpdateGetAllowedWithoutPermission has the granter look for waiting compactions.
func (s *scheduler) UpdateGetAllowedWithoutPermission() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// grant starts compactions that Pebble could not start when it wanted to.
func (s *scheduler) grant() {
	for {
		var pause <-chan time.Time
		ok, wait := s.take()
		if ok {
			if waiting, _ := s.db.GetWaitingCompaction(); !waiting || !s.db.Schedule(s) {
				s.release()
			}
		} else if wait > 0 {
			pause = time.After(wait)
		}
		select {
		case <-pause:
		case <-s.wake:
		case <-s.stop:
			return
		}
	}
}

// Done ends a compaction.
func (s *scheduler) Done() {
	s.mu.Lock()
	s.running = false
	if s.failed.Swap(false) {
		s.until = time.Now().Add(compactionPause)
	}
	s.mu.Unlock()
	s.UpdateGetAllowedWithoutPermission()
}

func (s *scheduler) Started() {}

func (s *scheduler) MeasureCPU(pebble.CompactionGoroutineKind) {}

func (s *scheduler) CumulativeStats(pebble.CompactionGrantHandleStats) {}
