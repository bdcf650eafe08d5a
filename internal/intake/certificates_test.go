package intake

import (
	"crypto/tls"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/trail-operator/trail-operator/internal/pki"
)

func fingerprints(t *testing.T, bundle []byte) (list []string) {
	t.Helper()
	certs, err := pki.ParseBundle(bundle)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range certs {
		list = append(list, pki.Fingerprint(c))
	}
	return list
}

// clientWith is a client with one certificate, and its fingerprint.
func (r *running) clientWith(by *authority, http2 bool) (*http.Client, string) {
	r.t.Helper()
	cert, key := by.issue(r.t, apiServer1)
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		r.t.Fatal(err)
	}
	c := r.config(r.clients, apiServer1)
	c.Certificates = []tls.Certificate{pair}
	return r.clientOf(c, http2), pki.Fingerprint(pair.Leaf)
}

// TestRotation: two certificates of one API server are served, from two
// issuers, and told apart; then the old one is refused, on open connections too.
func TestRotation(t *testing.T) {
	for _, http2 := range []bool{false, true} {
		r := run(t, newMemorySpool())
		next := newAuthority(t)
		cert, key := r.servers.issue(t, subject{name: "receiver"})
		both := slices.Concat(r.clients.pem, next.pem)
		if err := r.certificates.Set(cert, key, both); err != nil {
			t.Fatal(err)
		}
		if got := r.certificates.InForce(); !slices.Equal(got.ClientCAs, fingerprints(t, both)) || got.Server != fingerprints(t, cert)[0] {
			t.Errorf("in force: %v", got)
		}
		status := func(c *http.Client) int {
			t.Helper()
			resp, _, err := r.post(c, path1, strings.NewReader(list()))
			if err != nil {
				t.Fatal(err)
			}
			return resp.StatusCode
		}
		before, oldName := r.clientWith(r.clients, http2)
		after, newName := r.clientWith(next, http2)
		sibling, _ := r.clientWith(r.clients, http2)
		start := r.clock.Now()
		for i, c := range []*http.Client{before, after, before, after} {
			r.clock.SetTime(start.Add(time.Duration(i) * time.Minute))
			if got := status(c); got != 200 {
				t.Errorf("HTTP/2 %v: POST %d gets %d", http2, i, got)
			}
		}
		used := r.handler.Sources()[0].Certificates
		if len(used) != 2 || used[0].SHA256 != newName || used[1].SHA256 != oldName ||
			used[0].LastPost.Sub(start) != 3*time.Minute || used[1].LastPost.Sub(start) != 2*time.Minute {
			t.Errorf("HTTP/2 %v: certificates in use: %v", http2, used)
		}
		if err := r.certificates.Set(cert, key, both, oldName); err != nil {
			t.Fatal(err)
		}
		if got := status(before); got != 401 {
			t.Errorf("HTTP/2 %v: the replaced certificate gets %d on its connection", http2, got)
		}
		before.CloseIdleConnections()
		if got := status(before); got != 401 {
			t.Errorf("HTTP/2 %v: the replaced certificate gets %d on a new connection", http2, got)
		}
		if a, b := status(after), status(sibling); a != 200 || b != 200 {
			t.Errorf("HTTP/2 %v: the new certificate gets %d, another of the old issuer %d", http2, a, b)
		}
	}
}
