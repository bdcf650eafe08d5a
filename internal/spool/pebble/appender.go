package pebble

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/trail-operator/trail-operator/internal/failpoint"
	"github.com/trail-operator/trail-operator/internal/spool"
)

// group is what the appender writes with one batch.
type group struct {
	batch *pebble.Batch // nil when nothing is to be written
	bytes int64         // of the batch
	last  spool.Position
	n     uint64 // of batches, with this one
	err   error
	// stateSeq is set when the batch writes state documents; see awaitState.
	stateSeq  uint64
	hasCommit bool
	started   time.Time
	requests  []*request

	// What the batch holds and Pebble does not show yet.
	ids   map[spool.ID]spool.Position
	state map[string][]byte
}

// appendAll is the appender: it takes what is queued, writes it as one batch,
// and goes on while the batch waits for its sync.
func (s *store) appendAll() {
	defer s.workers.Done()
	defer close(s.applied)
	for r := range s.requests {
		g := &group{started: time.Now(), requests: []*request{r}}
		size := r.bytes
	queued:
		for size < maxGroup {
			select {
			case r, ok := <-s.requests:
				if !ok {
					break queued
				}
				g.requests = append(g.requests, r)
				size += r.bytes
			default:
				break queued
			}
		}
		s.apply(g, size)
		s.applied <- g
	}
}

// apply fills the batch and gives it to Pebble. Failures stand in g.err and in
// the requests.
func (s *store) apply(g *group, size int) {
	select {
	case <-s.failed:
		g.err = errFailed
		return
	default:
	}
	g.batch = s.db.NewBatchWithSize(size + 128*len(g.requests) + 128)
	s.now = max(s.now, s.uptime())
	now, free := s.now, s.free()
	for _, r := range g.requests {
		if r.err = s.stage(g, r, now, &free); r.err != nil {
			r.results = nil
		}
	}
	g.last = s.next - 1
	if g.err == nil && !g.batch.Empty() {
		if g.err = s.applyBatch(g, now); g.err == nil {
			return
		}
	}
	_ = g.batch.Close()
	g.batch = nil
	if g.err != nil {
		g.err = s.fail(g.err)
	}
}

func (s *store) applyBatch(g *group, now time.Duration) error {
	if err := s.expire(g.batch, now); err != nil {
		return err
	}
	if err := g.batch.Set(logKey, appendLog(nil, g.last, now), nil); err != nil {
		return err
	}
	s.groups++
	g.n = s.groups
	if err := g.batch.Set(groupsKey, binary.BigEndian.AppendUint64(nil, g.n), nil); err != nil {
		return err
	}
	failpoint.Hit("spool/before-commit")
	if g.hasCommit {
		failpoint.Hit("state/before-commit")
	}
	if len(g.state) > 0 {
		// Before Pebble shows the documents, so that no reader misses it.
		g.stateSeq = s.stateApplied.Add(1)
	}
	g.bytes = int64(g.batch.Len())
	s.inFlight.Add(g.bytes)
	if failpoint.Mutation("spool-fsync") {
		return s.db.Apply(g.batch, pebble.NoSync)
	}
	if err := s.db.ApplyNoSyncWait(g.batch, pebble.Sync); err != nil {
		return err
	}
	failpoint.Hit("spool/after-commit")
	if g.hasCommit {
		failpoint.Hit("state/after-commit")
	}
	if failpoint.Mutation("spool-contiguous-tail") {
		s.tail.advance(uint64(g.last))
	}
	return nil
}

// stage puts one request into the batch, or returns why it is refused; then it
// has put nothing there. free is what the volume has left, and is reduced.
func (s *store) stage(g *group, r *request, now time.Duration, free *int64) error {
	for _, op := range r.ops {
		if !op.Expect || failpoint.Mutation("state-compare") {
			continue
		}
		value, err := s.presentState(g, op.Key)
		if err != nil {
			return fmt.Errorf("spool: cannot read state %q: %w", op.Key, err)
		}
		if !bytes.Equal(value, op.Value) || (value == nil) != (op.Value == nil) {
			return fmt.Errorf("%w: %q", spool.ErrConflict, op.Key)
		}
	}
	r.results = make([]spool.Appended, len(r.chunks))
	fresh, size := s.dedupe(g, r, now)
	size += opBytes(r.ops)
	keep := s.opts.ReserveBytes
	if len(fresh) == 0 || r.own {
		// A loss has to be recorded just when the volume is full.
		keep /= stateShare
	}
	if size > 0 && *free-size < keep {
		for _, i := range fresh {
			delete(g.ids, r.chunks[i].id)
		}
		s.next -= spool.Position(len(fresh))
		s.metrics.refused.Inc()
		return spool.ErrFull
	}
	*free -= size
	g.hasCommit = g.hasCommit || r.state
	if err := s.write(g, r, now); err != nil {
		g.err = err
	}
	return nil
}

