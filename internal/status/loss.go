package status

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/trail-operator/trail-operator/api/v1alpha1"
	"github.com/trail-operator/trail-operator/internal/lossaccount"
	"github.com/trail-operator/trail-operator/internal/record"
)

// noLoss is the condition of the same name. What is known to be lost comes first;
// True is said only when everything is known.
func (o *Observation) noLoss() state {
	start := o.Trail.Status.StartLoggingTime
	if start == nil {
		return unknown(v1alpha1.ReasonPending, "The trail has not recorded yet.")
	}
	from, note := o.acknowledged()
	if from.Before(start.Time) {
		from = start.Time
	}
	var known, possible []lossaccount.Loss
	if o.Loss != nil {
		known, possible = o.losses(from)
	}
	lost := append(o.dropped(known), o.destroyed(from)...)
	if len(lost) > 0 {
		return no(v1alpha1.ReasonEventsLost, "%s. Records of it stand in the trail. %s%s", strings.Join(lost, ". "), acknowledge, note)
	}
	// A manager that has just begun to lead has not looked yet: the one before has.
	if c := meta.FindStatusCondition(o.Trail.Status.Conditions, v1alpha1.ConditionNoLoss); o.Loss == nil && o.Receiver != nil && c != nil {
		return state{c.Status, c.Reason, c.Message}
	}
	if s := o.untold(possible); s != nil {
		s.message += note
		return *s
	}
	if o.Loss.Since.After(from) {
		from = o.Loss.Since
	}
	return yes(v1alpha1.ReasonNothingLost, "Everything that API servers have processed since %s is accounted for.%s", from.UTC().Format(record.TimeFormat), note)
}

// acknowledge says how to.
const acknowledge = "To acknowledge it, set the annotation " + v1alpha1.AnnotationAcknowledgeLoss + " of this trail to the present time, such as 2026-01-31T12:00:00Z."

// acknowledged is the time up to which losses are acknowledged, zero for none,
// and what is wrong with the annotation.
func (o *Observation) acknowledged() (upTo time.Time, note string) {
	value, ok := o.Trail.Annotations[v1alpha1.AnnotationAcknowledgeLoss]
	if !ok {
		return time.Time{}, ""
	}
	upTo, err := time.Parse(time.RFC3339, value)
	switch {
	case err != nil:
		return time.Time{}, " The annotation " + v1alpha1.AnnotationAcknowledgeLoss + " is ignored: it must be a time such as 2026-01-31T12:00:00Z."
	case upTo.After(o.Now.Add(time.Minute)): // clocks differ a little
		return time.Time{}, " The annotation " + v1alpha1.AnnotationAcknowledgeLoss + " is ignored: it lies in the future."
	}
	return upTo, ""
}

// losses are those of the account that concern the trail, since from.
func (o *Observation) losses(from time.Time) (known, possible []lossaccount.Loss) {
	for _, l := range o.Loss.Losses {
		stop := o.Trail.Status.StopLoggingTime
		switch {
		case !l.To.After(from), stop != nil && l.From.After(stop.Time):
		case l.Known():
			known = append(known, l)
		default:
			possible = append(possible, l)
		}
	}
	return known, possible
}

// dropped says what API servers have lost. Tenants learn numbers and times, and
// not the names of machines.
func (o *Observation) dropped(losses []lossaccount.Loss) []string {
	type sum struct {
		events int64
		since  time.Time
	}
	sums := map[string]*sum{}
	var names []string
	for _, l := range losses {
		name := l.APIServer
		if !o.Trail.IsOrganizationTrail() {
			name = ""
		}
		s := sums[name]
		if s == nil {
			s = &sum{since: l.From}
			sums[name] = s
			names = append(names, name)
		}
		s.events += l.Events
		if l.From.Before(s.since) {
			s.since = l.From
		}
	}
	slices.Sort(names)
	var said []string
	for i, name := range names {
		if i == maxNamed {
			said = append(said, fmt.Sprintf("So did %d more", len(names)-i))
			break
		}
		subject, rest := "The API server "+name, ""
		if name == "" {
			subject = "The API servers"
		}
		if !o.Trail.IsOrganizationTrail() {
			rest = " of the whole cluster; whether some were of this namespace is not known"
		}
		s := sums[name]
		said = append(said, fmt.Sprintf("%s lost %s since %s%s", subject, count(s.events, "event"), s.since.UTC().Format(record.TimeFormat), rest))
	}
	return said
}

