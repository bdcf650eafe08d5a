// Package lossaccount keeps the account of what API servers have lost: what
// they say they processed and dropped, against what the receiver has received of
// them. It is pure: an Account observes, and says what is known, what is possible
// and what cannot be told.
package lossaccount

import (
	"slices"
	"time"
)

// Lag is how long an event may be under way: kube-apiserver tries a batch five
// times, 30 seconds each, with up to 98 seconds between. What it processed so long
// ago has arrived, or was dropped.
const Lag = 6 * time.Minute

// Bounds of an Account.
const (
	maxProcesses = 200
	maxServers   = 100
	maxLosses    = 200
	// maxReadings of one process are remembered, and as many of the receiver.
	maxReadings = 256
)

// keepLoss is how long a loss is spoken of. Its record stays in the buckets.
const keepLoss = 30 * 24 * time.Hour

// clockGrain is how exactly the age of a process is known: the Date header of
// its answer has whole seconds.
const clockGrain = 2 * time.Second

// sharedPatience is how many lags one of several API servers behind one address
// may go unread: of three, each is read once in three looks.
const sharedPatience = 10

// Errors count what kube-apiserver has dropped, by plugin
// (apiserver_audit_error_total).
type Errors struct {
	Buffered int64 `json:"buffered,omitempty"` // found the buffer full, or closed
	Webhook  int64 `json:"webhook,omitempty"`  // in batches that five tries did not deliver
	Truncate int64 `json:"truncate,omitempty"` // could not be encoded, or were too large
	Log      int64 `json:"log,omitempty"`      // missing in the audit log
}

func (e Errors) minus(o Errors) Errors {
	return Errors{e.Buffered - o.Buffered, e.Webhook - o.Webhook, e.Truncate - o.Truncate, e.Log - o.Log}
}

func (e Errors) plus(o Errors) Errors {
	return Errors{e.Buffered + o.Buffered, e.Webhook + o.Webhook, e.Truncate + o.Truncate, e.Log + o.Log}
}

// negative: a counter went back.
func (e Errors) negative() bool { return min(e.Buffered, e.Webhook, e.Truncate, e.Log) < 0 }

// lost is how many events did not get through. With a tail, which reads the audit
// log, only what is not in the log is lost. What could not be encoded may count
// under either name there, depending on flags: the larger one is right.
func (e Errors) lost(tail bool) int64 {
	if tail {
		return max(e.Log, e.Truncate)
	}
	return e.Buffered + e.Webhook + e.Truncate
}

// Sample is what one process of kube-apiserver says of itself.
type Sample struct {
	// Address at which it answered, host:port.
	Address string
	// Started is when the process was started, exactly as it says it, and Age how
	// long ago that is by its own clock.
	Started time.Time
	Age     time.Duration
	// Events went to its audit backends: each stage of each call that the policy
	// lets through, once (apiserver_audit_event_total).
	Events int64
	Errors Errors
}

// Identity tells processes apart.
type Identity struct {
	Address string
	Started int64 // nanoseconds since 1970
}

// Identity of the process.
func (s *Sample) Identity() Identity { return Identity{s.Address, s.Started.UnixNano()} }

// Source is what the receiver says of one API server.
type Source struct {
	// Received counts events of all stages, each once: those of the tail if there
	// is one, else those of the webhook. It only grows.
	Received int64
	// LastPost is when it last posted.
	LastPost time.Time
	// Tail: a tail follows its audit log. TailCurrent: what it has sent last is
	// new. An API server may be silent, too, so that this is not always to be seen.
	Tail, TailCurrent bool
	// TailNewest is the time of the newest event that the tail has sent, by the
	// clock of the API server.
	TailNewest time.Time
}

// Receiver is what the receiver says.
type Receiver struct {
	Spool string // UUID
	// Tail is the position up to which chunks are stored, Accounted the one up to
	// which Sources count them.
	Tail, Accounted uint64
	Sources         map[string]Source // by name of the API server
}

// Observation is one look at everything.
type Observation struct {
	Now time.Time
	// Addresses of all API servers, and Samples of those that answered.
	Addresses []string
	Samples   []Sample
	// Names of the API servers as far as they are known now.
	Names map[Identity]string
	// Receiver was asked before the API servers were; nil: it does not answer.
	Receiver *Receiver
}