// dedupe sets the results of a request, with new positions for the chunks that
// were not seen lately. It returns the indices and the bytes of those.
func (s *store) dedupe(g *group, r *request, now time.Duration) (fresh []int, size int64) {
	for i := range r.chunks {
		id := &r.chunks[i].id
		position, found := g.ids[*id]
		if !found {
			var err error
			if position, found, err = s.lookup(id, now); err != nil {
				// The index is unreadable: rather twice than never.
				s.opts.Logger.Error(err, "spool: the index of chunk IDs cannot be read; a chunk sent twice will be stored twice")
			}
		}
		if found && !failpoint.Mutation("spool-dedupe") {
			r.results[i] = spool.Appended{Position: position, Duplicate: true}
			continue
		}
		r.results[i] = spool.Appended{Position: s.next}
		if g.ids == nil {
			g.ids = map[spool.ID]spool.Position{}
		}
		g.ids[*id] = s.next
		s.next++
		fresh = append(fresh, i)
		size += int64(chunkKeyLen + len(r.chunks[i].encoded) + seenKeyLen + seenLen + eventLen*len(r.chunks[i].events))
	}
	return fresh, size
}

// write puts the chunks of a request and its operations into the batch.
func (s *store) write(g *group, r *request, now time.Duration) error {
	for i := range r.chunks {
		if err := s.writeChunk(g, &r.chunks[i], &r.results[i], now); err != nil {
			return err
		}
	}
	for _, op := range r.ops {
		if op.Expect {
			continue
		}
		if g.state == nil {
			g.state = map[string][]byte{}
		}
		g.state[op.Key] = op.Value
		var err error
		if op.Value == nil {
			err = g.batch.Delete(stateKey(op.Key), nil)
		} else {
			err = g.batch.Set(stateKey(op.Key), op.Value, nil)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// writeChunk stores a chunk unless it is a duplicate, and that its ID was seen.
func (s *store) writeChunk(g *group, c *stored, result *spool.Appended, now time.Duration) error {
	generation := s.generation(now)
	s.filter.add(generation, &c.id)
	key := appendSeenKey(make([]byte, 0, seenKeyLen), generation, &c.id)
	if err := g.batch.Set(key, appendSeen(nil, seen{result.Position, now}), nil); err != nil {
		return err
	}
	if err := noteEvents(g.batch, c.events); err != nil {
		return err
	}
	if result.Duplicate {
		s.metrics.duplicates.Inc()
		if result.Position <= s.trimmed() {
			result.Position = 0
		}
		return nil
	}
	s.metrics.appended.Inc()
	s.metrics.appendedBytes.Add(float64(len(c.encoded)))
	op := g.batch.SetDeferred(chunkKeyLen, len(c.encoded))
	appendChunkKey(op.Key[:0], result.Position)
	copy(op.Value, c.encoded)
	return op.Finish()
}

func opBytes(ops []spool.Op) (n int64) {
	for _, op := range ops {
		n += int64(len(op.Key) + len(op.Value))
	}
	return n
}

var errFailed = errors.New("spool: an earlier write did not reach the volume; restart the receiver when the volume is well again")

// answerAll waits for the syncs, in order, and answers. Only here the tail moves.
func (s *store) answerAll() {
	defer s.workers.Done()
	for g := range s.applied {
		if g.batch != nil {
			s.finish(g)
		}
		for _, r := range g.requests {
			if g.err != nil {
				r.results, r.err = nil, g.err
			}
			close(r.done)
		}
	}
}

// finish waits until a batch is durable.
func (s *store) finish(g *group) {
	if !failpoint.Mutation("spool-fsync") {
		g.err = g.batch.SyncWait()
	}
	s.inFlight.Add(-g.bytes)
	if g.err != nil {
		g.err = s.fail(g.err)
		return
	}
	_ = g.batch.Close()
	s.attach(g)
	failpoint.Hit("spool/before-tail")
	if !failpoint.Mutation("spool-note") {
		s.note.write(s.acknowledged(g.n, g.last))
	}
	s.tail.advance(uint64(g.last))
	s.durable.advance(g.stateSeq)
	s.metrics.commit.Observe(time.Since(g.started).Seconds())
	s.metrics.group.Observe(float64(len(g.requests)))
}

// attach keeps what is attached to the chunks of a group.
func (s *store) attach(g *group) {
	for _, r := range g.requests {
		for i := range r.chunks {
			if c := r.chunks[i].head; c != nil && r.err == nil && !r.results[i].Duplicate {
				s.attached.put(r.results[i].Position, c)
			}
		}
	}
}

// fail ends all writing: whether the group is on the disk is unknown, and so
// is everything behind it.
func (s *store) fail(err error) error {
	s.failOnce.Do(func() { close(s.failed) })
	s.opts.Logger.Error(err, "spool: a write did not reach the volume; nothing more is accepted")
	return errors.Join(errFailed, err)
}
