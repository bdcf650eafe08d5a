package intake

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
	"github.com/prometheus/client_golang/prometheus"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/trail-operator/trail-operator/internal/receiverconfig"
	"github.com/trail-operator/trail-operator/internal/spool"
)

// authority issues certificates.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  []byte
}

func newAuthority(t testing.TB) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "ca"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &authority{cert, key, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})}
}

type subject struct {
	organization, name string
	lifetime           time.Duration
}

func (a *authority) issue(t testing.TB, s subject) (cert, key []byte) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if s.lifetime == 0 {
		s.lifetime = time.Hour
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: s.name, Organization: []string{s.organization}},
		NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: time.Now().Add(s.lifetime), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, private.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw})
}

const account = "123456789012"

var apiServer1 = subject{organization: receiverconfig.AuditOrganization, name: account + ":cp-1"}

// running is a server with a handler.
type running struct {
	t            testing.TB
	handler      *Handler
	certificates *Certificates
	servers      *authority
	clients      *authority
	address      string
	clock        *clocktesting.FakePassiveClock
	registry     *prometheus.Registry
	log          *logBuffer
	stop         func()
}

// logBuffer collects log lines.
type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logBuffer) logger() logr.Logger {
	return funcr.New(func(prefix, args string) {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.buf.WriteString(prefix + args + "\n")
	}, funcr.Options{Verbosity: 9})
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

func run(t testing.TB, s spool.Spool, change ...func(*Options)) *running {
	t.Helper()
	r := &running{
		t: t, certificates: &Certificates{}, servers: newAuthority(t), clients: newAuthority(t),
		clock: clocktesting.NewFakePassiveClock(time.Date(2026, 11, 21, 4, 0, 0, 0, time.UTC)), registry: prometheus.NewRegistry(), log: &logBuffer{},
	}
	o := Options{Spool: s, Clock: r.clock, Log: r.log.logger(), Registerer: r.registry}
	for _, f := range change {
		f(&o)
	}
	var err error
	if r.handler, err = New(o); err != nil {
		t.Fatal(err)
	}
	if err := r.handler.Unlock([]byte("the installation's key")); err != nil {
		t.Fatal(err)
	}
	r.handler.Configure(account, false, "")
	cert, key := r.servers.issue(t, subject{name: "receiver"})
	if err := r.certificates.Set(cert, key, r.clients.pem); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r.address = l.Addr().String()
	mux := http.NewServeMux()
	mux.Handle(PathPrefix, r.handler)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- Serve(ctx, l, r.certificates, mux, r.log.logger()) }()
	r.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("the server ended with %v", err)
		}
	})
	t.Cleanup(r.stop)
	return r
}

