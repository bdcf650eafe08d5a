// Package receiverclient talks to the receiver's status API with the manager's
// certificate.
package receiverclient

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/trail-operator/trail-operator/internal/pki"
	"github.com/trail-operator/trail-operator/internal/receiverstatus"
	"github.com/trail-operator/trail-operator/internal/record"
)

const (
	timeout = 10 * time.Second
	// maxStatus bounds an answer: about 2 KiB for each of 20,000 trails.
	maxStatus = 64 << 20
)

// Client reads the status of one receiver and hands events over to it. It is
// safe for concurrent use.
type Client struct {
	base string
	dial Dial // nil for the network
	http atomic.Pointer[http.Client]

	mu    sync.Mutex
	ca    []byte
	inUse pki.KeyPair
}

// Dial connects to the receiver.
type Dial func(ctx context.Context, network, address string) (net.Conn, error)

// New returns a client for the receiver at address (host:port), whose
// certificate one of the CAs (PEM) must have issued.
func New(address string, ca []byte, cert pki.KeyPair) (*Client, error) {
	return NewVia(nil, address, ca, cert)
}

// NewVia is New for a receiver that is reached in another way than by its address.
func NewVia(dial Dial, address string, ca []byte, cert pki.KeyPair) (*Client, error) {
	c := &Client{base: "https://" + address, dial: dial}
	if err := c.Use(ca, cert); err != nil {
		return nil, err
	}
	return c, nil
}

// Use has all calls from now on made with another certificate, or to receivers
// of other CAs. Calls that are under way end as they began.
func (c *Client) Use(ca []byte, cert pki.KeyPair) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.http.Load() != nil && bytes.Equal(ca, c.ca) && bytes.Equal(cert.Cert, c.inUse.Cert) {
		return nil
	}
	pair, err := tls.X509KeyPair(cert.Cert, cert.Key)
	if err != nil {
		return errors.New("the manager's certificate and key are not a pair in PEM")
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(ca) {
		return errors.New("the intake CA is not a certificate in PEM")
	}
	c.ca, c.inUse = ca, cert
	old := c.http.Swap(&http.Client{
		Timeout: timeout,
		Transport: &http.Transport{
			TLSClientConfig:     &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots, Certificates: []tls.Certificate{pair}},
			ForceAttemptHTTP2:   true,
			DialContext:         c.dial,
			MaxIdleConnsPerHost: 2,
			IdleConnTimeout:     time.Minute,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	})
	if old != nil {
		old.CloseIdleConnections()
	}
	return nil
}

// Close ends idle connections.
func (c *Client) Close() { c.http.Load().CloseIdleConnections() }

// Status reads the receiver's status.
func (c *Client) Status(ctx context.Context) (*receiverstatus.Status, error) {
	body, err := c.do(ctx, http.MethodGet, receiverstatus.PathStatus, nil, http.StatusOK)
	if err != nil {
		return nil, err
	}
	s := &receiverstatus.Status{}
	if err := json.Unmarshal(body, s); err != nil {
		return nil, errors.New("the receiver's answer is not a status: manager and receiver must be of the same version")
	}
	return s, nil
}

// Record hands events over. When it returns nil they are durable. The receiver
// records an ID once, so a call whose outcome is unknown may be repeated.
func (c *Client) Record(ctx context.Context, events ...record.OwnEvent) error {
	_, err := c.do(ctx, http.MethodPost, receiverstatus.PathEvents,
		record.MustJSON(receiverstatus.Events{Items: events}), http.StatusNoContent)
	return err
}

func (c *Client) do(ctx context.Context, method, path string, body []byte, want int) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, bytes.NewReader(body))
	if err != nil {
		return nil, errors.New("the receiver's address is not host:port")
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := c.http.Load().Do(req)
	if err != nil {
		return nil, fmt.Errorf("the receiver does not answer: %w", err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxStatus+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("the receiver's answer broke off: %w", err)
	case resp.StatusCode == http.StatusNotFound && strings.HasPrefix(path, receiverstatus.PathKept+"/"):
		return nil, ErrNotKept
	case resp.StatusCode != want:
		return nil, fmt.Errorf("the receiver answered HTTP %d instead of %d", resp.StatusCode, want)
	case len(answer) > maxStatus:
		return nil, errors.New("the receiver's answer is too long")
	}
	return answer, nil
}
