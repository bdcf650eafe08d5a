package intake

import (
	"maps"
	"slices"
	"time"

	"github.com/trail-operator/trail-operator/internal/auditevent"
	"github.com/trail-operator/trail-operator/internal/receiverstatus"
)

// Indexes of receiverstatus.Classes.
const (
	classRead = iota
	classWrite
	classSecret
	classSession
	classOther
)

// arrivals counts what the events of one POST are.
type arrivals struct {
	calls  [len(receiverstatus.Classes)]struct{ count, bodies int64 }
	stages [4]int64
	probes []probeCall // at most maxProbeCalls
}

// stageNames are those of arrivals.stages.
var stageNames = [...]string{
	auditevent.StageRequestReceived, auditevent.StageResponseStarted, auditevent.StageResponseComplete, auditevent.StagePanic,
}

type probeCall struct {
	id    string
	class receiverstatus.Class
}

// maxProbeCalls bounds what one POST can tell of probes.
const maxProbeCalls = 16

// add counts one event. manager is the user whose probes count.
func (a *arrivals) add(e *auditevent.Event, recorded bool, manager string) {
	switch e.Stage {
	case auditevent.StageRequestReceived:
		a.stages[0]++
	case auditevent.StageResponseStarted:
		a.stages[1]++
	case auditevent.StageResponseComplete:
		a.stages[2]++
	default:
		a.stages[3]++
	}
	if !recorded {
		return
	}
	c := &a.calls[classOf(e)]
	c.count++
	if e.Level == "RequestResponse" || e.Level == "Request" {
		c.bodies++
	}
	if manager == "" || e.User.Username != manager || len(a.probes) == maxProbeCalls {
		return
	}
	if id, class, ok := receiverstatus.ParseProbe(e.AuditID); ok {
		a.probes = append(a.probes, probeCall{id, class})
	}
}

// classOf returns the index of the event's class.
func classOf(e *auditevent.Event) int {
	if !e.HasObjectRef {
		return classOther
	}
	o := &e.ObjectRef
	if o.Resource == "secrets" && o.APIGroup == "" {
		return classSecret
	}
	switch o.Subresource {
	case "exec", "attach", "portforward", "proxy", "log":
		return classSession
	}
	switch e.Verb {
	case "get", "list", "watch":
		return classRead
	case "create":
		if o.APIGroup == "authorization.k8s.io" || o.APIGroup == "authentication.k8s.io" {
			return classOther
		}
		return classWrite
	case "update", "patch", "delete", "deletecollection":
		return classWrite
	}
	return classOther
}

// seen is what is remembered of one API server.
type seen struct {
	lastPost     time.Time
	written      time.Time                          // when its history was
	certificates []receiverstatus.SourceCertificate // the one used last first; none before its first POST since the start
	calls        map[receiverstatus.Class]receiverstatus.Calls
	stages       map[string]int64
	probes       []receiverstatus.Probe // the newest last
	probed       map[receiverstatus.Class]time.Time
}

func newSeen() *seen {
	return &seen{calls: map[receiverstatus.Class]receiverstatus.Calls{}, stages: map[string]int64{}, probed: map[receiverstatus.Class]time.Time{}}
}

// note adds what a POST brought.
func (s *seen) note(a *arrivals, at time.Time) {
	s.lastPost = at
	for i, n := range a.calls {
		if n.count > 0 {
			class := receiverstatus.Classes[i]
			before := s.calls[class]
			s.calls[class] = receiverstatus.Calls{Count: before.Count + n.count, Bodies: before.Bodies + n.bodies, Last: at}
		}
	}
	for i, n := range a.stages {
		if n > 0 {
			s.stages[stageNames[i]] += n
		}
	}
	for _, p := range a.probes {
		s.probe(p, at)
	}
}

func (s *seen) probe(c probeCall, at time.Time) {
	i := slices.IndexFunc(s.probes, func(p receiverstatus.Probe) bool { return p.ID == c.id })
	if i < 0 {
		if len(s.probes) == receiverstatus.MaxProbes {
			s.probes = slices.Delete(s.probes, 0, 1)
		}
		s.probes = append(s.probes, receiverstatus.Probe{ID: c.id, First: at})
		i = len(s.probes) - 1
	}
	if p := &s.probes[i]; !slices.Contains(p.Classes, c.class) {
		p.Classes = append(p.Classes, c.class)
	}
	s.probed[c.class] = at
}

// source is what the status API tells of it.
func (s *seen) source(of source) receiverstatus.Source {
	r := receiverstatus.Source{
		Cluster: of.cluster, APIServer: of.apiServer, LastPost: s.lastPost,
		Certificates: slices.Clone(s.certificates), Calls: maps.Clone(s.calls), Stages: maps.Clone(s.stages), Probed: maps.Clone(s.probed),
	}
	for _, p := range s.probes {
		p.Classes = slices.Clone(p.Classes)
		r.Probes = append(r.Probes, p)
	}
	return r
}
