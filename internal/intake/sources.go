package intake

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"github.com/trail-operator/trail-operator/internal/receiverstatus"
)

// maxSources bounds the API servers that are remembered: the one that has been
// silent longest is forgotten. A cluster has a handful, but each new machine
// is a new one.
const maxSources = 100

// sources remembers when each API server last posted, and with which client
// certificates, the one used last first.
type sources struct {
	mu   sync.Mutex
	last map[source][]receiverstatus.SourceCertificate
}

func (s *sources) posted(from source, certificate string, at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.last == nil {
		s.last = map[source][]receiverstatus.SourceCertificate{}
	}
	used, known := s.last[from]
	if !known && len(s.last) >= maxSources {
		var oldest source
		for k, u := range s.last {
			if o, ok := s.last[oldest]; !ok || u[0].LastPost.Before(o[0].LastPost) {
				oldest = k
			}
		}
		delete(s.last, oldest)
	}
	now := receiverstatus.SourceCertificate{SHA256: certificate, LastPost: at.UTC()}
	if known && used[0].SHA256 == certificate {
		used[0] = now
		return
	}
	used = slices.DeleteFunc(used, func(c receiverstatus.SourceCertificate) bool { return c.SHA256 == certificate })
	used = slices.Insert(used, 0, now)
	s.last[from] = used[:min(len(used), receiverstatus.MaxSourceCertificates)]
}

func (s *sources) list() []receiverstatus.Source {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]receiverstatus.Source, 0, len(s.last))
	for k, used := range s.last {
		list = append(list, receiverstatus.Source{
			Cluster: k.cluster, APIServer: k.apiServer, LastPost: used[0].LastPost, Certificates: slices.Clone(used),
		})
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
