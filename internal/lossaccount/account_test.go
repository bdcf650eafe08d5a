package lossaccount

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var start = time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC)

// world is a cluster of one API server that a test moves by hand.
type world struct {
	t        *testing.T
	a        *Account
	now      time.Time
	sample   Sample // of the process that runs
	born     time.Time
	silent   bool // its metrics cannot be read
	nameless bool
	away     bool // the receiver does not answer
	receiver Receiver
}

func newWorld(t *testing.T) *world {
	w := &world{t: t, now: start, receiver: Receiver{Spool: "s", Tail: 1, Accounted: 1, Sources: map[string]Source{}}}
	w.a = &Account{}
	w.a.Configure(Options{})
	w.begin(start.Add(-time.Hour))
	w.sent(0)
	return w
}

// begin starts a process of the API server.
func (w *world) begin(at time.Time) {
	w.born = at
	w.sample = Sample{Address: "10.0.0.1:6443", Started: at}
}

// sent: the receiver gets n events.
func (w *world) sent(n int64) {
	s := w.receiver.Sources["cp-1"]
	s.Received += n
	s.LastPost = w.now
	w.receiver.Sources["cp-1"] = s
}

func (w *world) tail(enabled, current bool) {
	s := w.receiver.Sources["cp-1"]
	s.Tail, s.TailCurrent = enabled, current
	w.receiver.Sources["cp-1"] = s
}

// processed: the API server processes n events, which the receiver gets.
func (w *world) processed(n int64) {
	w.sample.Events += n
	w.sent(n)
}

// look makes an observation after d.
func (w *world) look(d time.Duration) View {
	w.t.Helper()
	w.now = w.now.Add(d)
	o := Observation{Now: w.now, Addresses: []string{w.sample.Address}, Names: map[Identity]string{}}
	if !w.silent {
		s := w.sample
		s.Age = w.now.Sub(w.born)
		o.Samples = []Sample{s}
	}
	if !w.nameless {
		o.Names[w.sample.Identity()] = "cp-1"
	}
	if !w.away {
		r := w.receiver
		o.Receiver = &r
	}
	w.a.Observe(o)
	return w.a.View()
}

// looks makes observations over a time, each minute, and returns the last.
func (w *world) looks(over time.Duration) (v View) {
	w.t.Helper()
	for range over / time.Minute {
		v = w.look(time.Minute)
	}
	return v
}

// reload lets the manager start anew.
func (w *world) reload() {
	w.t.Helper()
	raw, err := w.a.Store()
	if err != nil {
		w.t.Fatal(err)
	}
	if w.a, err = Load(raw); err != nil {
		w.t.Fatal(err)
	}
	w.a.Configure(Options{})
}

// losses are those of a view, without what tests do not compare.
func losses(v View) (list []string) {
	for _, l := range v.Losses {
		list = append(list, fmt.Sprintf("%s %s %d", l.Cause, l.APIServer, l.Events))
	}
	return list
}

// fine: everything is known, and nothing was lost.
func fine(v View) bool {
	return len(v.Losses)+len(v.Unreadable)+len(v.Unidentified)+len(v.Behind) == 0 && !v.Through.IsZero()
}

