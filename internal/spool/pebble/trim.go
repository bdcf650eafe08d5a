package pebble

import (
	"context"
	"encoding/binary"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/trail-operator/trail-operator/internal/spool"
)

// trimmer deletes what Trim has allowed, in strides.
type trimmer struct {
	upTo    atomic.Uint64
	wake    chan struct{}
	corrupt atomic.Bool    // a corrupt table was met since the last excision
	deleted spool.Position // owned by trimAll
}

// Trim takes effect for readers at once. The deletion follows, and is not
// synced: when it is lost, the chunks are trimmed again.
func (s *store) Trim(upTo spool.Position) error {
	if !s.enter() {
		return spool.ErrClosed
	}
	defer s.users.Done()
	if tail := s.Tail(); upTo > tail {
		return fmt.Errorf("spool: cannot trim up to position %d, the tail is at %d", upTo, tail)
	}
	for {
		old := s.trim.upTo.Load()
		if uint64(upTo) <= old {
			return nil
		}
		if s.trim.upTo.CompareAndSwap(old, uint64(upTo)) {
			break
		}
	}
	s.attached.release(upTo)
	select {
	case s.trim.wake <- struct{}{}:
	default:
	}
	return nil
}

func (s *store) trimmed() spool.Position { return spool.Position(s.trim.upTo.Load()) }

// trimAll deletes until the spool is closed, at most once each trimInterval.
func (s *store) trimAll() {
	defer s.workers.Done()
	pause := time.NewTimer(0)
	defer pause.Stop()
	for {
		select {
		case <-s.trim.wake:
		case <-s.closing:
			s.delete()
			return
		}
		s.delete()
		pause.Reset(trimInterval)
		select {
		case <-pause.C:
		case <-s.closing:
		}
	}
}

// delete removes the trimmed chunks with one range tombstone.
func (s *store) delete() {
	upTo := s.trimmed()
	if upTo <= s.trim.deleted {
		return
	}
	batch := s.db.NewBatch()
	defer func() { _ = batch.Close() }()
	err := batch.DeleteRange(chunkKey(s.trim.deleted+1), chunkKey(upTo+1), nil)
	if err == nil {
		err = batch.Set(trimmedKey, binary.BigEndian.AppendUint64(nil, uint64(upTo)), nil)
	}
	if err == nil {
		err = s.db.Apply(batch, pebble.NoSync)
	}
	if err != nil {
		s.opts.Logger.Error(err, "spool: cannot trim; the next attempt follows")
		return
	}
	s.trim.deleted = upTo
	if s.trim.corrupt.Swap(false) {
		s.excise(upTo)
	}
}

// excise drops tables of trimmed chunks without reading them. Pebble cannot
// compact a corrupt table, and a tombstone alone takes effect by compaction.
func (s *store) excise(upTo spool.Position) {
	err := s.db.Excise(context.Background(), pebble.KeyRange{Start: chunkKey(0), End: chunkKey(upTo + 1)})
	if err != nil {
		s.trim.corrupt.Store(true) // again with the next trim
		s.opts.Logger.Error(err, "spool: cannot drop a corrupt table whose chunks are trimmed; the next attempt follows")
	}
}
