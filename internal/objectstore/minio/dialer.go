package minio

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/trail-operator/trail-operator/internal/objectstore"
)

// dialer connects to addresses that may have been given by a tenant. It judges
// the address that a name was resolved to, at the moment of the connection, so
// that a name that changes its address gains nothing.
type dialer struct {
	allowPrivate bool
	deny         []string
}

func newDialer(allowPrivate bool, deny []string) *dialer {
	return &dialer{allowPrivate: allowPrivate, deny: deny}
}

// DialContext connects to address, unless that is forbidden.
func (d *dialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	denied, err := d.denied(ctx)
	if err != nil {
		return nil, err
	}
	nd := net.Dialer{
		Timeout:   dialTimeout,
		KeepAlive: 30 * time.Second,
		Control: func(_, resolved string, _ syscall.RawConn) error {
			to, err := netip.ParseAddrPort(resolved)
			if err != nil || !d.allowed(to.Addr()) || slices.ContainsFunc(denied, func(r deniedAddress) bool { return r.covers(to) }) {
				return objectstore.ErrForbiddenAddress
			}
			return nil
		},
	}
	c, err := nd.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return stallGuard{c}, nil
}

// metadataServices are the addresses outside the link-local ranges at which
// clouds give credentials to whoever asks from a node.
var metadataServices = []netip.Addr{
	netip.MustParseAddr("100.100.100.200"),
	netip.MustParseAddr("192.0.0.192"),
	netip.MustParseAddr("fd00:ec2::254"),
	netip.MustParseAddr("fd20:ce::254"),
}

// thisNetwork reaches the own machine on some systems.
var thisNetwork = netip.MustParsePrefix("0.0.0.0/8")

// allowed reports whether a tenant may have the receiver talk to a.
func (d *dialer) allowed(a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	return d.allowPrivate ||
		(a.IsGlobalUnicast() || a.IsPrivate()) && !thisNetwork.Contains(a) && !slices.Contains(metadataServices, a)
}

// deniedAddress is an address that is never dialed; port 0 means all ports.
type deniedAddress struct {
	addr netip.Addr
	port uint16
}

func (r deniedAddress) covers(to netip.AddrPort) bool {
	return r.addr == to.Addr().Unmap().WithZone("") && (r.port == 0 || r.port == to.Port())
}

// denied resolves the hosts that must not be dialed. What was looked up for
// another connection a moment ago is good for this one, too.
func (d *dialer) denied(ctx context.Context) ([]deniedAddress, error) {
	var all []deniedAddress
	for _, entry := range d.deny {
		host, port := splitHostPort(entry)
		addrs, err := denyNames.find(ctx, host)
		if err != nil {
			return nil, fmt.Errorf("resolving a host that must not be dialed: %w", err)
		}
		for _, a := range addrs {
			all = append(all, deniedAddress{a.Unmap().WithZone(""), port})
		}
	}
	return all, nil
}

// splitHostPort splits host:port; without a port, or with one that is no
// number, the entry stands for all ports.
func splitHostPort(entry string) (string, uint16) {
	host, text, err := net.SplitHostPort(entry)
	if err != nil {
		return strings.Trim(entry, "[]"), 0
	}
	port, err := net.LookupPort("tcp", text)
	if err != nil {
		return host, 0
	}
	return host, uint16(port)
}

// stallGuard ends reads and writes during which nothing moves for too long: a
// server that accepts a connection and never reads would hold the uploader.
type stallGuard struct{ net.Conn }

func (c stallGuard) Read(p []byte) (int, error) {
	if err := c.SetReadDeadline(time.Now().Add(stallTimeout)); err != nil {
		return 0, err
	}
	return c.Conn.Read(p)
}

// Write moves both deadlines: while a body is sent, a read waits for the answer.
func (c stallGuard) Write(p []byte) (int, error) {
	if err := c.SetDeadline(time.Now().Add(stallTimeout)); err != nil {
		return 0, err
	}
	return c.Conn.Write(p)
}
