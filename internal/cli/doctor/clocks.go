package doctor

import (
	"fmt"
	"strings"
	"time"

	"github.com/trail-operator/trail-operator/internal/manifests"
)

const (
	linkClock = "clock"

	// Times are compared in whole seconds, and requests take their time.
	clockWarning = 30 * time.Second
	// clockProblem is when files and digests are held back.
	clockProblem = 5 * time.Minute
)

// skew is how far this computer is ahead of the API server.
type skew struct {
	known bool
	local time.Duration
}

// clocks: those of the API server, of the manager, of this computer and, by
// what trails say, of the receiver and the buckets.
func (d *doctor) clocks(s skew) []Finding {
	var findings []Finding
	if !s.known {
		findings = append(findings, Finding{State: Unchecked, Link: linkClock, Message: "the API server's answers carry no Date: times are those of this computer"})
	} else if off := s.local.Abs(); off > clockWarning {
		findings = append(findings, Finding{
			State: Warning, Link: linkClock, Message: "this computer is " + differs(s.local) + " the API server", Next: "set its clock: what is validated here depends on it",
		})
	}
	if ahead, ok := d.managerAhead(); ok {
		f := Finding{State: Warning, Link: linkClock, Message: "the manager is " + differs(ahead) + " the API server", Next: "set the clocks of the nodes, as by NTP"}
		switch {
		case ahead.Abs() > clockProblem:
			f.State = Problem
			findings = append(findings, f)
		case ahead.Abs() > clockWarning:
			findings = append(findings, f)
		}
	}
	if r := d.seen(); r != nil && r.Receiver != nil {
		for _, from := range r.Receiver.Sources {
			if ahead := from.LastPost.Sub(r.Time); ahead > clockWarning {
				findings = append(findings, Finding{
					State: Warning, Link: linkClock, Message: "the receiver is " + differs(ahead) + " the manager", Next: "set the clocks of the nodes, as by NTP",
				})
				break
			}
		}
	}
	if len(findings) == 0 {
		findings = append(findings, Finding{State: OK, Link: linkClock, Message: "API server, manager and this computer agree; how buckets differ is told by their trails"})
	}
	return findings
}

// managerAhead compares when the manager says it wrote its report with when
// the API server says so.
func (d *doctor) managerAhead() (ahead time.Duration, ok bool) {
	if d.report == nil {
		return 0, false
	}
	for _, m := range d.published.ManagedFields {
		if strings.HasPrefix(m.Manager, manifests.FieldOwner) && m.Time != nil {
			return d.report.Time.Sub(m.Time.Time), true
		}
	}
	return 0, false
}

func differs(ahead time.Duration) string {
	if ahead < 0 {
		return fmt.Sprintf("%s behind", age(-ahead))
	}
	return fmt.Sprintf("%s ahead of", age(ahead))
}
