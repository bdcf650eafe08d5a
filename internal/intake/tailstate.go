package intake

import (
	"cmp"
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/trail-operator/trail-operator/internal/receiverstatus"
	"github.com/trail-operator/trail-operator/internal/record"
	"github.com/trail-operator/trail-operator/internal/spool"
)

const (
	// tailPrefix begins the keys of the documents: prefix, cluster, slash, API
	// server, slash, UUID.
	tailPrefix = "tail/"
	// maxTails bounds what is kept of all tails, and maxTailsOfNode of one: the
	// source that has been silent longest goes. A node gets another source when
	// its tail loses its state.
	maxTails       = 4096
	maxTailsOfNode = 16
	// maxPartial chunks of a body are known by the next try.
	maxPartial = 256
	// tailGone is after what silence the index of events does not wait for a tail
	// any more: its node is gone.
	tailGone = 7 * 24 * time.Hour
)

// tailState is the document of one source.
type tailState struct {
	// Sequence is the high-water mark: that of the last POST of which all is stored.
	Sequence uint64 `json:"sequence"`
	// Partial are chunks of the next one that are stored.
	Partial []string `json:"partial,omitempty"`
	// Last are the chunks of the last one.
	Last []string `json:"last,omitempty"`
	// Newest is the newest stageTimestamp of the last POST that had events.
	Newest   time.Time `json:"newest,omitzero"`
	LastPost time.Time `json:"lastPost"`
}

// chunkName is a chunk in Partial.
func chunkName(id [32]byte) string { return hex.EncodeToString(id[:12]) }

// tailKey names a source: a UUID of one node says nothing of another.
type tailKey struct {
	from source
	id   string
}

func (k tailKey) document() string { return tailPrefix + k.from.String() + "/" + k.id }

// tailSource is what is known of one source. All but busy is owned by whom take
// has given it to.
type tailSource struct {
	key   tailKey
	busy  chan struct{} // holds a value while a POST is under way
	state tailState     // as it is stored
	// surplus goes with the next write.
	surplus []spool.Op

	// shown and counts are for the status.
	mu                   sync.Mutex
	shown                tailState
	accepted, duplicates int64
}

func (s *tailSource) known() bool { return !s.state.LastPost.IsZero() }

// set are the operations that store a state.
func (s *tailSource) set(next *tailState) []spool.Op {
	return append(slices.Clip(s.surplus), spool.Set(s.key.document(), record.MustJSON(next)))
}

// stored notes what has become durable.
func (s *tailSource) stored(next tailState) {
	s.state, s.surplus = next, nil
	s.mu.Lock()
	defer s.mu.Unlock()
	s.shown = next
}

func (s *tailSource) count(accepted, duplicates int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.accepted += int64(accepted)
	s.duplicates += int64(duplicates)
}

// release ends a POST.
func (s *tailSource) release() { <-s.busy }

// tails are all sources.
type tails struct {
	mu   sync.Mutex
	seen map[tailKey]*tailSource
}

// take waits until no POST of the source is under way, and begins one.
func (t *tails) take(ctx context.Context, in spool.Spool, from source, id string) (*tailSource, error) {
	key := tailKey{from, id}
	t.mu.Lock()
	s := t.seen[key]
	if s == nil {
		var err error
		if s, err = t.add(in, key); err != nil {
			t.mu.Unlock()
			return nil, err
		}
	}
	t.mu.Unlock()
	select {
	case s.busy <- struct{}{}:
		return s, nil
	case <-ctx.Done():
		return nil, errTailBusy
	}
}

