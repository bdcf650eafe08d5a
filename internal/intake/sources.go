package intake

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"github.com/trail-operator/trail-operator/internal/receiverstatus"
	"github.com/trail-operator/trail-operator/internal/spool"
)

// maxSources bounds the API servers that are remembered: the one that has been
// silent longest is forgotten. A cluster has a handful, but each new machine
// is a new one.
const maxSources = 100

// sources remembers what each API server has posted, and when, and with which
// client certificates.
type sources struct {
	mu   sync.Mutex
	seen map[source]*seen
}

// posted notes a POST. It returns what is to be written about it.
func (s *sources) posted(from source, certificate string, what *arrivals, at time.Time) (ops []spool.Op) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.seen == nil {
		s.seen = map[source]*seen{}
	}
	of, known := s.seen[from]
	if !known {
		if len(s.seen) >= maxSources {
			ops = append(ops, spool.Delete(s.forget().key()))
		}
		of = newSeen()
		s.seen[from] = of
	}
	of.used(certificate, at.UTC())
	of.note(what, at.UTC())
	return append(ops, of.due(from.key(), at.UTC())...)
}

// forget forgets the one that has been silent longest.
func (s *sources) forget() (oldest source) {
	for k, u := range s.seen {
		if o, ok := s.seen[oldest]; !ok || u.lastPost.Before(o.lastPost) {
			oldest = k
		}
	}
	delete(s.seen, oldest)
	return oldest
}

// used notes the certificate of a POST, and puts it first.
func (s *seen) used(certificate string, at time.Time) {
	now := receiverstatus.SourceCertificate{SHA256: certificate, LastPost: at}
	used := slices.DeleteFunc(s.certificates, func(c receiverstatus.SourceCertificate) bool { return c.SHA256 == certificate })
	used = slices.Insert(used, 0, now)
	s.certificates = used[:min(len(used), receiverstatus.MaxSourceCertificates)]
}

func (s *sources) list() []receiverstatus.Source {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]receiverstatus.Source, 0, len(s.seen))
	for k, of := range s.seen {
		if len(of.certificates) > 0 {
			list = append(list, of.source(k))
		}
	}
	slices.SortFunc(list, func(a, b receiverstatus.Source) int {
		return cmp.Or(cmp.Compare(a.Cluster, b.Cluster), cmp.Compare(a.APIServer, b.APIServer))
	})
	return list
}

// limiter lets one event a second through and counts the others.
type limiter struct {
	mu    sync.Mutex
	last  time.Time
	quiet int
}

func (l *limiter) allow(now time.Time) (quiet int, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if since := now.Sub(l.last); since >= 0 && since < time.Second {
		l.quiet++
		return 0, false
	}
	quiet, l.quiet, l.last = l.quiet, 0, now
	return quiet, true
}
