package intake

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/trail-operator/trail-operator/internal/pki"
	"github.com/trail-operator/trail-operator/internal/receiverstatus"
)

// Certificates are what the server shows and whom it trusts. They can be
// replaced while the server runs. The zero value refuses every handshake until
// Set is called.
type Certificates struct {
	current atomic.Pointer[trust]
	// optional: clients without a certificate are served; what they may is for
	// the handler to say.
	optional atomic.Bool
}

// trust is one state of Certificates.
type trust struct {
	config  *tls.Config
	open    *tls.Config // for clients with or without a certificate
	roots   *x509.CertPool
	refused map[string]bool
	names   receiverstatus.Certificates
}

// Set puts certificates in force, all in PEM: the server's chain and key, and
// the issuers of the clients' certificates. Client certificates with one of the
// fingerprints in refused are not served, whoever issued them. On an error the
// last ones stay.
func (c *Certificates) Set(cert, key, clientCA []byte, refused ...string) error {
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return errors.New("the server certificate and its key are not a matching pair in PEM")
	}
	issuers, err := pki.ParseBundle(clientCA)
	if err != nil {
		return fmt.Errorf("the client CA: %w", err)
	}
	t := &trust{
		roots: x509.NewCertPool(), refused: make(map[string]bool, len(refused)),
		names: receiverstatus.Certificates{Server: pki.Fingerprint(pair.Leaf)},
	}
	for _, issuer := range issuers {
		t.roots.AddCert(issuer)
		t.names.ClientCAs = append(t.names.ClientCAs, pki.Fingerprint(issuer))
	}
	for _, f := range refused {
		t.refused[f] = true
	}
	t.config = &tls.Config{
		MinVersion:   tls.VersionTLS12,
		NextProtos:   []string{"h2", "http/1.1"},
		Certificates: []tls.Certificate{pair},
		ClientAuth:   tls.RequireAndVerifyClientCert,
		ClientCAs:    t.roots,
	}
	t.open = t.config.Clone()
	t.open.ClientAuth = tls.VerifyClientCertIfGiven
	c.current.Store(t)
	return nil
}

// LetIn serves clients without a certificate too, from the next connection on:
// tails show tokens instead. The handler must refuse all others.
func (c *Certificates) LetIn(without bool) { c.optional.Store(without) }

// InForce names the certificates in force.
func (c *Certificates) InForce() receiverstatus.Certificates {
	if t := c.current.Load(); t != nil {
		return t.names
	}
	return receiverstatus.Certificates{}
}

// config returns what a server uses for all its connections.
func (c *Certificates) config() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		NextProtos: []string{"h2", "http/1.1"},
		ClientAuth: tls.RequireAndVerifyClientCert,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			if t := c.current.Load(); t != nil && c.optional.Load() {
				return t.open, nil
			} else if t != nil {
				return t.config, nil
			}
			return nil, errors.New("there is no certificate yet")
		},
	}
}

// peer is the trust under which the client of a connection was verified last.
type peer struct {
	mu sync.Mutex
	by *trust
}

type peerKey struct{}

// verified serves requests of clients whose certificates are good now: a
// connection may be older than the expiry of its certificate or the last Set.
// Where none is needed, those without one are served, too.
func (c *Certificates) verified(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.TLS != nil && len(r.TLS.PeerCertificates) == 0 && c.optional.Load() {
			next.ServeHTTP(w, r)
			return
		}
		p, _ := r.Context().Value(peerKey{}).(*peer)
		if p == nil || r.TLS == nil || c.verify(p, r.TLS, time.Now()) != nil {
			w.Header().Set("Connection", "close")
			http.Error(w, "the client certificate is not valid any more", http.StatusUnauthorized)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func (c *Certificates) verify(p *peer, state *tls.ConnectionState, now time.Time) error {
	if len(state.PeerCertificates) == 0 {
		return errors.New("no certificate")
	}
	leaf := state.PeerCertificates[0]
	if now.Before(leaf.NotBefore) || now.After(leaf.NotAfter) {
		return errors.New("certificate expired")
	}
	t := c.current.Load()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.by == t {
		return nil
	}
	if len(t.refused) > 0 && t.refused[pki.Fingerprint(leaf)] {
		return errors.New("certificate replaced by another")
	}
	intermediates := x509.NewCertPool()
	for _, cert := range state.PeerCertificates[1:] {
		intermediates.AddCert(cert)
	}
	_, err := leaf.Verify(x509.VerifyOptions{
		Roots: t.roots, Intermediates: intermediates, CurrentTime: now,
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	if err != nil {
		return fmt.Errorf("certificate not trusted: %w", err)
	}
	p.by = t
	return nil
}