// Account is the state; it is stored as JSON.
type Account struct {
	Version int `json:"version"`
	// Since is when the first observation was made.
	Since time.Time `json:"since,omitzero"`
	// Spool is the receiver's, and Accounted how far it had counted.
	Spool     string             `json:"spool,omitempty"`
	Accounted uint64             `json:"accounted,omitempty"`
	Processes []*Process         `json:"processes,omitempty"`
	Servers   map[string]*Server `json:"servers,omitempty"`
	// Losses are ordered by when they began.
	Losses []*Loss `json:"losses,omitempty"`

	lag, stale time.Duration
	marks      []mark
	addresses  []string
	reachable  bool                 // the receiver answered
	posting    map[string]time.Time // when each API server last posted
	now        time.Time
}

// mark is a moment and what the receiver had stored then.
type mark struct {
	at   time.Time
	tail uint64
}

// Process is one process of kube-apiserver.
type Process struct {
	Address string    `json:"address"`
	Started time.Time `json:"started"`
	// Name of the API server; empty while it is not known.
	Name string `json:"name,omitempty"`
	// Events and Errors as last read, at Read by our clock. First is when the
	// process was first read.
	Events int64     `json:"events"`
	Errors Errors    `json:"errors,omitzero"`
	First  time.Time `json:"first"`
	Read   time.Time `json:"read"`
	// Known errors are in the account already.
	Known Errors `json:"known,omitzero"`
	// Balanced: the process is compared with the receiver, from BaseEvents and
	// BaseErrors on.
	Balanced   bool   `json:"balanced,omitempty"`
	BaseEvents int64  `json:"baseEvents,omitempty"`
	BaseErrors Errors `json:"baseErrors,omitzero"`
	// Compared is the reading up to which it was compared.
	Compared time.Time `json:"compared,omitzero"`
	// Ended is when the process was found to be gone; Settled: its end is in the account.
	Ended   time.Time `json:"ended,omitzero"`
	Settled bool      `json:"settled,omitempty"`

	born     time.Time // by our clock
	readings []reading
}

type reading struct {
	at     time.Time
	events int64
}

// label names a process for people.
func (p *Process) label() string {
	if p.Name != "" {
		return p.Name
	}
	return p.Address
}

func (p *Process) alive() bool { return p.Ended.IsZero() }

// Server is the account of one API server over all its processes.
type Server struct {
	// Tail: it is the tail that is compared.
	Tail bool `json:"tail,omitempty"`
	// Base is what the receiver had received when the comparison began, at Based; Received
	// what it has now. Carried is what processes that are gone should have sent.
	Base     int64     `json:"base"`
	Based    time.Time `json:"based,omitzero"`
	Received int64     `json:"received"`
	Carried  int64     `json:"carried,omitempty"`
	// Missing is how much less has arrived, the most that was ever found.
	Missing int64 `json:"missing,omitempty"`
	// Dropped, Covered and Changes count since the beginning: events that were
	// lost; events that the webhook lost and the tail sent; ends of processes.
	Dropped int64 `json:"dropped,omitempty"`
	Covered int64 `json:"covered,omitempty"`
	Changes int64 `json:"changes,omitempty"`

	tailCurrent bool
	tailNewest  time.Time
	present     bool // in the receiver's last answer
}

// Options of an Account. Zero values are those of the product.
type Options struct {
	// Lag is how long an event may be under way.
	Lag time.Duration
	// Stale is how old the last reading of an API server may be.
	Stale time.Duration
}

// Configure sets options before the first observation.
func (a *Account) Configure(o Options) {
	a.lag, a.stale = o.Lag, o.Stale
	if a.lag == 0 {
		a.lag = Lag
	}
	if a.stale == 0 {
		a.stale = 3 * time.Minute
	}
}

// Observe takes an observation into the account.
func (a *Account) Observe(o Observation) {
	if a.Since.IsZero() {
		a.Since = o.Now
	}
	if a.Servers == nil {
		a.Servers = map[string]*Server{}
	}
	a.now, a.addresses = o.Now, slices.Clone(o.Addresses)
	a.seal()
	for _, p := range a.Processes {
		if p.Balanced && p.readings == nil { // they are not stored
			p.readings = []reading{{p.Read, p.Events}}
		}
	}
	a.receiver(o.Receiver)
	for _, p := range a.Processes {
		p.identify(o.Names)
	}
	for i := range o.Samples {
		a.sample(&o.Samples[i], o.Names)
	}
	a.findEnded()
	for _, p := range a.Processes {
		a.settle(p)
	}
	a.balance()
	a.fold()
	a.tidy()
}