// add remembers a source, and forgets others beyond the bounds: first those
// that have been silent longest, and never one of which a POST is under way.
// What was forgotten is found again in the spool until another write has
// deleted it. t.mu is held.
func (t *tails) add(in spool.Spool, key tailKey) (*tailSource, error) {
	s := &tailSource{key: key, busy: make(chan struct{}, 1)}
	raw, err := in.Get(key.document())
	if err != nil {
		return nil, fmt.Errorf("read the state of a tail: %w", err)
	}
	if raw != nil && json.Unmarshal(raw, &s.state) == nil {
		s.shown = s.state
	}
	s.surplus = append(t.surplus(maxTailsOfNode, func(k tailKey) bool { return k.from == key.from }),
		t.surplus(maxTails, func(tailKey) bool { return true })...)
	t.seen[key] = s
	return s, nil
}

// surplus makes room for one more source.
func (t *tails) surplus(most int, of func(tailKey) bool) (ops []spool.Op) {
	if len(t.seen) < most {
		return nil
	}
	var list []*tailSource
	for k, s := range t.seen {
		if of(k) {
			list = append(list, s)
		}
	}
	slices.SortFunc(list, func(a, b *tailSource) int { return a.lastPost().Compare(b.lastPost()) })
	for _, s := range list[:max(0, len(list)-most+1)] {
		if len(s.busy) == 0 {
			delete(t.seen, s.key)
			ops = append(ops, spool.Delete(s.key.document()))
		}
	}
	return ops
}

func (s *tailSource) lastPost() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.shown.LastPost
}

// load reads what was known before the start.
func (t *tails) load(from spool.Spool) error {
	t.seen = map[tailKey]*tailSource{}
	return from.Scan(tailPrefix, func(key string, value []byte) error {
		parts := strings.Split(strings.TrimPrefix(key, tailPrefix), "/")
		var state tailState
		if len(parts) != 3 || json.Unmarshal(value, &state) != nil {
			return nil // no document of ours
		}
		s := &tailSource{key: tailKey{source{parts[0], parts[1]}, parts[2]}, busy: make(chan struct{}, 1), state: state, shown: state}
		t.seen[s.key] = s
		return nil
	})
}

// list is for the status.
func (t *tails) list(now time.Time) []receiverstatus.Tail {
	t.mu.Lock()
	defer t.mu.Unlock()
	list := make([]receiverstatus.Tail, 0, len(t.seen))
	for k, s := range t.seen {
		s.mu.Lock()
		if !s.shown.LastPost.IsZero() {
			tail := receiverstatus.Tail{
				Cluster: k.from.cluster, APIServer: k.from.apiServer, Source: k.id, Sequence: s.shown.Sequence,
				LastPost: s.shown.LastPost, Accepted: s.accepted, Duplicates: s.duplicates,
			}
			if newest := s.shown.Newest; !newest.IsZero() {
				tail.Newest, tail.LagSeconds = &newest, max(0, int64(now.Sub(newest).Seconds()))
			}
			list = append(list, tail)
		}
		s.mu.Unlock()
	}
	slices.SortFunc(list, func(a, b receiverstatus.Tail) int {
		return cmp.Or(cmp.Compare(a.Cluster, b.Cluster), cmp.Compare(a.APIServer, b.APIServer), b.LastPost.Compare(a.LastPost), cmp.Compare(a.Source, b.Source))
	})
	return list[:min(len(list), receiverstatus.MaxTails)]
}

// passed is the time up to which every tail has sent what stands in its log; ok
// is false when that is not known. Of a node the source counts that posted last.
func (t *tails) passed(now time.Time) (passed time.Time, ok bool) {
	newest := map[source]tailState{}
	t.mu.Lock()
	for k, s := range t.seen {
		s.mu.Lock()
		if last := newest[k.from]; s.shown.LastPost.After(last.LastPost) || s.shown.LastPost.Equal(last.LastPost) && s.shown.Newest.Before(last.Newest) {
			newest[k.from] = s.shown
		}
		s.mu.Unlock()
	}
	t.mu.Unlock()
	for _, s := range newest {
		if now.Sub(s.LastPost) > tailGone {
			continue
		}
		if s.Newest.IsZero() {
			return time.Time{}, false
		}
		if !ok || s.Newest.Before(passed) {
			passed, ok = s.Newest, true
		}
	}
	return passed, ok
}
