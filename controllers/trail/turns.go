package trail

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"sync"

	"github.com/trail-operator/trail-operator/internal/objectstore"
)

// configuring is shared by the controllers of all kinds of trails, whose trails
// may be in one bucket.
var configuring turns

// turns lets one at a time do something to what a key names.
type turns struct {
	mu   sync.Mutex
	busy map[string]chan struct{} // closed when the turn is over
}

// turnOf names a bucket, however its server is spelled. Buckets of AWS have one
// name in all regions.
func turnOf(endpoint, bucket string) string {
	origin := objectstore.Origin(endpoint)
	if u, err := url.Parse(origin); err == nil && (strings.HasSuffix(u.Hostname(), ".amazonaws.com") || strings.HasSuffix(u.Hostname(), ".amazonaws.com.cn")) {
		origin = ""
	}
	return origin + " " + bucket
}

// do waits for its turn, at most until ctx is done.
func (t *turns) do(ctx context.Context, key string, f func() error) error {
	for {
		t.mu.Lock()
		other, busy := t.busy[key]
		if !busy {
			break
		}
		t.mu.Unlock()
		select {
		case <-other:
		case <-ctx.Done():
			return fmt.Errorf("%w: other trails of the bucket wait for it", objectstore.ErrUnreachable)
		}
	}
	if t.busy == nil {
		t.busy = map[string]chan struct{}{}
	}
	mine := make(chan struct{})
	t.busy[key] = mine
	t.mu.Unlock()
	defer func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		delete(t.busy, key)
		close(mine)
	}()
	return f()
}