// receiver takes what the receiver says into the account.
func (a *Account) receiver(r *Receiver) {
	if a.reachable = r != nil; !a.reachable {
		return
	}
	switch {
	case a.Spool != "" && a.Spool != r.Spool:
		a.open(CauseNewVolume, "", a.now)
		a.rebase(r)
	case r.Accounted < a.Accounted:
		a.open(CauseVolumeRestored, "", a.now)
		a.rebase(r)
	}
	a.Spool, a.Accounted = r.Spool, r.Accounted
	a.marks = append(a.marks, mark{a.now, r.Tail})
	a.marks = a.marks[max(0, len(a.marks)-maxReadings):]
	a.posting = map[string]time.Time{}
	for _, s := range a.Servers {
		s.present = false
	}
	for name, of := range r.Sources {
		a.posting[name] = of.LastPost
		s := a.Servers[name]
		if s == nil {
			if len(a.Servers) >= maxServers {
				continue
			}
			s = &Server{Tail: of.Tail, Base: of.Received, Based: a.now, Received: of.Received}
			a.Servers[name] = s
		}
		if s.Tail != of.Tail || of.Received < s.Received {
			s.Tail = of.Tail
			a.rebaseServer(name, s, of.Received)
		}
		s.Received, s.tailCurrent, s.tailNewest, s.present = of.Received, of.TailCurrent, of.TailNewest, true
	}
}

// rebase begins all comparisons anew: what the receiver had counted is gone.
func (a *Account) rebase(r *Receiver) {
	a.marks = nil
	for name, s := range a.Servers {
		a.rebaseServer(name, s, r.Sources[name].Received)
	}
}

// rebaseServer begins the comparison of a server anew. Its processes join when
// they are read next: what they processed before they join must not be expected.
func (a *Account) rebaseServer(name string, s *Server, received int64) {
	s.Base, s.Received, s.Based, s.Carried, s.Missing = received, received, a.now, 0, 0
	for _, p := range a.Processes {
		if p.Name == name {
			p.Balanced, p.Compared, p.readings = false, time.Time{}, nil
		}
	}
}

// sample takes what a process says into the account.
func (a *Account) sample(s *Sample, names map[Identity]string) {
	i := slices.IndexFunc(a.Processes, func(p *Process) bool { return p.Address == s.Address && p.Started.Equal(s.Started) })
	if i < 0 {
		if len(a.Processes) >= maxProcesses {
			return // it counts as one that cannot be read
		}
		p := &Process{Address: s.Address, Started: s.Started, First: a.now, Errors: s.Errors, Events: s.Events}
		// One that was started later has dropped all that it dropped under our eyes.
		if a.now.Add(-s.Age).Before(a.Since) {
			p.Known = s.Errors
		}
		a.Processes = append(a.Processes, p)
		i = len(a.Processes) - 1
	}
	p := a.Processes[i]
	p.identify(names)
	p.born = a.now.Add(-s.Age)
	since := p.Read
	if since.IsZero() {
		since = later(p.born, a.Since)
	}
	if s.Errors.minus(p.Errors).negative() || s.Events < p.Events {
		// No process counts backwards: this is another one that says it was started
		// at the same moment. What happened between is not known.
		a.change(p.label(), since)
		p.Known, p.Balanced, p.readings = s.Errors, false, nil
	}
	p.Ended, p.Settled = time.Time{}, false // it lives
	p.Events, p.Errors, p.Read = s.Events, s.Errors, a.now
	a.join(p)
	p.readings = append(p.readings, reading{a.now, s.Events})
	p.readings = p.readings[max(0, len(p.readings)-maxReadings):]
	a.drops(p, since)
}

// identify names the process, if it has no name and one is known now.
func (p *Process) identify(names map[Identity]string) {
	if p.Name == "" {
		p.Name = names[Identity{p.Address, p.Started.UnixNano()}]
	}
}

// join begins to compare a process with what the receiver has of it.
func (a *Account) join(p *Process) {
	s := a.Servers[p.Name]
	if p.Balanced || s == nil {
		return
	}
	if p.born.Before(s.Based.Add(clockGrain)) {
		// A part of what it processed was received before the comparison began.
		if !slices.ContainsFunc(a.Processes, func(o *Process) bool { return o.Name == p.Name && o.Balanced }) {
			a.rebaseServer(p.Name, s, s.Received)
		}
		p.BaseEvents, p.BaseErrors, p.readings = p.Events, p.Errors, nil
	} else {
		p.BaseEvents, p.BaseErrors = 0, Errors{}
	}
	p.Balanced = true
}

