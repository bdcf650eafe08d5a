package pki

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var now = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func newCA(t *testing.T) KeyPair {
	t.Helper()
	ca, err := NewCA("test CA", now)
	if err != nil {
		t.Fatal(err)
	}
	return ca
}

func issue(t *testing.T, pair KeyPair, err error) tls.Certificate {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	c, err := tls.X509KeyPair(pair.Cert, pair.Key)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// handshake connects a client to a server and returns what each end says.
func handshake(t *testing.T, name string, server, client tls.Certificate, roots *x509.CertPool) (serverErr, clientErr error) {
	t.Helper()
	a, b := net.Pipe()
	hangUp := func(c net.Conn) { _ = c.Close() } // the other end then ends, too
	defer hangUp(a)
	defer hangUp(b)
	clock := func() time.Time { return now }
	s := tls.Server(a, &tls.Config{
		MinVersion: tls.VersionTLS12, MaxVersion: tls.VersionTLS12, Time: clock,
		Certificates: []tls.Certificate{server}, ClientCAs: roots, ClientAuth: tls.RequireAndVerifyClientCert,
	})
	c := tls.Client(b, &tls.Config{
		MinVersion: tls.VersionTLS12, Time: clock,
		Certificates: []tls.Certificate{client}, RootCAs: roots, ServerName: name,
	})
	done := make(chan error, 1)
	go func() {
		err := s.Handshake()
		if err != nil {
			hangUp(a)
		}
		done <- err
	}()
	clientErr = c.Handshake()
	if clientErr != nil {
		hangUp(b)
	}
	return <-done, clientErr
}

func TestHandshake(t *testing.T) {
	ca := newCA(t)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca.Cert)
	sp, err := ca.IssueServer(now, "receiver.trail.svc", "127.0.0.1")
	server := issue(t, sp, err)
	cp, err := ca.IssueClient(now, "000000000042:cp-1", "trail-operator:audit")
	client := issue(t, cp, err)

	for _, name := range []string{"receiver.trail.svc", "127.0.0.1"} {
		if s, c := handshake(t, name, server, client, roots); s != nil || c != nil {
			t.Errorf("%s: %v, %v", name, s, c)
		}
	}
	if got := client.Leaf.Subject; got.CommonName != "000000000042:cp-1" || got.Organization[0] != "trail-operator:audit" {
		t.Errorf("subject is %v", got)
	}
	if _, c := handshake(t, "other.svc", server, client, roots); c == nil {
		t.Error("the client accepted another name")
	}
	if s, _ := handshake(t, "127.0.0.1", server, server, roots); s == nil {
		t.Error("the server accepted a server certificate from a client")
	}
	if _, c := handshake(t, "127.0.0.1", client, client, roots); c == nil {
		t.Error("the client accepted a client certificate from a server")
	}
	op, err := newCA(t).IssueClient(now, "x")
	if s, _ := handshake(t, "127.0.0.1", server, issue(t, op, err), roots); s == nil {
		t.Error("the server accepted a certificate of another CA")
	}
}

