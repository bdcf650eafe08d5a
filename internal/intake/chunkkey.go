package intake

import (
	"crypto/rand"
	"fmt"
	"sync"

	"github.com/trail-operator/trail-operator/internal/spool"
)

// chunkKeyDocument holds the key of the chunk IDs. It lies beside the index of
// the IDs, and is lost with it or not at all.
const chunkKeyDocument = "intake/chunk-key"

// chunkKey is the key that the IDs of chunks are made with: random and never
// shown, so that no client can find a second chunk which the spool would take
// for the first.
type chunkKey struct {
	mu    sync.Mutex
	known bool
	key   [32]byte
}

// get reads the key from the spool, and draws it when there is none. That is
// durable before a chunk is: a restart finds the key of every ID. It is done for
// the first POST, which can be told to come again when the volume is full.
func (c *chunkKey) get(s spool.Spool) ([32]byte, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.known {
		return c.key, nil
	}
	stored, err := s.Get(chunkKeyDocument)
	if err != nil {
		return c.key, fmt.Errorf("read the key of chunk IDs: %w", err)
	}
	if copy(c.key[:], stored) != len(c.key) {
		_, _ = rand.Read(c.key[:]) // never fails since Go 1.24
		if err := s.Commit(spool.Expect(chunkKeyDocument, stored), spool.Set(chunkKeyDocument, c.key[:])); err != nil {
			return c.key, fmt.Errorf("store the key of chunk IDs: %w", err)
		}
	}
	c.known = true
	return c.key, nil
}
