package auditpolicy

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/trail-operator/trail-operator/internal/receiverstatus"
)

func TestGaps(t *testing.T) {
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	const read, write, secret = receiverstatus.ClassRead, receiverstatus.ClassWrite, receiverstatus.ClassSecret
	ago := func(d time.Duration) time.Time { return now.Add(-d) }
	probe := func(id string, since time.Duration, classes ...receiverstatus.Class) receiverstatus.Probe {
		return receiverstatus.Probe{ID: id, First: ago(since), Classes: classes}
	}
	calls := func(class receiverstatus.Class, since time.Duration) map[receiverstatus.Class]receiverstatus.Calls {
		return map[receiverstatus.Class]receiverstatus.Calls{class: {Count: 1, Last: ago(since)}}
	}
	source := func(name string, probes ...receiverstatus.Probe) receiverstatus.Source {
		return receiverstatus.Source{Cluster: "1", APIServer: name, LastPost: ago(time.Second), Probes: probes}
	}
	with := func(s receiverstatus.Source, change func(*receiverstatus.Source)) receiverstatus.Source {
		change(&s)
		return s
	}
	noReads := source("a", probe("1", 10*time.Minute, write, secret), probe("2", 5*time.Minute, write, secret))

	for name, c := range map[string]struct {
		sources []receiverstatus.Source
		want    []Gap
	}{
		"nobody":                   {},
		"no probe":                 {sources: []receiverstatus.Source{source("a")}},
		"all arrives":              {sources: []receiverstatus.Source{source("a", probe("1", time.Hour, write, read, secret), probe("2", 5*time.Minute, secret, read, write))}},
		"no reads":                 {[]receiverstatus.Source{noReads}, []Gap{{"a", read}}},
		"no reads and no Secrets":  {[]receiverstatus.Source{source("a", probe("1", 10*time.Minute, write), probe("2", 5*time.Minute, write))}, []Gap{{"a", read}, {"a", secret}}},
		"reads only":               {[]receiverstatus.Source{source("a", probe("1", 10*time.Minute, read), probe("2", 5*time.Minute, read))}, []Gap{{"a", write}, {"a", secret}}},
		"one probe proves nothing": {sources: []receiverstatus.Source{source("a", probe("1", 10*time.Minute, write, secret))}},
		"the second is on its way": {sources: []receiverstatus.Source{source("a", probe("1", 10*time.Minute, write, secret), probe("2", time.Minute, write, secret))}},
		"the last event was lost":  {sources: []receiverstatus.Source{source("a", probe("1", 10*time.Minute, write, read, secret), probe("2", 5*time.Minute, write, secret))}},
		"one event was lost":       {sources: []receiverstatus.Source{source("a", probe("1", 10*time.Minute, write, secret), probe("2", 5*time.Minute, write, read, secret))}},
		"taken apart on the way": {sources: []receiverstatus.Source{
			source("a", probe("1", 10*time.Minute, write), probe("2", 5*time.Minute, write, secret)),
			source("b", probe("1", 10*time.Minute, read, secret), probe("2", 5*time.Minute, read)),
		}},
		"one of two": {[]receiverstatus.Source{noReads, source("b", probe("3", 10*time.Minute, write, read, secret), probe("4", 5*time.Minute, write, read, secret))}, []Gap{{"a", read}}},
		"healed": {sources: []receiverstatus.Source{with(noReads, func(s *receiverstatus.Source) {
			s.Calls = calls(read, time.Second)
		})}},
		"others read at times": {sources: []receiverstatus.Source{with(noReads, func(s *receiverstatus.Source) {
			s.Calls = calls(read, 20*time.Hour)
		})}},
		"others have not read for days": {[]receiverstatus.Source{with(noReads, func(s *receiverstatus.Source) {
			s.Calls = calls(read, 48*time.Hour)
		})}, []Gap{{"a", read}}},
		"the policy became smaller": {[]receiverstatus.Source{with(noReads, func(s *receiverstatus.Source) {
			s.Calls, s.Probed = calls(read, 90*time.Minute), map[receiverstatus.Class]time.Time{read: ago(90 * time.Minute)}
		})}, []Gap{{"a", read}}},
		"the policy became smaller just now": {sources: []receiverstatus.Source{with(noReads, func(s *receiverstatus.Source) {
			s.Calls, s.Probed = calls(read, 30*time.Minute), map[receiverstatus.Class]time.Time{read: ago(30 * time.Minute)}
		})}},
		"gone": {sources: []receiverstatus.Source{with(noReads, func(s *receiverstatus.Source) { s.LastPost = ago(2 * time.Hour) })}},
	} {
		t.Run(name, func(t *testing.T) {
			if d := cmp.Diff(c.want, Gaps(c.sources, ProbeLag, now)); d != "" {
				t.Error(d)
			}
		})
	}
}

// TestGapsStay: what an API server does not send is known after the first
// minutes, and stays known when the manager is restarted, which makes many probes
// in a row.
func TestGapsStay(t *testing.T) {
	start := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	const restart, end = time.Hour, 2 * time.Hour
	s := receiverstatus.Source{Cluster: "1", APIServer: "a"}
	var next time.Time
	alarm := false
	for since, made := time.Duration(0), 0; since < end; since += 10 * time.Second {
		now := start.Add(since)
		if since == 0 || since == restart {
			next, made = now, 0
		}
		if s.LastPost = now; !now.Before(next) { // as package probe makes them
			s.Probes = append(s.Probes, receiverstatus.Probe{ID: fmt.Sprint(since), First: now, Classes: []receiverstatus.Class{receiverstatus.ClassWrite, receiverstatus.ClassSecret}})
			s.Probes = s.Probes[max(0, len(s.Probes)-receiverstatus.MaxProbes):]
			if made++; made <= 20 {
				next = now.Add(30 * time.Second)
			} else {
				next = now.Add(5 * time.Minute)
			}
		}
		is := len(Gaps([]receiverstatus.Source{s}, ProbeLag, now)) > 0
		switch {
		case alarm && !is:
			t.Errorf("%v after the start it is not known any more", since)
		case !is && since > 4*time.Minute:
			t.Fatalf("%v after the start it is not known", since)
		}
		alarm = is
	}
}