// config returns a client's TLS configuration with a certificate for s.
func (r *running) config(by *authority, s subject) *tls.Config {
	r.t.Helper()
	roots := x509.NewCertPool()
	roots.AddCert(r.servers.cert)
	c := &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	if by != nil {
		cert, key := by.issue(r.t, s)
		pair, err := tls.X509KeyPair(cert, key)
		if err != nil {
			r.t.Fatal(err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c
}

// client returns an HTTP/2 client.
func (r *running) client(by *authority, s subject) *http.Client {
	return r.clientOf(r.config(by, s), true)
}

func (r *running) clientOf(c *tls.Config, http2 bool) *http.Client {
	transport := &http.Transport{TLSClientConfig: c, ForceAttemptHTTP2: http2}
	if !http2 {
		transport.TLSNextProto = map[string]func(string, *tls.Conn) http.RoundTripper{}
	}
	r.t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: time.Minute}
}

const path1 = PathPrefix + account + "/cp-1"

// post sends a body, and returns the answer with its text.
func (r *running) post(c *http.Client, path string, body io.Reader) (*http.Response, string, error) {
	resp, err := c.Post("https://"+r.address+path, "application/json", body)
	if err != nil {
		return nil, "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return resp, string(text), err
}

// send posts as the first API server, and expects a status.
func (r *running) send(body string, want int) *http.Response {
	r.t.Helper()
	resp, text, err := r.post(r.client(r.clients, apiServer1), path1, strings.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	if resp.StatusCode != want {
		r.t.Fatalf("status %d (%s), want %d", resp.StatusCode, text, want)
	}
	return resp
}

const (
	listHead = `{"kind":"EventList","apiVersion":"audit.k8s.io/v1","metadata":{},"items":[`
	listTail = "]}\n"
)

func list(items ...string) string { return listHead + strings.Join(items, ",") + listTail }

// event is one with this auditID and further members.
func event(id string, members ...string) string {
	all := append([]string{`"auditID":"` + id + `"`, `"stage":"ResponseComplete"`, `"stageTimestamp":"2026-11-21T03:39:02.498580Z"`}, members...)
	return "{" + strings.Join(all, ",") + "}"
}

func TestServe(t *testing.T) {
	for name, http2 := range map[string]bool{"HTTP/1.1": false, "HTTP/2.0": true} {
		t.Run(name, func(t *testing.T) {
			s := newMemorySpool()
			r := run(t, s)
			c := r.clientOf(r.config(r.clients, apiServer1), http2)
			received := event("c", `"stage2":1`)
			received = strings.Replace(received, "ResponseComplete", "RequestReceived", 1)
			resp, text, err := r.post(c, path1+"?timeout=30s", strings.NewReader(list(event("a"), received, event("b"))))
			if err != nil {
				t.Fatal(err)
			}
			if resp.StatusCode != 200 || text != "" || resp.Proto != name || resp.Header.Get("Content-Type") != "" {
				t.Fatalf("%s %d %q %v", resp.Proto, resp.StatusCode, text, resp.Header)
			}
			got := s.content(t)
			if len(got.Items) != 2 || got.Items[0] != event("a") || got.Items[1] != event("b") || got.Skipped != 1 || got.Quarantined != 0 {
				t.Fatalf("%+v", got)
			}
			if c := s.chunks[0]; c.Source != account+"/cp-1" || c.Kind != spool.KindAudit || !c.Received.Equal(r.clock.Now()) {
				t.Fatalf("%+v", c)
			}
			if sources := r.handler.Sources(); len(sources) != 1 || sources[0].APIServer != "cp-1" || !sources[0].LastPost.Equal(r.clock.Now()) {
				t.Fatalf("%+v", sources)
			}
		})
	}
}

func TestAuthentication(t *testing.T) {
	s := newMemorySpool()
	r := run(t, s)
	other := newAuthority(t)
	for name, c := range map[string]struct {
		by      *authority
		subject subject
		path    string
		want    int // 0: TLS fails
	}{
		"no certificate":                {path: path1},
		"certificate of another issuer": {by: other, subject: apiServer1, path: path1},
		"expired certificate":           {by: r.clients, subject: subject{apiServer1.organization, apiServer1.name, -time.Hour}, path: path1},
		"another organization":          {r.clients, subject{organization: "system:masters", name: apiServer1.name}, path1, 403},
		"the manager":                   {r.clients, subject{name: receiverconfig.ManagerCommonName}, path1, 403},
		"another API server's path":     {r.clients, apiServer1, PathPrefix + account + "/cp-2", 403},
		"another cluster's path":        {r.clients, apiServer1, PathPrefix + "210987654321/cp-1", 403},
		"another cluster's certificate": {r.clients, subject{organization: apiServer1.organization, name: "210987654321:cp-1"}, PathPrefix + "210987654321/cp-1", 403},
		"no API server in the path":     {r.clients, apiServer1, PathPrefix + account, 404},
		"more in the path":              {r.clients, apiServer1, path1 + "/x", 404},
		"escapes in the path":           {r.clients, apiServer1, PathPrefix + account + "/cp%2D1", 404},
		"right":                         {r.clients, apiServer1, path1, 200},
	} {
		t.Run(name, func(t *testing.T) {
			before := len(s.content(t).Items)
			r.clock.SetTime(r.clock.Now().Add(time.Minute))
			logged := len(r.log.String())
			resp, text, err := r.post(r.client(c.by, c.subject), c.path, strings.NewReader(list(event(name))))
			switch {
			case c.want == 0:
				if err == nil {
					t.Fatalf("status %d", resp.StatusCode)
				}
			case err != nil:
				t.Fatal(err)
			case resp.StatusCode != c.want:
				t.Fatalf("status %d (%s), want %d", resp.StatusCode, text, c.want)
			case c.want != 200 && strings.Count(r.log.String()[logged:], "Refused a POST") != 1:
				t.Fatalf("not one line about it: %s", r.log.String()[logged:])
			}
			if stored := len(s.content(t).Items) - before; (stored != 0) != (c.want == 200) {
				t.Fatalf("%d items are stored", stored)
			}
		})
	}
	logged := r.log.String()
	for range 5 {
		if _, _, err := r.post(r.client(r.clients, apiServer1), PathPrefix+account+"/cp-2", nil); err != nil {
			t.Fatal(err)
		}
	}
	if n := strings.Count(r.log.String()[len(logged):], "Refused"); n > 1 {
		t.Errorf("%d lines in one second", n)
	}
}

func TestOldTLSIsRefused(t *testing.T) {
	r := run(t, newMemorySpool())
	c := r.config(r.clients, apiServer1)
	c.MinVersion, c.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
	if _, _, err := r.post(r.clientOf(c, false), path1, strings.NewReader(list())); err == nil {
		t.Fatal("TLS 1.1 is accepted")
	}
}

func TestOtherMethods(t *testing.T) {
	r := run(t, newMemorySpool())
	resp, err := r.client(r.clients, apiServer1).Get("https://" + r.address + path1)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusMethodNotAllowed || resp.Header.Get("Allow") != "POST" {
		t.Fatalf("status %d", resp.StatusCode)
	}
}

func TestNotConfigured(t *testing.T) {
	r := run(t, newMemorySpool())
	r.handler.settings.Store(nil)
	if got := r.send(list(event("a")), 503).Header.Get("Retry-After"); got < "1" || got > "3" {
		t.Fatalf("Retry-After %q", got)
	}
	r.handler.Configure(account, false, "")
	r.send(list(event("a")), 200)
}

func TestCertificatesReload(t *testing.T) {
	r := run(t, newMemorySpool())
	for _, http2 := range []bool{false, true} {
		old := r.clientOf(r.config(r.clients, apiServer1), http2)
		if resp, _, err := r.post(old, path1, strings.NewReader(list())); err != nil || resp.StatusCode != 200 {
			t.Fatal(resp, err)
		}
		// The connection stays open while both issuers change.
		r.servers, r.clients = newAuthority(t), newAuthority(t)
		cert, key := r.servers.issue(t, subject{name: "receiver"})
		if err := r.certificates.Set(cert, key, r.clients.pem); err != nil {
			t.Fatal(err)
		}
		if resp, _, err := r.post(old, path1, strings.NewReader(list())); err == nil && resp.StatusCode != 401 {
			t.Errorf("HTTP/2 %v: the old certificate gets %d", http2, resp.StatusCode)
		}
		if resp, _, err := r.post(r.client(r.clients, apiServer1), path1, strings.NewReader(list())); err != nil || resp.StatusCode != 200 {
			t.Errorf("HTTP/2 %v: the new certificate gets %v %v", http2, resp, err)
		}
	}
	for name, args := range map[string][3][]byte{
		"no key": {r.clients.pem, nil, r.clients.pem}, "nothing": {}, "no CA": {},
	} {
		if name == "no CA" {
			cert, key := r.servers.issue(t, subject{name: "receiver"})
			args = [3][]byte{cert, key, []byte("x")}
		}
		if err := r.certificates.Set(args[0], args[1], args[2]); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	r.send(list(), 200) // the last good ones stay
}

func TestExpiredWhileConnected(t *testing.T) {
	r := run(t, newMemorySpool())
	cert, _ := r.clients.issue(t, apiServer1)
	block, _ := pem.Decode(cert)
	leaf, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	state := &tls.ConnectionState{PeerCertificates: []*x509.Certificate{leaf}}
	p := &peer{}
	if err := r.certificates.verify(p, state, time.Now()); err != nil {
		t.Fatal(err)
	}
	if r.certificates.verify(p, state, time.Now().Add(2*time.Hour)) == nil {
		t.Error("an expired certificate is accepted")
	}
}
