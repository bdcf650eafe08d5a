package pebble

import (
	"context"
	"errors"
	"sync"

	"github.com/trail-operator/trail-operator/internal/spool"
)

// request is one call of Append or Commit on its way through the appender.
type request struct {
	chunks  []stored
	ops     []spool.Op
	state   bool // a Commit
	own     bool // all chunks are of KindOwn
	bytes   int  // of all encoded chunks
	results []spool.Appended
	err     error
	done    chan struct{} // closed when results and err are set
}

// stored is a chunk in its stored form.
type stored struct {
	id      spool.ID
	encoded []byte
	events  []spool.EventKey
	head    *spool.Chunk // where something is attached
}

// encodeBuffers hold stored chunks until the appender has copied them.
var encodeBuffers = sync.Pool{New: func() any { return new([]byte) }}

func (s *store) Append(ctx context.Context, chunks []spool.Chunk, ops ...spool.Op) (results []spool.Appended, err error) {
	defer func() { releaseAll(chunks, results) }()
	raw, size := 0, 0
	own := true
	for i := range chunks {
		own = own && chunks[i].Kind == spool.KindOwn
		if err := checkChunk(&chunks[i]); err != nil {
			return nil, err
		}
		raw += len(chunks[i].Data)
		size += encodedBound(&chunks[i])
	}
	for _, op := range ops {
		if op.Expect {
			return nil, errors.New("spool: Append takes no Expect operation; use Commit")
		}
	}
	if !s.enter() {
		return nil, spool.ErrClosed
	}
	defer s.users.Done()
	// What is admitted bounds the memory of everything behind. One call that
	// is larger than all of it goes alone.
	weight := int64(min(raw, maxAdmitted))
	if err := s.admission.Acquire(ctx, weight); err != nil {
		return nil, err
	}
	defer s.admission.Release(weight)

	buffer := encodeBuffers.Get().(*[]byte)
	defer encodeBuffers.Put(buffer)
	if cap(*buffer) < size {
		*buffer = make([]byte, 0, size)
	}
	b := (*buffer)[:0]
	r := &request{chunks: make([]stored, len(chunks)), ops: ops, own: own, done: make(chan struct{})}
	for i := range chunks {
		start := len(b)
		b = appendChunk(b, &chunks[i])
		r.chunks[i] = stored{id: chunks[i].ID, encoded: b[start:len(b):len(b)], events: chunks[i].Events, head: withoutData(&chunks[i])}
		r.bytes += eventLen * len(chunks[i].Events)
	}
	r.bytes += len(b)
	return s.submit(ctx, r)
}

func (s *store) Commit(ops ...spool.Op) error {
	if !s.enter() {
		return spool.ErrClosed
	}
	defer s.users.Done()
	_, err := s.submit(context.Background(), &request{ops: ops, state: true, done: make(chan struct{})})
	return err
}

// submit waits for the answer also when the context ends: the appender may be
// at work on the request, and the buffers belong to it until then.
func (s *store) submit(ctx context.Context, r *request) ([]spool.Appended, error) {
	select {
	case s.requests <- r:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	<-r.done
	return r.results, r.err
}

func (s *store) Tail() spool.Position { return spool.Position(s.tail.load()) }

func (s *store) Wait(ctx context.Context, after spool.Position) error {
	return s.tail.wait(ctx, s.closing, spool.ErrClosed, uint64(after)+1)
}
