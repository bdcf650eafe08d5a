package receiverclient

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/trail-operator/trail-operator/internal/pki"
	"github.com/trail-operator/trail-operator/internal/receiverconfig"
	"github.com/trail-operator/trail-operator/internal/receiverstatus"
	"github.com/trail-operator/trail-operator/internal/record"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// serve runs a receiver that takes only clients of its CA, and returns a
// client for it.
func serve(t *testing.T, handler http.HandlerFunc) (*Client, pki.KeyPair) {
	t.Helper()
	now := time.Now()
	ca, err := pki.NewCA("test", now)
	if err != nil {
		t.Fatal(err)
	}
	server, err := ca.IssueServer(now, "127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.X509KeyPair(server.Cert, server.Key)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca.Cert)
	s := httptest.NewUnstartedServer(handler)
	s.TLS = &tls.Config{
		MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair},
		ClientCAs: roots, ClientAuth: tls.RequireAndVerifyClientCert,
	}
	s.EnableHTTP2 = true
	s.StartTLS()
	t.Cleanup(s.Close)
	cert, err := ca.IssueClient(now, receiverconfig.ManagerCommonName)
	if err != nil {
		t.Fatal(err)
	}
	c, err := New(s.Listener.Addr().String(), ca.Cert, cert)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c, ca
}

// write answers; a client that has gone is its own affair.
func write(w io.Writer, s string) { _, _ = io.WriteString(w, s) }

func TestStatusAndRecord(t *testing.T) {
	var got receiverstatus.Events
	c, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if cn := r.TLS.PeerCertificates[0].Subject.CommonName; cn != receiverconfig.ManagerCommonName {
			t.Errorf("the client is %s", cn)
		}
		switch r.Method + " " + r.URL.Path {
		case "GET " + receiverstatus.PathStatus:
			write(w, string(record.MustJSON(receiverstatus.Status{Generation: 7})))
		case "POST " + receiverstatus.PathEvents:
			if err := json.NewDecoder(r.Body).Decode(&got); err != nil {
				t.Error(err)
			}
			w.WriteHeader(http.StatusNoContent)
		default:
			t.Errorf("%s %s", r.Method, r.URL)
		}
	})
	if s, err := c.Status(t.Context()); err != nil || s.Generation != 7 {
		t.Errorf("%+v, %v", s, err)
	}
	if err := c.Record(t.Context(), record.OwnEvent{ID: "a", Name: "CreateTrail"}); err != nil || got.Items[0].ID != "a" {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestRefusedAnswers(t *testing.T) {
	for name, tc := range map[string]struct {
		answer http.HandlerFunc
		want   string
	}{
		"error": {func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "planted-secret", 500) }, "HTTP 500"},
		"redirect": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://elsewhere", http.StatusFound)
		}, "HTTP 302"},
		"no JSON": {func(w http.ResponseWriter, _ *http.Request) { write(w, "planted-secret") }, "not a status"},
		"endless": {func(w http.ResponseWriter, _ *http.Request) {
			for b := make([]byte, 1<<20); ; {
				if _, err := w.Write(b); err != nil {
					return
				}
			}
		}, "too long"},
	} {
		t.Run(name, func(t *testing.T) {
			c, _ := serve(t, tc.answer)
			_, err := c.Status(t.Context())
			if err == nil || !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), "planted") {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
}

func TestRecordIsNotDurable(t *testing.T) {
	c, _ := serve(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) })
	if err := c.Record(t.Context(), record.OwnEvent{}); err == nil {
		t.Error("an answer that does not say durable was taken for one")
	}
}

// TestUse: another certificate of another CA is used from the next call on, and
// one that cannot be used leaves the last one in use.
func TestUse(t *testing.T) {
	var serials []string
	c, ca := serve(t, func(w http.ResponseWriter, r *http.Request) {
		serials = append(serials, r.TLS.PeerCertificates[0].SerialNumber.String())
		write(w, "{}")
	})
	call := func() {
		t.Helper()
		if _, err := c.Status(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	call()
	next, err := ca.IssueClient(time.Now(), receiverconfig.ManagerCommonName)
	if err != nil {
		t.Fatal(err)
	}
	other, err := pki.NewCA("other", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	both := append(bytes.Clone(other.Cert), ca.Cert...)
	for range 2 {
		if err := c.Use(both, next); err != nil {
			t.Fatal(err)
		}
		call()
	}
	if c.Use(both, pki.KeyPair{}) == nil || c.Use(nil, other) == nil {
		t.Error("what cannot be used was accepted")
	}
	call()
	if len(serials) != 4 || serials[0] == serials[1] || serials[1] != serials[2] || serials[2] != serials[3] {
		t.Errorf("certificates in use: %v", serials)
	}
	if err := c.Use(other.Cert, next); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Status(t.Context()); err == nil {
		t.Error("a receiver of a CA that is not trusted any more is called")
	}
}

func TestTrust(t *testing.T) {
	c, ca := serve(t, func(w http.ResponseWriter, _ *http.Request) { write(w, "{}") })
	stranger, err := pki.NewCA("other", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	for name, issuer := range map[string][2]pki.KeyPair{"server of another CA": {stranger, ca}, "client of another CA": {ca, stranger}} {
		cert, err := issuer[1].IssueClient(time.Now(), receiverconfig.ManagerCommonName)
		if err != nil {
			t.Fatal(err)
		}
		other, err := New(strings.TrimPrefix(c.base, "https://"), issuer[0].Cert, cert)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := other.Status(t.Context()); err == nil {
			t.Errorf("%s: accepted", name)
		}
		other.Close()
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.Status(ctx); err == nil {
		t.Error("a canceled call succeeded")
	}
	if _, err := New("a:1", nil, pki.KeyPair{}); err == nil {
		t.Error("no certificate was accepted")
	}
}
