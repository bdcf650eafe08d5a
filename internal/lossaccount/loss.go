package lossaccount

import (
	"fmt"
	"slices"
	"time"

	"github.com/trail-operator/trail-operator/internal/record"
)

// Cause of a loss.
type Cause string

const (
	// CauseDropped: kube-apiserver has counted events that it dropped.
	CauseDropped Cause = "APIServerDropped"
	// CauseMissing: it processed events that neither arrived nor were counted as dropped.
	CauseMissing Cause = "NeverArrived"
	// CauseProcessChanged: a process has ended, and nobody knows what it lost.
	CauseProcessChanged Cause = "APIServerProcessChanged"
	// CauseNewVolume: the receiver began with a new volume.
	CauseNewVolume Cause = "NewVolume"
	// CauseVolumeRestored: the receiver's volume is an older state of itself.
	CauseVolumeRestored Cause = "VolumeRestored"
	// CauseAccountLost: the account itself was damaged, and began anew.
	CauseAccountLost Cause = "AccountLost"
)

// Loss is something that was lost, or may have been.
type Loss struct {
	ID    string `json:"id"`
	Cause Cause  `json:"cause"`
	// APIServer is its name, or its address where the name is not known; empty
	// where it is not of one API server.
	APIServer string `json:"apiServer,omitempty"`
	// Events is how many were lost, at least; 0: nobody knows whether any were.
	Events int64 `json:"events,omitempty"`
	// Errors are Events by plugin, as far as kube-apiserver has counted them.
	Errors Errors `json:"errors,omitzero"`
	// It happened between From and To.
	From time.Time `json:"from"`
	To   time.Time `json:"to"`
	// Opened is when it was found. Sealed: it does not grow any more. Recorded: its
	// record is durable.
	Opened   time.Time `json:"opened"`
	Sealed   bool      `json:"sealed,omitempty"`
	Recorded bool      `json:"recorded,omitempty"`
}

// Known reports whether events were lost for certain.
func (l *Loss) Known() bool { return l.Events > 0 }

// lose adds lost events to the account; errors are those that kube-apiserver
// has counted.
func (a *Account) lose(cause Cause, name string, n int64, errors Errors, since time.Time) {
	l := a.open(cause, name, since)
	l.Events += n
	l.Errors = l.Errors.plus(errors)
}

// open returns the open loss of a kind, or opens one: one record every few
// minutes says as much as one for each look.
func (a *Account) open(cause Cause, name string, since time.Time) *Loss {
	i := slices.IndexFunc(a.Losses, func(l *Loss) bool { return !l.Sealed && l.Cause == cause && l.APIServer == name })
	if i < 0 {
		a.Losses = append(a.Losses, &Loss{ID: lossID(cause, name, a.now), Cause: cause, APIServer: name, From: since, Opened: a.now})
		i = len(a.Losses) - 1
	}
	a.Losses[i].To = a.now
	return a.Losses[i]
}

func lossID(cause Cause, name string, now time.Time) string {
	return fmt.Sprintf("loss/%s/%s/%d", cause, name, now.UnixNano())
}

// seal ends the growth of losses that were open for long enough.
func (a *Account) seal() {
	for _, l := range a.Losses {
		l.Sealed = l.Sealed || a.now.Sub(l.Opened) >= a.lag || a.now.Before(l.Opened)
	}
}

// tidy forgets old losses. Where there are too many, those of one API server
// become one.
func (a *Account) tidy() {
	a.Losses = slices.DeleteFunc(a.Losses, func(l *Loss) bool { return l.Recorded && a.now.Sub(l.To) > keepLoss })
	for len(a.Losses) > maxLosses && a.merge() {
	}
	for name, s := range a.Servers {
		if !s.present && a.reachable && s.Dropped == 0 && s.Changes == 0 && !slices.ContainsFunc(a.Processes, func(p *Process) bool { return p.Name == name }) {
			delete(a.Servers, name)
		}
	}
}

// merge makes one of the two oldest losses of a kind: of the same API server if
// there are such, else of any. It reports whether there were two.
func (a *Account) merge() bool {
	for _, same := range []bool{true, false} {
		for i, l := range a.Losses {
			for j := i + 1; j < len(a.Losses); j++ {
				o := a.Losses[j]
				if l.Recorded != o.Recorded || !l.Sealed || !o.Sealed || l.Cause != o.Cause || same && l.APIServer != o.APIServer {
					continue
				}
				if l.APIServer != o.APIServer {
					l.APIServer = ""
				}
				l.Events += o.Events
				l.Errors = l.Errors.plus(o.Errors)
				l.To = later(l.To, o.To)
				a.Losses = slices.Delete(a.Losses, j, j+1)
				return true
			}
		}
	}
	return false
}

// Due are losses whose record is to be made.
func (a *Account) Due() []Loss {
	var due []Loss
	for _, l := range a.Losses {
		if l.Sealed && !l.Recorded {
			due = append(due, *l)
		}
	}
	return due
}

// Recorded notes that the record of a loss is durable.
func (a *Account) Recorded(id string) {
	for _, l := range a.Losses {
		if l.ID == id {
			l.Recorded = true
		}
	}
}

// details of the records, in the order in which they are read.
type details struct {
	Cause     Cause  `json:"cause"`
	APIServer string `json:"apiServer,omitempty"`
	Events    int64  `json:"events,omitempty"`
	Errors    Errors `json:"errors,omitzero"`
	From      string `json:"from"`
	To        string `json:"to"`
}

// Event is the record of the loss, for every trail.
func (l *Loss) Event() record.OwnEvent {
	name := record.EventEventsPossiblyLost
	if l.Known() {
		name = record.EventEventsLost
	}
	return record.OwnEvent{
		ID: l.ID, Name: name, Time: l.To.UTC(),
		Details: record.MustJSON(details{
			Cause: l.Cause, APIServer: l.APIServer, Events: l.Events, Errors: l.Errors,
			From: l.From.UTC().Format(record.TimeFormat), To: l.To.UTC().Format(record.TimeFormat),
		}),
	}
}
