package intake

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/trail-operator/trail-operator/internal/receiverstatus"
	"github.com/trail-operator/trail-operator/internal/record"
	"github.com/trail-operator/trail-operator/internal/spool"
)

const (
	// historyPrefix begins the keys of the documents: prefix, cluster, slash, API server.
	historyPrefix = "arrivals/"
	// historyInterval is how often the one of an API server that posts is written.
	historyInterval = time.Minute
)

// history is the document that keeps over a restart what shows which classes of
// calls an API server sends: without it, one that had sent some a minute before
// would seem never to have sent any.
type history struct {
	LastPost time.Time                          `json:"lastPost"`
	Calls    map[receiverstatus.Class]time.Time `json:"calls"` // the last
	Probes   []receiverstatus.Probe             `json:"probes"`
	Probed   map[receiverstatus.Class]time.Time `json:"probed"`
}

// due returns what is to be written now of an API server that has just posted,
// if anything is.
func (s *seen) due(key string, at time.Time) []spool.Op {
	if since := at.Sub(s.written); since >= 0 && since < historyInterval {
		return nil
	}
	s.written = at
	h := history{LastPost: s.lastPost, Calls: map[receiverstatus.Class]time.Time{}, Probes: s.probes, Probed: s.probed}
	for class, calls := range s.calls {
		h.Calls[class] = calls.Last
	}
	return []spool.Op{spool.Set(key, record.MustJSON(h))}
}

// load reads what was known before the start. What is said to have happened after
// now came from a clock that was wrong.
func (s *sources) load(from spool.Spool, now time.Time) error {
	s.seen = map[source]*seen{}
	return from.Scan(historyPrefix, func(key string, value []byte) error {
		var of source
		var h history
		of.cluster, of.apiServer, _ = strings.Cut(strings.TrimPrefix(key, historyPrefix), "/")
		if json.Unmarshal(value, &h) != nil || len(s.seen) == maxSources {
			return nil // it is written anew
		}
		later := func(_ receiverstatus.Class, t time.Time) bool { return t.After(now) }
		maps.DeleteFunc(h.Calls, later)
		maps.DeleteFunc(h.Probed, later)
		known := newSeen()
		known.lastPost = h.LastPost
		if later("", h.LastPost) {
			known.lastPost = now
		}
		known.probes = slices.DeleteFunc(h.Probes, func(p receiverstatus.Probe) bool { return p.First.After(now) })
		known.probes = known.probes[max(0, len(known.probes)-receiverstatus.MaxProbes):]
		maps.Copy(known.probed, h.Probed)
		for class, last := range h.Calls {
			known.calls[class] = receiverstatus.Calls{Last: last}
		}
		s.seen[of] = known
		return nil
	})
}
