package pebble

import (
	"sync"

	"github.com/trail-operator/trail-operator/internal/spool"
)

// attached holds the chunks to which something is attached until they are read,
// without their Data. Who attaches bounds how much that is.
type attached struct {
	mu     sync.Mutex
	chunks map[spool.Position]*spool.Chunk
}

// put is called before the tail moves to the position.
func (a *attached) put(p spool.Position, c *spool.Chunk) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.chunks == nil {
		a.chunks = map[spool.Position]*spool.Chunk{}
	}
	a.chunks[p] = c
}

// take returns the chunk at a position, nil when it has to be read.
func (a *attached) take(p spool.Position) *spool.Chunk {
	a.mu.Lock()
	defer a.mu.Unlock()
	c := a.chunks[p]
	delete(a.chunks, p)
	return c
}

// release releases what nobody will read: all up to a position.
func (a *attached) release(upTo spool.Position) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for p, c := range a.chunks {
		if p <= upTo {
			delete(a.chunks, p)
			c.Attached.Release()
		}
	}
}

// withoutData is what is kept of a chunk in memory.
func withoutData(c *spool.Chunk) *spool.Chunk {
	if c.Attached == nil {
		return nil
	}
	kept := *c
	kept.Data, kept.Events = nil, nil
	return &kept
}

// releaseAll releases what is attached to chunks that were not stored.
func releaseAll(chunks []spool.Chunk, results []spool.Appended) {
	for i := range chunks {
		if a := chunks[i].Attached; a != nil && (results == nil || results[i].Duplicate) {
			a.Release()
		}
	}
}