func TestAccount(t *testing.T) {
	for name, tc := range map[string]struct {
		do   func(w *world)
		want []string
	}{
		"nothing happens": {do: func(w *world) {
			for range 30 {
				w.processed(100)
				w.look(time.Minute)
			}
		}},
		"dropped events are counted exactly": {
			do: func(w *world) {
				w.sample.Errors.Buffered = 7 // before the account began
				w.look(0)
				w.processed(10)
				w.sample.Events += 2125
				w.sample.Errors.Buffered += 2125
				w.look(time.Minute)
				w.sample.Events += 312
				w.sample.Errors.Webhook += 312
			},
			want: []string{"APIServerDropped cp-1 2437"},
		},
		"also over a restart of the manager": {
			do: func(w *world) {
				w.look(0)
				w.sample.Errors.Buffered += 5
				w.look(time.Minute)
				w.reload()
				w.sample.Errors.Buffered += 6
				w.look(20 * time.Minute)
				w.reload()
			},
			want: []string{"APIServerDropped cp-1 5", "APIServerDropped cp-1 6"},
		},
		"what a process drops before it is first read": {
			do: func(w *world) {
				w.look(0)
				w.now = w.now.Add(time.Minute)
				w.begin(w.now)
				w.sample.Errors.Truncate = 3
				w.look(30 * time.Second)
			},
			want: []string{"APIServerDropped cp-1 3", "APIServerProcessChanged cp-1 0"},
		},
		"a new process without a tail": {
			do: func(w *world) {
				w.looks(10 * time.Minute)
				w.begin(w.now)
				w.looks(10 * time.Minute)
			},
			want: []string{"APIServerProcessChanged cp-1 0"},
		},
		"a new process with a tail": {do: func(w *world) {
			w.tail(true, true)
			w.looks(10 * time.Minute)
			w.sample.Errors.Webhook = 40 // the tail sends them
			w.look(time.Minute)
			w.begin(w.now)
			w.looks(10 * time.Minute)
		}},
		"a tail that is behind when the process ends, and then switched off": {
			do: func(w *world) {
				w.tail(true, false)
				w.looks(2 * time.Minute)
				w.sample.Events += 41
				w.sample.Errors.Webhook = 40
				w.look(time.Minute)
				w.begin(w.now)
				w.looks(2 * time.Minute)
				w.tail(false, false)
			},
			want: []string{"APIServerDropped cp-1 40", "APIServerProcessChanged cp-1 0"},
		},
		"an API server that is silent, with a tail": {do: func(w *world) {
			w.tail(true, true)
			w.looks(10 * time.Minute)
			w.processed(1000)
			w.looks(time.Minute)
			w.tail(true, false) // its newest event is old
			w.looks(30 * time.Minute)
			w.sample.Errors.Webhook = 40
			w.looks(30 * time.Minute)
		}},
		"a silent API server is started anew, with a tail": {do: func(w *world) {
			w.tail(true, true)
			w.looks(10 * time.Minute)
			w.tail(true, false)
			w.sample.Errors.Webhook = 40
			w.begin(w.now)
			w.looks(2 * time.Minute)
			s := w.receiver.Sources["cp-1"]
			s.TailNewest = w.born.Add(time.Second)
			w.receiver.Sources["cp-1"] = s
			w.looks(10 * time.Minute)
		}},
		"what is missing in the log is lost with a tail, too": {
			do: func(w *world) {
				w.tail(true, true)
				w.look(0)
				w.sample.Errors = Errors{Buffered: 100, Webhook: 50, Truncate: 2, Log: 2}
			},
			want: []string{"APIServerDropped cp-1 2"},
		},
		"events that vanish": {
			do: func(w *world) {
				w.looks(8 * time.Minute)
				w.processed(1000)
				w.sample.Events += 17
				w.looks(8 * time.Minute)
			},
			want: []string{"NeverArrived cp-1 17"},
		},
		"events that vanish at the end of a process": {
			do: func(w *world) {
				w.looks(8 * time.Minute)
				w.sample.Events += 17
				w.look(time.Minute)
				w.begin(w.now)
				for range 8 {
					w.processed(5)
					w.look(time.Minute)
				}
			},
			want: []string{"APIServerProcessChanged cp-1 0"},
		},
		"an API server whose webhook is not connected": {
			do: func(w *world) {
				w.looks(8 * time.Minute)
				for range 10 {
					w.sample.Events += 10
					w.look(time.Minute)
				}
			},
			want: []string{"NeverArrived cp-1 50"},
		},
		"a receiver that is away": {do: func(w *world) {
			w.looks(8 * time.Minute)
			w.away = true
			w.sample.Events += 100
			w.looks(20 * time.Minute)
			w.away = false
			w.sent(100)
		}},
		"a receiver that has not counted yet": {do: func(w *world) {
			w.looks(8 * time.Minute)
			w.receiver.Tail = 1000
			w.sample.Events += 100
			w.looks(20 * time.Minute)
			w.receiver.Accounted = 1000
			w.sent(100)
			w.looks(20 * time.Minute)
		}},
		"a new volume": {
			do: func(w *world) {
				w.processed(1000)
				w.looks(8 * time.Minute)
				w.receiver.Spool, w.receiver.Tail, w.receiver.Accounted = "t", 1, 1
				w.receiver.Sources = map[string]Source{}
				w.processed(20)
				w.looks(20 * time.Minute)
			},
			want: []string{"NewVolume  0"},
		},
		"an older state of the volume": {
			do: func(w *world) {
				w.receiver.Tail, w.receiver.Accounted = 50, 50
				w.processed(1000)
				w.looks(8 * time.Minute)
				w.receiver.Tail, w.receiver.Accounted = 40, 40
				w.sent(-10)
				w.looks(8 * time.Minute)
			},
			want: []string{"VolumeRestored  0"},
		},
		"events that vanish after that": {
			do: func(w *world) {
				w.receiver.Tail, w.receiver.Accounted = 50, 50
				w.processed(1000)
				w.looks(8 * time.Minute)
				w.receiver.Tail, w.receiver.Accounted = 40, 40
				w.sent(-10)
				w.looks(8 * time.Minute)
				w.sample.Events += 5
				w.looks(8 * time.Minute)
			},
			want: []string{"VolumeRestored  0", "NeverArrived cp-1 5"},
		},
		"a source that the receiver has forgotten": {do: func(w *world) {
			w.processed(1000)
			w.looks(8 * time.Minute)
			w.receiver.Sources = map[string]Source{}
			w.looks(8 * time.Minute)
			w.processed(20)
			w.looks(20 * time.Minute)
		}},
		"counters that go back": {
			do: func(w *world) {
				w.sample.Events, w.sample.Errors.Buffered = 100, 5
				w.look(0)
				w.sample.Events, w.sample.Errors.Buffered = 50, 3
				w.look(time.Minute)
				w.sample.Errors.Buffered++
			},
			want: []string{"APIServerProcessChanged cp-1 0", "APIServerDropped cp-1 1"},
		},
		"a process that was away and answers again": {
			do: func(w *world) {
				w.look(0)
				w.sample.Errors.Buffered = 5
				w.look(time.Minute)
				w.silent = true
				w.looks(time.Hour)
				w.silent = false
				w.sample.Errors.Buffered = 6
			},
			want: []string{"APIServerDropped cp-1 5", "APIServerDropped cp-1 1"},
		},
		"a clock that is set back": {
			do: func(w *world) {
				w.looks(8 * time.Minute)
				w.now = w.now.Add(-time.Hour)
				w.born = w.born.Add(-time.Hour)
				w.sample.Errors.Buffered = 2
				w.looks(8 * time.Minute)
			},
			want: []string{"APIServerDropped cp-1 2"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			tc.do(w)
			v := w.look(time.Minute)
			if diff := cmp.Diff(tc.want, losses(v)); diff != "" {
				t.Error(diff)
			}
			if len(tc.want) > 0 {
				return
			}
			if v = w.looks(10 * time.Minute); !fine(v) {
				t.Errorf("it is not fine: %+v", v)
			}
		})
	}
}

