package lossaccount

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"
)

// View is what can be said now.
type View struct {
	// Off: the installer has switched the account off, and there is nothing else.
	Off bool
	// Since is when the account began; zero while there was no observation.
	// Through is the moment up to which everything was compared; zero before the
	// first comparison, or when that is long ago.
	Since, Through time.Time
	// Unreadable are API servers whose metrics cannot be read, Unidentified those
	// whose metrics and events cannot be brought together, Behind those whose
	// tail has not sent everything. They are names, or addresses.
	Unreadable, Unidentified, Behind []string
	// NoAddress: no API server is known at all.
	NoAddress bool
	Losses    []Loss
	Servers   []ServerView
}

// Digest changes when something changes that is said of losses; nil has one, too.
func (v *View) Digest() string {
	if v == nil {
		return ""
	}
	said := fmt.Sprint(v.Off, v.Since.IsZero(), v.Through.IsZero(), v.NoAddress, v.Unreadable, v.Unidentified, v.Behind)
	for i := range v.Losses {
		l := &v.Losses[i]
		said += fmt.Sprint(" ", l.ID, l.APIServer, l.Events, l.To.Unix())
	}
	return said
}

// ServerView are the numbers of one API server since the account began.
type ServerView struct {
	Name string
	// Dropped events are lost, Covered ones were lost by the webhook and sent by the
	// tail, Changes are ends of processes.
	Dropped, Covered, Changes int64
	// Outstanding is how many events were processed and have neither arrived nor
	// been dropped yet.
	Outstanding int64
	// Compared is the moment up to which it was compared; zero for never.
	Compared time.Time
	Readable bool
}

// View says what is known after the last observation.
func (a *Account) View() View {
	v := View{Since: a.Since, NoAddress: len(a.addresses) == 0}
	if a.Since.IsZero() {
		return v
	}
	for _, l := range a.Losses {
		v.Losses = append(v.Losses, *l)
	}
	live := map[string]bool{}
	compared := true
	for _, p := range a.Processes {
		enabled, current := a.tail(p)
		switch {
		case !p.alive():
			switch {
			case p.Settled:
			case p.Name == "":
				v.Unidentified = append(v.Unidentified, p.label())
			default:
				v.Behind = append(v.Behind, p.label())
			}
			continue
		case p.Name == "" || !p.Balanced:
			v.Unidentified = append(v.Unidentified, p.label())
		case enabled && !current:
			v.Behind = append(v.Behind, p.label())
		}
		live[p.Name] = true
		switch {
		case p.Compared.IsZero() || a.now.Sub(p.Compared) > 3*a.lag:
			compared = false
		case v.Through.IsZero() || p.Compared.Before(v.Through):
			v.Through = p.Compared
		}
	}
	if !compared {
		v.Through = time.Time{}
	}
	for _, address := range a.addresses {
		if label, ok := a.readable(address); !ok {
			v.Unreadable = append(v.Unreadable, label)
		}
	}
	for name, last := range a.posting {
		// It sends, and none of the processes that we read is it.
		if !live[name] && a.now.Sub(last) <= a.lag {
			v.Unidentified = append(v.Unidentified, name)
		}
	}
	for _, list := range []*[]string{&v.Unreadable, &v.Unidentified, &v.Behind} {
		slices.Sort(*list)
		*list = slices.Compact(*list)
	}
	v.Servers = a.servers()
	return v
}

// readable reports whether an API server answers at the address, and its name.
func (a *Account) readable(address string) (label string, ok bool) {
	label = address
	for _, p := range a.Processes {
		if p.Address == address && p.alive() {
			label = p.label()
			if a.now.Sub(p.Read) <= a.stale {
				return label, true
			}
		}
	}
	return label, false
}

func (a *Account) servers() []ServerView {
	var list []ServerView
	for name, s := range a.Servers {
		v := ServerView{Name: name, Dropped: s.Dropped, Covered: s.Covered, Changes: s.Changes}
		for _, p := range a.Processes {
			if p.Name == name && p.alive() {
				v.Readable = v.Readable || a.now.Sub(p.Read) <= a.stale
				v.Compared = later(v.Compared, p.Compared)
			}
		}
		v.Outstanding = max(0, a.outstanding(name)-s.Missing)
		list = append(list, v)
	}
	slices.SortFunc(list, func(a, b ServerView) int { return cmp.Compare(a.Name, b.Name) })
	return list
}

// version of the stored form.
const version = 1

// maxStored bounds the stored form, in bytes.
const maxStored = 512 << 10

// Store returns the account as it is stored.
func (a *Account) Store() ([]byte, error) {
	a.Version = version
	b, err := json.Marshal(a)
	if err == nil && len(b) > maxStored {
		return nil, errors.New("the account of losses is too large to be stored")
	}
	return b, err
}

// Anew is the account after one that cannot be read: what that knew may have
// been a loss.
func Anew(now time.Time) *Account {
	a := &Account{now: now}
	a.open(CauseAccountLost, "", now)
	return a
}

// Load reads a stored account. None is a new one.
func Load(raw []byte) (*Account, error) {
	a := &Account{}
	if len(raw) == 0 {
		return a, nil
	}
	if len(raw) > maxStored {
		return nil, errors.New("the stored account of losses is too large")
	}
	if err := json.Unmarshal(raw, a); err != nil {
		return nil, fmt.Errorf("the stored account of losses cannot be read: %w", err)
	}
	if a.Version != version {
		return nil, fmt.Errorf("the stored account of losses has version %d, this manager reads %d", a.Version, version)
	}
	if len(a.Processes) > maxProcesses || len(a.Losses) > 2*maxLosses || len(a.Servers) > maxServers || slices.Contains(a.Processes, nil) || slices.Contains(a.Losses, nil) {
		return nil, errors.New("the stored account of losses holds more than it can")
	}
	for _, s := range a.Servers {
		if s == nil {
			return nil, errors.New("the stored account of losses has an empty entry")
		}
	}
	return a, nil
}
