package auditpolicy

import (
	"slices"
	"time"

	"github.com/trail-operator/trail-operator/internal/receiverstatus"
)

// ProbeLag is how long a call may take until its event arrives: batches that
// were held up come up to 100 seconds late.
const ProbeLag = 2 * time.Minute

const (
	// conclusive is how many probes in a row must lack a class: one event may get
	// lost when an API server is overloaded.
	conclusive = 2
	// A class is missing only when nobody's calls of it have come for so long: a
	// policy may leave out those of the manager alone. It is shorter for an API
	// server that has sent calls of the manager before, and does not any more.
	quiet, quietSinceProbe = 24 * time.Hour, time.Hour
	// gone is how long an API server that posts nothing is spoken of.
	gone = time.Hour
)

// Gap is a class of calls that an API server does not send: its audit policy
// leaves them out.
type Gap struct {
	APIServer string
	Class     receiverstatus.Class
}

// Gaps returns what API servers do not send, as far as the probes of the manager
// prove it. lag is how long what a probe called may take to arrive, ProbeLag
// outside of tests. The order is that of the sources, then of
// receiverstatus.ProbeClasses.
func Gaps(sources []receiverstatus.Source, lag time.Duration, now time.Time) []Gap {
	// What is called over one connection may still reach several API servers, if
	// something between them takes the calls apart.
	arrived := map[string][]receiverstatus.Class{}
	for i := range sources {
		for _, p := range sources[i].Probes {
			arrived[p.ID] = append(arrived[p.ID], p.Classes...)
		}
	}
	var gaps []Gap
	for i := range sources {
		s := &sources[i]
		var decided []receiverstatus.Probe
		for _, p := range s.Probes {
			if now.Sub(p.First) >= lag {
				decided = append(decided, p)
			}
		}
		if len(decided) < conclusive || now.Sub(s.LastPost) > gone {
			continue
		}
		newest := decided[len(decided)-conclusive:]
		for _, class := range receiverstatus.ProbeClasses {
			lacking := func(p receiverstatus.Probe) bool { return !slices.Contains(arrived[p.ID], class) }
			if lacking(newest[0]) && lacking(newest[1]) && isQuiet(s, class, newest[0].First) {
				gaps = append(gaps, Gap{s.APIServer, class})
			}
		}
	}
	return gaps
}

// isQuiet reports whether no call of the class has come for long before t.
func isQuiet(s *receiverstatus.Source, class receiverstatus.Class, t time.Time) bool {
	calls, any := s.Calls[class]
	if !any {
		return true
	}
	window := quiet
	if _, ok := s.Probed[class]; ok {
		window = quietSinceProbe
	}
	return calls.Last.Before(t.Add(-window))
}
