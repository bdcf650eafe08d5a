package intake

import (
	"context"
	"net/http"
	"time"

	"github.com/trail-operator/trail-operator/internal/auditevent"
	"github.com/trail-operator/trail-operator/internal/forward"
)

const (
	// memoryWait is how long a POST waits for memory before it is sent away.
	memoryWait = 2 * time.Second
	// smallOverhead and largeOverhead are what reading a body takes beside its
	// chunk: the splitter's buffer, and for large items a second one.
	smallOverhead = 320 << 10
	largeOverhead = 3 << 20
	largeBody     = 1 << 20
)

// chunkCapacity is the size of a buffer that holds a chunk of a body: lengths
// and redaction add a little to some items.
func chunkCapacity(contentLength int64) int {
	if contentLength < 0 || contentLength > auditevent.ChunkSize {
		contentLength = auditevent.ChunkSize
	}
	return int(contentLength + contentLength/32 + 4<<10)
}

// reserve waits until there is memory for a POST, and returns how much it took.
func (h *Handler) reserve(r *http.Request) (int64, error) {
	weight := int64(chunkCapacity(r.ContentLength)) + smallOverhead
	if r.ContentLength < 0 || r.ContentLength > largeBody {
		weight += largeOverhead
	}
	if h.o.Forward.On() {
		weight += forward.BufferSize
	}
	weight = min(weight, h.o.MemoryBytes)
	if h.memory.TryAcquire(weight) {
		return weight, nil
	}
	ctx, cancel := context.WithTimeout(r.Context(), memoryWait)
	defer cancel()
	return weight, h.memory.Acquire(ctx, weight)
}
