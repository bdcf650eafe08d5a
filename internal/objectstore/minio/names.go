package minio

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"time"
)

const (
	// nameTTL is how long the addresses of a name are good for.
	nameTTL = 5 * time.Second
	// lookupTimeout bounds one question to the resolver.
	lookupTimeout = 15 * time.Second
)

// denyNames are the names of hosts that must not be dialed, for all stores.
var denyNames = names{lookup: func(ctx context.Context, host string) ([]netip.Addr, error) {
	return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
}}

// names asks the resolver once for all who want to know the same at the same
// time: a resolver that many trails ask at once loses questions, and each costs
// the one that asked five seconds.
type names struct {
	lookup func(ctx context.Context, host string) ([]netip.Addr, error)

	mu      sync.Mutex
	answers map[string]*answer
}

type answer struct {
	done  chan struct{} // closed when the rest is there
	addrs []netip.Addr  // none: nobody has the name
	err   error
	until time.Time
}

// find returns the addresses of host, none when nobody has that name.
func (n *names) find(ctx context.Context, host string) ([]netip.Addr, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	a := n.ask(host)
	select {
	case <-a.done:
		return a.addrs, a.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// ask returns the answer for host that is good or under way, or asks.
func (n *names) ask(host string) *answer {
	n.mu.Lock()
	defer n.mu.Unlock()
	if a := n.answers[host]; a != nil {
		select {
		case <-a.done:
			if a.err == nil && time.Now().Before(a.until) {
				return a
			}
		default:
			return a
		}
	}
	if n.answers == nil {
		n.answers = map[string]*answer{}
	}
	a := &answer{done: make(chan struct{})}
	n.answers[host] = a
	go func() {
		// Whoever asked first may give up; the others still want to know.
		ctx, cancel := context.WithTimeout(context.Background(), lookupTimeout)
		defer cancel()
		a.addrs, a.err = n.lookup(ctx, host)
		if dns := (*net.DNSError)(nil); errors.As(a.err, &dns) && dns.IsNotFound {
			a.addrs, a.err = nil, nil
		}
		a.until = time.Now().Add(nameTTL)
		close(a.done)
	}()
	return a
}
