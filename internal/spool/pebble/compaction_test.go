package pebble

import (
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/trail-operator/trail-operator/internal/spool"
)

// waitingDB always has a compaction to run.
type waitingDB struct {
	granted chan pebble.CompactionGrantHandle
}

func (db *waitingDB) GetAllowedWithoutPermission() int { return 1 }

func (db *waitingDB) GetWaitingCompaction() (bool, pebble.WaitingCompaction) {
	return true, pebble.WaitingCompaction{}
}

func (db *waitingDB) Schedule(h pebble.CompactionGrantHandle) bool {
	select {
	case db.granted <- h:
		return true
	default:
		return false
	}
}

func TestScheduler(t *testing.T) {
	db := &waitingDB{granted: make(chan pebble.CompactionGrantHandle, 1)}
	s := newScheduler()
	s.Register(1, db)
	h := <-db.granted
	if ok, _ := s.TrySchedule(); ok {
		t.Error("two compactions at once")
	}
	h.Done()
	(<-db.granted).Done() // the next one follows at once
	h = <-db.granted
	s.failed.Store(true)
	h.Done()
	if ok, _ := s.TrySchedule(); ok {
		t.Error("no pause after a failure")
	}
	s.mu.Lock()
	if pause := time.Until(s.until); pause < compactionPause/2 || pause > compactionPause {
		t.Errorf("the pause lasts %v", pause)
	}
	s.until = time.Now()
	s.mu.Unlock()
	s.UpdateGetAllowedWithoutPermission()
	(<-db.granted).Done() // goes on after the pause
	s.Unregister()
	if ok, _ := s.TrySchedule(); ok {
		t.Error("a compaction after the end")
	}
}

// TestCompaction: many small flushes are compacted, so that tables do not pile up.
func TestCompaction(t *testing.T) {
	s := openStore(t, t.TempDir(), Options{})
	for n := range byte(40) {
		if _, err := s.Append(t.Context(), []spool.Chunk{testChunk(n)}, spool.Set("a", []byte{n})); err != nil {
			t.Fatal(err)
		}
		if err := s.db.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "few tables are left", func() bool { return s.db.Metrics().Total().TablesCount < 30 })
}
