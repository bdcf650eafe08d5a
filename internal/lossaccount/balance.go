package lossaccount

import (
	"slices"
	"time"
)

// balance compares what each API server processed, at a lag, with what has
// arrived. More may have arrived: what was processed since. Less is a loss that
// nobody has counted, and at least as large as the difference.
func (a *Account) balance() {
	limit, ok := a.comparable()
	if !ok || !a.reachable {
		return
	}
	for name, s := range a.Servers {
		if !s.present {
			continue
		}
		expected := s.Carried
		for _, p := range a.Processes {
			if p.Name != name || !p.Balanced {
				continue
			}
			until := limit
			if p.alive() { // what it has dropped must be known as late
				until = earlier(limit, p.Read.Add(-a.lag))
			}
			i := len(p.readings) - 1
			for i >= 0 && p.readings[i].at.After(until) {
				i--
			}
			if i < 0 {
				continue
			}
			expected += p.expected(p.readings[i].events, s.Tail)
			p.Compared = p.readings[i].at
			p.readings = p.readings[i:]
		}
		missing := expected - (s.Received - s.Base)
		if n := missing - s.Missing; n > 0 {
			s.Missing = missing
			s.Dropped += n
			a.lose(CauseMissing, name, n, Errors{}, limit)
		}
	}
}

// comparable is the moment up to which everything has arrived, been dropped, or
// been lost, and what has arrived is counted.
func (a *Account) comparable() (time.Time, bool) {
	for i := len(a.marks) - 1; i >= 0; i-- {
		if m := a.marks[i]; m.tail <= a.Accounted {
			a.marks = a.marks[i:]
			return m.at.Add(-a.lag), true
		}
	}
	return time.Time{}, false
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// expected is how many of the events up to a reading must have arrived: all that
// were not dropped. Some of those dropped may have been processed later.
func (p *Process) expected(events int64, tail bool) int64 {
	return max(0, events-p.BaseEvents-p.Errors.minus(p.BaseErrors).lost(tail))
}

// keepEnded is how long a process that is gone is remembered: should it answer
// again, what it had dropped is not counted twice.
const keepEnded = 24 * time.Hour

// fold takes processes whose end is settled, and compared, out of the account.
func (a *Account) fold() {
	crowded := len(a.Processes) > maxProcesses/2
	a.Processes = slices.DeleteFunc(a.Processes, func(p *Process) bool {
		age := a.now.Sub(p.Ended)
		if !p.Settled || age <= keepEnded && (!crowded || age <= 3*a.lag) {
			return false
		}
		if s := a.Servers[p.Name]; s != nil && p.Balanced {
			s.Carried += p.expected(p.Events, s.Tail)
		}
		return true
	})
}
