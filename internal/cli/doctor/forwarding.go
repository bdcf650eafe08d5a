package doctor

import (
	"context"
	"fmt"
	"time"

	"github.com/trail-operator/trail-operator/internal/cli/table"
)

const linkForwarding = "forwarding"

// away is how long a second receiver may be before that is a problem: it is
// restarted, too.
const away = 10 * time.Minute

// forwarding: the second receiver takes what API servers send. Nothing is said
// where there is none.
func (d *doctor) forwarding(context.Context) []Finding {
	r := d.seen()
	if r == nil || r.Receiver == nil || r.Receiver.Forward == nil {
		return nil
	}
	s := r.Receiver.Forward
	counts := fmt.Sprintf("; POSTs since the receiver was started %s: %d sent, %d waiting (%s), %d dropped",
		d.ago(r.Receiver.Started), s.Sent, s.Waiting, table.Bytes(s.WaitingBytes), s.Dropped)
	switch {
	case s.Failing != nil:
		f := Finding{
			State: Warning, Link: linkForwarding,
			Message: fmt.Sprintf("the second receiver has taken nothing for %s: %s%s", age(d.now.Sub(*s.Failing)), s.Failure, counts),
			Next:    "mend it, or correct intake.forwardTo: what waits is then sent; when the queue is full, the oldest are dropped",
		}
		if d.now.Sub(*s.Failing) >= away {
			f.State = Problem
		}
		return []Finding{f}
	case s.Dropped > 0:
		return []Finding{{
			State: Warning, Link: linkForwarding, Message: "the second receiver did not get everything" + counts,
			Next: "the metric trail_forward_dropped_total has the reasons; see \"The second receiver\" in docs/failure-modes",
		}}
	}
	return []Finding{{State: OK, Link: linkForwarding, Message: "the second receiver takes what arrives" + counts}}
}
