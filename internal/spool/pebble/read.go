package pebble

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/cockroachdb/pebble/v2"

	"github.com/trail-operator/trail-operator/internal/spool"
)

// readBuffers hold the Data of a chunk while it is read.
var readBuffers = sync.Pool{New: func() any { return new([]byte) }}

// Read looks every chunk up by its position. No iterator stays open while fn
// works, so that a slow reader keeps nothing from being trimmed, and a chunk
// that Pebble cannot read stands in nobody's way.
func (s *store) Read(ctx context.Context, after spool.Position, fn func(spool.Position, *spool.Chunk) error, onDamage func(spool.Damaged)) error {
	buffer := readBuffers.Get().(*[]byte)
	defer readBuffers.Put(buffer)
	tail := s.Tail()
	for p := max(after, s.trimmed()) + 1; p <= tail; p++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		if c := s.attached.take(p); c != nil {
			if err := fn(p, c); err != nil {
				return err
			}
			continue
		}
		c, damage, err := s.read(p, *buffer)
		if err != nil {
			return err
		}
		switch {
		case damage != "":
			s.metrics.damaged.Inc()
			onDamage(spool.Damaged{Position: p, Reason: damage})
		case c == nil: // trimmed while we were reading
			p = max(p, s.trimmed())
		default:
			if cap(c.Data) > cap(*buffer) {
				*buffer = c.Data[:0]
			}
			if err := fn(p, c); err != nil {
				return err
			}
		}
	}
	return nil
}

// read returns the chunk at a position, what is wrong with it, or neither when
// it was trimmed. Errors are those that may pass.
func (s *store) read(p spool.Position, buf []byte) (*spool.Chunk, string, error) {
	if !s.enter() {
		return nil, "", spool.ErrClosed
	}
	defer s.users.Done()
	var key [chunkKeyLen]byte
	value, closer, err := s.db.Get(appendChunkKey(key[:0], p))
	switch {
	case err == nil:
	case p <= s.trimmed():
		return nil, "", nil
	case errors.Is(err, pebble.ErrNotFound):
		return nil, "the chunk is missing", nil
	case pebble.IsCorruptionError(err):
		s.opts.Logger.Error(err, "spool: a chunk cannot be read", "position", p)
		return nil, "the file that holds the chunk is corrupt", nil
	default:
		return nil, "", fmt.Errorf("spool: cannot read position %d: %w", p, err)
	}
	defer func() { _ = closer.Close() }()
	if len(value) > 0 && value[0] == lostVersion {
		return nil, lostReason(value), nil
	}
	c, err := decodeChunk(value, buf)
	if err != nil {
		if err := s.aside.keepChunk(p, value); err != nil {
			return nil, "", fmt.Errorf("spool: cannot keep the damaged chunk at position %d aside: %w", p, err)
		}
		return nil, "the chunk is damaged: " + err.Error(), nil
	}
	return c, "", nil
}