// destroyed says what was lost behind the receiver's answer.
func (o *Observation) destroyed(from time.Time) []string {
	recent := func(at *time.Time) bool { return at == nil || at.After(from) }
	var said []string
	if e := o.entry(); e != nil && recent(e.LastLoss) {
		if n := e.Counts.Expired; n > 0 {
			said = append(said, count(n, "record")+" of this trail expired in all, because the bucket was away for too long")
		}
		if n := e.Counts.Quarantined; n > 0 {
			said = append(said, count(n, "record")+" of this trail were destroyed in all by the volume of the receiver")
		}
	}
	if o.Receiver != nil && o.Receiver.Spool.Damaged > 0 && recent(o.Receiver.Spool.LastDamage) {
		said = append(said, "The volume of the receiver has destroyed "+count(o.Receiver.Spool.Damaged, "chunk")+" of events of the whole cluster in all")
	}
	return said
}

// untold says why it is not known whether something was lost; nil: it is known.
func (o *Observation) untold(possible []lossaccount.Loss) *state {
	v := o.Loss
	s := func(reason, message string) *state {
		s := unknown(reason, message)
		return &s
	}
	switch {
	case o.Receiver == nil:
		return s(v1alpha1.ReasonReceiverUnreachable, "The status API of the receiver does not answer.")
	case v == nil || v.Since.IsZero() && !v.Off:
		return s(v1alpha1.ReasonNotComparedYet, "The account of what API servers lose has not begun yet.")
	case v.Off:
		return s(v1alpha1.ReasonMetricsUnavailable, "What API servers lose is not known: the installer has switched the account of it off (lossAccounting).")
	case v.NoAddress:
		return s(v1alpha1.ReasonMetricsUnavailable, "What API servers lose is not known: the manager knows the address of none.")
	case len(v.Unreadable) > 0:
		return s(v1alpha1.ReasonMetricsUnavailable, "What "+o.servers(v.Unreadable)+" is not known: the manager cannot read the metrics. Its log says why.")
	}
	for _, l := range possible {
		if l.Cause == lossaccount.CauseProcessChanged {
			return s(v1alpha1.ReasonTailNotEnabled, fmt.Sprintf("An API server stopped or was started anew between %s and %s; what it lost then is only in its audit log, which no tail follows. %s",
				l.From.UTC().Format(record.TimeFormat), l.To.UTC().Format(record.TimeFormat), acknowledge))
		}
	}
	switch {
	case len(possible) > 0:
		l := possible[0]
		return s(v1alpha1.ReasonEventsPossiblyLost, fmt.Sprintf("%s at %s: what it had before may be lost. %s", circumstance(l.Cause), l.To.UTC().Format(record.TimeFormat), acknowledge))
	case len(v.Behind) > 0:
		return s(v1alpha1.ReasonTailBehind, "What "+o.servers(v.Behind)+" is not known yet: the tail has not sent all of the audit log.")
	case len(v.Unidentified) > 0:
		return s(v1alpha1.ReasonAPIServerNotIdentified, "What "+o.servers(v.Unidentified)+" is not known: the manager cannot bring metrics and events together. That takes two minutes, if the API server sends its events.")
	case v.Through.IsZero():
		return s(v1alpha1.ReasonNotComparedYet, "What API servers have processed is compared with what has arrived after six minutes.")
	}
	return nil
}

// circumstance is a cause in words.
func circumstance(c lossaccount.Cause) string {
	switch c {
	case lossaccount.CauseNewVolume:
		return "The receiver began with a new volume"
	case lossaccount.CauseVolumeRestored:
		return "The volume of the receiver was set back to an older state"
	}
	return "The account of what API servers lose began anew"
}

// servers are API servers in words, and that they lose something.
func (o *Observation) servers(names []string) string {
	switch {
	case !o.Trail.IsOrganizationTrail() && len(names) == 1:
		return "one of the API servers loses"
	case !o.Trail.IsOrganizationTrail():
		return strconv.Itoa(len(names)) + " of the API servers lose"
	case len(names) == 1:
		return "the API server " + names[0] + " loses"
	}
	return "the API servers " + enumerate(names) + " lose"
}

// count is a number of things, as people write it.
func count(n int64, thing string) string {
	digits := strconv.FormatInt(n, 10)
	for i := len(digits) - 3; i > 0 && digits[i-1] != '-'; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	if n != 1 {
		thing += "s"
	}
	return digits + " " + thing
}