// tail says what is known of the tail of a process: whether there is one, and
// whether that has sent everything.
func (a *Account) tail(p *Process) (enabled, current bool) {
	s := a.Servers[p.Name]
	switch {
	case s == nil:
		return false, false
	case !s.Tail || !a.reachable || !s.present:
		return s.Tail, false
	case s.tailCurrent:
		return true, true
	case p.alive():
		return true, a.outstanding(p.Name) <= 0
	}
	// It has come to events of the process that took the place of this one.
	return true, slices.ContainsFunc(a.Processes, func(o *Process) bool {
		return o.Name == p.Name && o.Started.After(p.Started) && s.tailNewest.After(o.Started)
	})
}

// outstanding is how many events have neither arrived nor been dropped.
func (a *Account) outstanding(name string) int64 {
	s := a.Servers[name]
	expected := s.Carried
	for _, p := range a.Processes {
		if p.Name == name && p.Balanced {
			expected += p.expected(p.Events, s.Tail)
		}
	}
	return expected - (s.Received - s.Base)
}

// drops takes what the process has dropped since into the account.
func (a *Account) drops(p *Process, since time.Time) {
	d := p.Errors.minus(p.Known)
	if d == (Errors{}) || p.Name == "" && a.now.Sub(p.First) < a.lag {
		return // who it is decides whether there is a tail
	}
	enabled, current := a.tail(p)
	n := d.lost(enabled)
	if enabled && !current && d.lost(false) > 0 {
		return // the tail may still send what the webhook lost
	}
	p.Known = p.Errors
	if s := a.Servers[p.Name]; s != nil {
		s.Dropped += n
		s.Covered += max(0, d.lost(false)-n)
	}
	if n > 0 {
		a.lose(CauseDropped, p.label(), n, d, since)
	}
}

// findEnded finds processes that are gone.
func (a *Account) findEnded() {
	for _, p := range a.Processes {
		if !p.alive() || p.Read.Equal(a.now) {
			continue
		}
		patience := a.lag
		if a.shares(p) {
			patience = sharedPatience * a.lag
		}
		silent := a.now.Sub(p.Read) > patience
		answers := slices.ContainsFunc(a.Processes, func(o *Process) bool {
			if o == p || o.Address != p.Address || !o.alive() || !o.Read.Equal(a.now) {
				return false
			}
			// Behind one address there may be several API servers. One of the same
			// name that was started since we last read this one has replaced it.
			replaced := o.Name != "" && o.Name == p.Name && o.born.After(p.Read.Add(-clockGrain))
			return silent || replaced
		})
		if answers || silent && !slices.Contains(a.addresses, p.Address) {
			p.Ended = a.now
		}
	}
}

// shares reports whether several API servers live behind the address of a
// process: it is read by chance.
func (a *Account) shares(p *Process) bool {
	return slices.ContainsFunc(a.Processes, func(o *Process) bool {
		return o.Address == p.Address && o.Name != "" && p.Name != "" && o.Name != p.Name && o.First.Before(p.Read)
	})
}

// settle takes the end of a process into the account. What it lost after it was
// last read stands in its audit log: with a tail, nothing is lost when that has
// sent everything; without one, nobody knows.
func (a *Account) settle(p *Process) {
	if p.alive() || p.Settled || p.Name == "" && a.now.Sub(p.First) < a.lag {
		return
	}
	enabled, current := a.tail(p)
	if enabled && (!current || p.Ended.Equal(a.now)) {
		return // the tail is asked again, after the end
	}
	p.Settled = true
	a.drops(p, p.Read)
	if !enabled {
		a.change(p.label(), p.Read)
	}
}

// change notes the end of a process that may have lost something.
func (a *Account) change(name string, since time.Time) {
	if s := a.Servers[name]; s != nil {
		s.Changes++
	}
	a.open(CauseProcessChanged, name, since)
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// Named reports whether the name of a process is known.
func (a *Account) Named(of Identity) bool {
	return slices.ContainsFunc(a.Processes, func(p *Process) bool {
		return p.Address == of.Address && p.Started.UnixNano() == of.Started && p.Name != ""
	})
}

// Knows reports whether an API server was ever read at the address.
func (a *Account) Knows(address string) bool {
	return slices.ContainsFunc(a.Processes, func(p *Process) bool { return p.Address == address })
}
