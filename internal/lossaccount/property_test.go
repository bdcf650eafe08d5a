package lossaccount

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// server is an API server of the model.
type server struct {
	name, address string
	born          time.Time
	events        int64
	errors        Errors
	flight        []batch // processed, and not arrived yet
	scraped       Errors  // what of errors could be known
	readable      bool
}

// batch arrives, is dropped, or vanishes.
type batch struct {
	due     time.Time
	events  int64
	dropped bool
	lost    bool
}

// TestProperty: whatever happens in whatever order, dropped events are counted
// exactly, nothing is said to be lost that was not, what has vanished is found
// when it is quiet, and a process that ended is never passed over.
func TestProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		now := start
		a := &Account{}
		a.Configure(Options{})
		r := &Receiver{Spool: "s", Tail: 1, Accounted: 1, Sources: map[string]Source{}}
		servers := make([]*server, rapid.IntRange(1, 3).Draw(t, "servers"))
		for i := range servers {
			servers[i] = &server{
				name: fmt.Sprintf("cp-%d", i), address: fmt.Sprintf("10.0.0.%d:6443", i), readable: true,
				born: start.Add(-time.Duration(rapid.IntRange(1, 100).Draw(t, "age")) * time.Hour),
			}
			r.Sources[servers[i].name] = Source{LastPost: now}
		}
		away, resting := false, false
		counted := map[string]int64{} // drops that could be known
		ends := map[string]int{}
		unread := map[string]int64{} // drops that nobody has read before the process ended
		vanished := map[string]int64{}
		// arrivals moves what is under way.
		arrivals := func() {
			for _, s := range servers {
				rest := s.flight[:0]
				for _, b := range s.flight {
					switch {
					case b.due.After(now):
						rest = append(rest, b)
					case b.dropped:
						s.errors.Webhook += b.events
					case b.lost:
					default:
						of := r.Sources[s.name]
						of.Received += b.events
						of.LastPost = now
						r.Sources[s.name] = of
						r.Tail++
						if rapid.Bool().Draw(t, "counted") {
							r.Accounted = r.Tail
						}
					}
				}
				s.flight = rest
			}
		}
		observe := func() {
			o := Observation{Now: now, Names: map[Identity]string{}}
			if !away {
				c := *r
				if c.Accounted < c.Tail { // it has not counted the newest
					c.Accounted = a.Accounted
					c.Sources = map[string]Source{}
					for name, of := range r.Sources {
						if s := a.Servers[name]; s != nil {
							of.Received = s.Received
						}
						c.Sources[name] = of
					}
				}
				o.Receiver = &c
			}
			for _, s := range servers {
				o.Addresses = append(o.Addresses, s.address)
				if !s.readable {
					continue
				}
				sample := Sample{Address: s.address, Started: s.born, Age: now.Sub(s.born), Events: s.events, Errors: s.errors}
				o.Samples = append(o.Samples, sample)
				o.Names[sample.Identity()] = s.name
				counted[s.name] += s.errors.lost(false) - s.scraped.lost(false)
				s.scraped = s.errors
			}
			a.Observe(o)
			if !resting && rapid.IntRange(0, 9).Draw(t, "restart of the manager") == 0 {
				raw, err := a.Store()
				if err != nil {
					t.Fatal(err)
				}
				if a, err = Load(raw); err != nil {
					t.Fatal(err)
				}
				a.Configure(Options{})
			}
		}
		observe()
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			s := rapid.SampledFrom(servers).Draw(t, "server")
			switch rapid.IntRange(0, 9).Draw(t, "what") {
			case 0, 1, 2, 3:
				n := int64(rapid.IntRange(1, 500).Draw(t, "events"))
				s.events += n
				kind := rapid.IntRange(0, 9).Draw(t, "fate")
				b := batch{
					due: now.Add(time.Duration(rapid.IntRange(0, 300).Draw(t, "seconds")) * time.Second), events: n,
					dropped: kind == 0, lost: kind == 1,
				}
				if b.lost {
					vanished[s.name] += n
				}
				s.flight = append(s.flight, b)
			case 4:
				n := int64(rapid.IntRange(1, 100).Draw(t, "overflow"))
				s.events += n
				s.errors.Buffered += n
			case 5:
				if len(s.flight) == 0 {
					unread[s.name] += s.errors.lost(false) - s.scraped.lost(false)
					s.born, s.events, s.errors, s.scraped = now, 0, Errors{}, Errors{}
					ends[s.name]++
				}
			case 6:
				s.readable = !s.readable
			case 7:
				away = !away
			default:
				now = now.Add(time.Duration(rapid.IntRange(10, 200).Draw(t, "time")) * time.Second)
				arrivals()
				observe()
			}
		}
		// Everything comes to rest.
		away, resting = false, true
		for _, s := range servers {
			s.readable = true
		}
		for range 20 {
			now = now.Add(time.Minute)
			arrivals()
			r.Accounted = r.Tail
			observe()
		}
		dropped, changed, missing := map[string]int64{}, map[string]bool{}, map[string]int64{}
		for _, l := range a.View().Losses {
			switch l.Cause {
			case CauseDropped:
				dropped[l.APIServer] += l.Events
			case CauseMissing:
				missing[l.APIServer] += l.Events
			case CauseProcessChanged:
				changed[l.APIServer] = true
			default:
				t.Fatalf("a loss %+v", l)
			}
		}
		for _, s := range servers {
			if dropped[s.name] != counted[s.name] {
				t.Fatalf("%s dropped %d, the account says %d", s.name, counted[s.name], dropped[s.name])
			}
			if changed[s.name] != (ends[s.name] > 0) {
				t.Fatalf("%s has ended %d times, the account says %v", s.name, ends[s.name], changed[s.name])
			}
			if missing[s.name] > vanished[s.name]+unread[s.name] || ends[s.name] == 0 && missing[s.name] < vanished[s.name] {
				t.Fatalf("of %s %d vanished, the account says %d", s.name, vanished[s.name], missing[s.name])
			}
		}
		if v := a.View(); len(v.Unreadable)+len(v.Unidentified)+len(v.Behind) > 0 || v.Through.IsZero() {
			t.Fatalf("it does not come to rest: %+v", v)
		}
	})
}

// FuzzLoad: whatever is stored, an account goes on with it or refuses it.
func FuzzLoad(f *testing.F) {
	w := newWorld(&testing.T{})
	w.sample.Errors.Buffered = 3
	w.look(0)
	w.begin(w.now)
	w.look(time.Minute)
	raw, err := w.a.Store()
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range []string{"", "{}", `{"version":1}`, `{"version":1,"processes":[null]}`, `{"version":1,"servers":{"a":null}}`, string(raw)} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		a, err := Load(raw)
		if err != nil {
			return
		}
		a.Configure(Options{})
		r := &Receiver{Spool: "s", Tail: 1, Accounted: 1, Sources: map[string]Source{"cp-1": {Received: 1}}}
		for n := range 3 {
			a.Observe(Observation{
				Now: start.Add(time.Duration(n) * 10 * time.Minute), Addresses: []string{"a:1"}, Receiver: r,
				Samples: []Sample{{Address: "a:1", Started: start, Events: int64(n)}},
				Names:   map[Identity]string{{Address: "a:1", Started: start.UnixNano()}: "cp-1"},
			})
			v := a.View()
			if _, err := json.Marshal(v); err != nil && raw != nil {
				continue // years beyond what JSON holds
			}
		}
		for _, l := range a.Due() {
			_ = l.Event()
			a.Recorded(l.ID)
		}
		_, _ = a.Store()
	})
}