func TestCheck(t *testing.T) {
	ca := newCA(t)
	pair, err := ca.IssueServer(now, "a.example", "10.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	cert, err := pair.Check(ca.Cert)
	if err != nil {
		t.Fatal(err)
	}
	if !HasNames(cert, []string{"a.example", "10.0.0.1"}) || HasNames(cert, []string{"b.example"}) {
		t.Error("HasNames is wrong")
	}
	if Expired(cert, now) || !Expired(cert, now.Add(LeafLifetime+time.Second)) {
		t.Error("Expired is wrong")
	}
	if _, err := pair.Check(newCA(t).Cert); err == nil {
		t.Error("another CA was accepted")
	}
	if _, err := (KeyPair{pair.Cert, ca.Key}).Check(ca.Cert); err == nil {
		t.Error("another key was accepted")
	}
	late, err := ca.IssueServer(now.Add(CALifetime-time.Hour), "a.example")
	if err != nil {
		t.Fatal(err)
	}
	root, err := ca.Check(ca.Cert)
	if err != nil {
		t.Fatal(err)
	}
	if c, err := late.Check(ca.Cert); err != nil || c.NotAfter.After(root.NotAfter) {
		t.Errorf("a leaf outlives its CA: %v", err)
	}
	if _, err := ca.IssueServer(now); err == nil {
		t.Error("a server certificate without names was issued")
	}
}

func parse(t *rapid.T, pair KeyPair, err error) *x509.Certificate {
	if err != nil {
		t.Fatal(err)
	}
	certs, err := ParseBundle(pair.Cert)
	if err != nil {
		t.Fatal(err)
	}
	return certs[0]
}

// TestRenewal: whenever somebody looks at least once a week, a certificate is
// renewed before its end, seldom, and never outlives its CA; near the end of the
// CA nothing is issued again and again.
func TestRenewal(t *testing.T) {
	const day = 24 * time.Hour
	rapid.Check(t, func(t *rapid.T) {
		ca, err := NewCA("test CA", now)
		issuer := parse(t, ca, err)
		at := now.Add(time.Duration(rapid.Int64Range(0, int64(CALifetime-day)).Draw(t, "begin")))
		pair, err := ca.IssueClient(at, "x")
		cert := parse(t, pair, err)
		renewed := 0
		for range 60 {
			at = at.Add(time.Duration(rapid.Int64Range(int64(time.Minute), int64(7*day)).Draw(t, "step")))
			if at.After(issuer.NotAfter) {
				break
			}
			if Expired(cert, at) {
				t.Fatalf("expired at %s", at)
			}
			if !RenewalDue(cert, issuer, at) {
				continue
			}
			if left := cert.NotAfter.Sub(at); left > LeafLifetime/3+time.Hour {
				t.Fatalf("renewed with %s left", left)
			}
			pair, err := ca.IssueClient(at, "x")
			next := parse(t, pair, err)
			if !next.NotAfter.After(cert.NotAfter) || next.NotAfter.After(issuer.NotAfter) {
				t.Fatalf("%s, then %s; the CA ends %s", cert.NotAfter, next.NotAfter, issuer.NotAfter)
			}
			cert, renewed = next, renewed+1
		}
		if renewed > 60*7/59+1 {
			t.Fatalf("renewed %d times in %s", renewed, at.Sub(now))
		}
	})
}

// TestClocks: what was made while a clock was wrong by years is good at once,
// and one that begins later is replaced.
func TestClocks(t *testing.T) {
	for _, wrong := range []time.Duration{9 * 365 * 24 * time.Hour, 70 * 24 * time.Hour, -80 * 24 * time.Hour} {
		ca, err := NewCA("test CA", now.Add(wrong))
		if err != nil {
			t.Fatal(err)
		}
		roots := x509.NewCertPool()
		roots.AppendCertsFromPEM(ca.Cert)
		sp, err := ca.IssueServer(now.Add(wrong), "127.0.0.1")
		server := issue(t, sp, err)
		cp, err := ca.IssueClient(now.Add(wrong), "x")
		client := issue(t, cp, err)
		if s, c := handshake(t, "127.0.0.1", server, client, roots); s != nil || c != nil {
			t.Errorf("a clock that is wrong by %s: %v, %v", wrong, s, c)
		}
		root, err := ca.Check(ca.Cert)
		if err != nil {
			t.Fatal(err)
		}
		if RenewalDue(server.Leaf, root, now.Add(wrong)) || !RenewalDue(server.Leaf, root, server.Leaf.NotBefore.Add(-time.Second)) {
			t.Errorf("a clock that is wrong by %s: renewed at a wrong time", wrong)
		}
	}
}

func TestLifetimes(t *testing.T) {
	ca := newCA(t)
	root, err := ca.Check(ca.Cert)
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		issue func() (KeyPair, error)
		want  time.Time
	}{
		"server":     {func() (KeyPair, error) { return ca.IssueServer(now, "a") }, now.Add(LeafLifetime)},
		"client":     {func() (KeyPair, error) { return ca.IssueClient(now, "a") }, now.Add(LeafLifetime)},
		"API server": {func() (KeyPair, error) { return ca.IssueAPIServer(now, "a") }, root.NotAfter},
		"late":       {func() (KeyPair, error) { return ca.IssueAPIServer(now.Add(CALifetime/2), "a") }, root.NotAfter},
	} {
		pair, err := tc.issue()
		if err != nil {
			t.Fatal(err)
		}
		if cert, err := pair.Check(ca.Cert); err != nil || !cert.NotAfter.Equal(tc.want) {
			t.Errorf("%s: ends %s, want %s (%v)", name, cert.NotAfter, tc.want, err)
		}
	}
	a, b := Fingerprint(root), Fingerprint(root)
	if len(a) != 64 || a != b || !IsFingerprint(a) {
		t.Errorf("fingerprint %s", a)
	}
	for _, s := range []string{"", "aa", a + "00", strings.ToUpper(a), "zz" + a[2:]} {
		if IsFingerprint(s) {
			t.Errorf("%s is a fingerprint", s)
		}
	}
}

func TestParseBundle(t *testing.T) {
	a, b := newCA(t), newCA(t)
	if certs, err := ParseBundle(append(append([]byte{}, a.Cert...), b.Cert...)); err != nil || len(certs) != 2 {
		t.Errorf("%d certificates, %v", len(certs), err)
	}
	for name, in := range map[string][]byte{
		"empty": nil, "text": []byte("hello"), "key": a.Key,
		"damaged": []byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
	} {
		if _, err := ParseBundle(in); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func FuzzParseBundle(f *testing.F) {
	f.Add([]byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if certs, err := ParseBundle(b); err == nil && len(certs) == 0 {
			t.Error("accepted a bundle without certificates")
		}
	})
}
