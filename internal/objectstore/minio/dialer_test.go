package minio

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/trail-operator/trail-operator/internal/objectstore"
)

func TestAllowedAddresses(t *testing.T) {
	for addr, tenant := range map[string]bool{
		"8.8.8.8":                true,
		"10.0.0.1":               true, // a store inside the cluster
		"172.16.0.1":             true,
		"192.168.1.1":            true,
		"100.64.0.1":             true,
		"fd12::1":                true,
		"2001:db8::1":            true,
		"127.0.0.1":              false,
		"127.8.8.8":              false,
		"::1":                    false,
		"0.0.0.0":                false,
		"0.1.2.3":                false,
		"::":                     false,
		"169.254.169.254":        false,
		"fe80::1":                false,
		"fe80::1%eth0":           false,
		"224.0.0.1":              false,
		"ff02::1":                false,
		"255.255.255.255":        false,
		"100.100.100.200":        false,
		"192.0.0.192":            false,
		"fd00:ec2::254":          false,
		"::ffff:127.0.0.1":       false,
		"::ffff:169.254.1.1":     false,
		"::ffff:8.8.8.8":         true,
		"::ffff:100.100.100.200": false,
	} {
		a := netip.MustParseAddr(addr)
		if got := newDialer(false, nil).allowed(a); got != tenant {
			t.Errorf("%s for a tenant: want %v, got %v", addr, tenant, got)
		}
		if !newDialer(true, nil).allowed(a) {
			t.Errorf("%s should be allowed where private addresses are", addr)
		}
	}
}

func TestDeniedHosts(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		deny []string
		want error
	}{
		"nothing denied":           {nil, nil},
		"the address":              {[]string{"127.0.0.1:" + port}, objectstore.ErrForbiddenAddress},
		"its mapped form":          {[]string{"[::ffff:127.0.0.1]:" + port}, objectstore.ErrForbiddenAddress},
		"a name of it":             {[]string{"other.invalid:443", "localhost:" + port}, objectstore.ErrForbiddenAddress},
		"all ports":                {[]string{"127.0.0.1"}, objectstore.ErrForbiddenAddress},
		"all ports of IPv6":        {[]string{"[::1]", "::1"}, nil},
		"another port":             {[]string{"127.0.0.1:1"}, nil},
		"another address":          {[]string{"127.0.0.2:" + port}, nil},
		"a name that nobody has":   {[]string{"host.invalid:443"}, nil},
		"a port that is no number": {[]string{"127.0.0.1:no-such-service"}, objectstore.ErrForbiddenAddress},
	} {
		t.Run(name, func(t *testing.T) {
			for _, address := range []string{"127.0.0.1:" + port, "localhost:" + port} {
				conn, err := newDialer(true, tc.deny).DialContext(t.Context(), "tcp4", address)
				if err == nil {
					_ = conn.Close()
				}
				if !errors.Is(err, tc.want) {
					t.Errorf("%s: want %v, got %v", address, tc.want, err)
				}
			}
		})
	}
}

// TestDenyFailsClosed: while it is not known which address is denied, none is
// dialed.
func TestDenyFailsClosed(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := newDialer(true, []string{"host.invalid:443"}).denied(ctx); err == nil {
		t.Error("want an error when the denied host cannot be looked up")
	}
}

// TestStallGuard: a connection ends when nothing moves, and a read waits for
// the answer as long as the body is being sent.
func TestStallGuard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := net.Pipe()
		t.Cleanup(func() { _, _ = client.Close(), server.Close() })
		c, begin := stallGuard{client}, time.Now()
		go func() { _, _ = io.Copy(io.Discard, server) }()
		go func() {
			for range 3 {
				time.Sleep(stallTimeout * 2 / 3)
				_, _ = c.Write([]byte("body"))
			}
		}()
		_, err := c.Read(make([]byte, 1))
		var timeout net.Error
		if !errors.As(err, &timeout) || !timeout.Timeout() {
			t.Errorf("read: want a timeout, got %v", err)
		}
		if got, want := time.Since(begin), 3*stallTimeout; got != want {
			t.Errorf("read: want the timeout after %v, got it after %v", want, got)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		client, server := net.Pipe() // that nobody reads from
		t.Cleanup(func() { _, _ = client.Close(), server.Close() })
		begin := time.Now()
		if _, err := (stallGuard{client}).Write([]byte("body")); err == nil || time.Since(begin) != stallTimeout {
			t.Errorf("write: want a timeout after %v, got %v after %v", stallTimeout, err, time.Since(begin))
		}
	})
}