// TestUnknown: what cannot be told is told.
func TestUnknown(t *testing.T) {
	for name, tc := range map[string]struct {
		do                             func(w *world)
		unreadable, unidentified, late []string
		notCompared                    bool
	}{
		"at first":                      {do: func(*world) {}, notCompared: true},
		"after the lag":                 {do: func(w *world) { w.looks(7 * time.Minute) }},
		"metrics that cannot be read":   {do: func(w *world) { w.looks(9 * time.Minute); w.silent = true; w.looks(3 * time.Minute) }, unreadable: []string{"cp-1"}},
		"never read":                    {do: func(w *world) { w.silent = true }, unreadable: []string{"10.0.0.1:6443"}, unidentified: []string{"cp-1"}, notCompared: true},
		"an unknown name":               {do: func(w *world) { w.nameless = true }, unidentified: []string{"10.0.0.1:6443", "cp-1"}, notCompared: true},
		"a tail that is behind":         {do: func(w *world) { w.tail(true, false); w.looks(9 * time.Minute); w.sample.Events++ }, late: []string{"cp-1"}},
		"a receiver that does not read": {do: func(w *world) { w.looks(9 * time.Minute); w.receiver.Tail = 9; w.looks(30 * time.Minute) }, notCompared: true},
		"a source that nobody is": {do: func(w *world) {
			w.looks(9 * time.Minute)
			w.receiver.Sources["cp-2"] = Source{Received: 1, LastPost: w.now.Add(time.Minute)}
		}, unidentified: []string{"cp-2"}},
		"a source that was there long ago": {do: func(w *world) {
			w.receiver.Sources["cp-2"] = Source{Received: 1, LastPost: w.now}
			w.looks(9 * time.Minute)
		}},
		"a process that ended with its tail behind": {do: func(w *world) {
			w.tail(true, true)
			w.looks(9 * time.Minute)
			w.tail(true, false)
			w.begin(w.now)
		}, late: []string{"cp-1"}, notCompared: true},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			tc.do(w)
			v := w.look(time.Minute)
			for what, d := range map[string]string{
				"unreadable": cmp.Diff(tc.unreadable, v.Unreadable), "unidentified": cmp.Diff(tc.unidentified, v.Unidentified), "behind": cmp.Diff(tc.late, v.Behind),
			} {
				if d != "" {
					t.Error(what, d)
				}
			}
			if v.Through.IsZero() != tc.notCompared {
				t.Errorf("compared up to %v", v.Through)
			}
			if len(v.Losses) > 0 {
				t.Errorf("losses: %v", losses(v))
			}
		})
	}
}

// TestRecords: a loss is recorded once, when it has stopped growing.
func TestRecords(t *testing.T) {
	w := newWorld(t)
	w.look(0)
	w.sample.Errors.Buffered = 3
	w.look(time.Minute)
	w.sample.Errors.Buffered = 5
	w.look(time.Minute)
	if due := w.a.Due(); len(due) > 0 {
		t.Fatalf("%v is due", due)
	}
	w.looks(6 * time.Minute)
	due := w.a.Due()
	if len(due) != 1 || due[0].Events != 5 {
		t.Fatalf("%v is due", due)
	}
	e := due[0].Event()
	const want = `{"cause":"APIServerDropped","apiServer":"cp-1","events":5,"errors":{"buffered":5},"from":"2026-11-21T10:00:00Z","to":"2026-11-21T10:02:00Z"}`
	if diff := cmp.Diff(want, string(e.Details)); diff != "" || e.Name != "EventsLost" || e.ID == "" || len(e.Trails) > 0 {
		t.Errorf("%+v\n%s", e, diff)
	}
	w.reload()
	if again := w.a.Due(); len(again) != 1 || again[0].ID != e.ID {
		t.Errorf("after a restart %v is due", again)
	}
	w.a.Recorded(e.ID)
	if due := w.a.Due(); len(due) > 0 {
		t.Errorf("%v is due again", due)
	}
	w.sample.Errors.Buffered = 6
	w.looks(10 * time.Minute)
	if due := w.a.Due(); len(due) != 1 || due[0].Events != 1 || due[0].ID == e.ID {
		t.Errorf("%v is due for one more", due)
	}
	if v := w.look(31 * 24 * time.Hour); len(v.Losses) != 1 {
		t.Errorf("after a month: %v", losses(v))
	}
}

// TestBounds: an API server that is never the same, and drops all the time.
func TestBounds(t *testing.T) {
	w := newWorld(t)
	w.look(0)
	total := int64(0)
	for n := range 800 {
		if n%2 == 0 {
			w.begin(w.now)
		}
		w.sample.Errors.Buffered++
		total++
		w.look(time.Minute)
		if n%3 > 0 {
			for _, l := range w.a.Due() {
				w.a.Recorded(l.ID)
			}
		}
	}
	for _, l := range w.a.Losses {
		total -= l.Events
	}
	if total != 0 {
		t.Errorf("%d events are not in the account", total)
	}
	w.reload()
	raw, err := w.a.Store()
	if err != nil || len(raw) > 200<<10 {
		t.Errorf("%d bytes, %v", len(raw), err)
	}
	if len(w.a.Losses) > maxLosses || len(w.a.Processes) > maxProcesses {
		t.Errorf("%d losses, %d processes", len(w.a.Losses), len(w.a.Processes))
	}
}

// TestSeveralBehindOneAddress: a load balancer shows one API server after the other.
func TestSeveralBehindOneAddress(t *testing.T) {
	a := &Account{}
	a.Configure(Options{})
	const address = "lb:6443"
	names := map[Identity]string{}
	r := &Receiver{Spool: "s", Tail: 1, Accounted: 1, Sources: map[string]Source{}}
	var samples []Sample
	for n := range 3 {
		s := Sample{Address: address, Started: start.Add(time.Duration(n)*time.Hour - 24*time.Hour), Events: 1}
		names[s.Identity()] = fmt.Sprintf("cp-%d", n)
		r.Sources[fmt.Sprintf("cp-%d", n)] = Source{Received: 1, LastPost: start}
		samples = append(samples, s)
	}
	observe := func(n int) View {
		now := start.Add(time.Duration(n) * time.Minute)
		s := samples[(n*n+n/7)%3] // not in turn
		s.Age = now.Sub(s.Started)
		a.Observe(Observation{Now: now, Addresses: []string{address}, Samples: []Sample{s}, Names: names, Receiver: r})
		return a.View()
	}
	for n := range 31 {
		if v := observe(n); len(v.Losses) > 0 || n > 29 && !fine(v) {
			t.Fatalf("look %d: %+v", n, v)
		}
	}
	// One of them is started anew.
	samples[1].Started = start.Add(30 * time.Minute)
	samples[1].Events = 0
	names[samples[1].Identity()] = "cp-1"
	for n := 31; n < 300; n++ {
		v := observe(n)
		if len(v.Losses) == 0 && n < 50 { // it was not read again yet
			continue
		}
		if diff := cmp.Diff([]string{"APIServerProcessChanged cp-1 0"}, losses(v)); diff != "" {
			t.Fatalf("look %d: %s", n, diff)
		}
	}
}
