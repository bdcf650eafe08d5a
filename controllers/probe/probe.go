// Package probe makes a few harmless calls from time to time, so that it shows
// what API servers send: what the calls left out of the audit stream, their
// audit policy leaves out.
package probe

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/google/uuid"
	"k8s.io/client-go/rest"
	logf "sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/trail-operator/trail-operator/internal/manifests"
	"github.com/trail-operator/trail-operator/internal/receiverstatus"
)

// A Prober begins with short intervals: whoever has just connected an API server
// wants to know. Later it makes less than a thousand calls a day.
const (
	firstInterval = 30 * time.Second
	firstProbes   = 20
	interval      = 5 * time.Minute
	// callTimeout bounds one probe.
	callTimeout = 20 * time.Second
	maxAnswer   = 1 << 20
)

// Prober makes probes.
type Prober struct {
	Config    *rest.Config // of the manager
	Namespace string       // of the installation
	// Interval between probes; 0 means half a minute at first, later five.
	Interval time.Duration
}

// NeedLeaderElection says that only the leader probes.
func (p *Prober) NeedLeaderElection() bool { return true }

// Start probes until ctx is done.
func (p *Prober) Start(ctx context.Context) error {
	log := logf.FromContext(ctx).WithName("probe")
	timer := time.NewTimer(0)
	defer timer.Stop()
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		}
		if err := p.Probe(ctx); err != nil && ctx.Err() == nil {
			log.V(1).Info("A probe could not be made", "cause", err.Error())
		}
		switch {
		case p.Interval > 0:
			timer.Reset(p.Interval)
		case n < firstProbes:
			timer.Reset(firstInterval)
		default:
			timer.Reset(interval)
		}
	}
}

// call is one call of a probe.
type call struct {
	class       receiverstatus.Class
	method      string
	path, query string
	contentType string
	accept      string
	body        string
}

// calls change nothing and return nothing that is secret. The manager has the
// rights for them anyway.
func calls(namespace string) []call {
	installation := "/api/v1/namespaces/" + namespace + "/configmaps/" + manifests.InstallationName
	return []call{
		{
			class: receiverstatus.ClassWrite, method: http.MethodPatch, path: installation, query: "dryRun=All",
			contentType: "application/merge-patch+json", accept: "application/json", body: "{}",
		},
		{class: receiverstatus.ClassRead, method: http.MethodGet, path: installation, accept: "application/json"},
		{
			class: receiverstatus.ClassSecret, method: http.MethodGet,
			path:   "/api/v1/namespaces/" + namespace + "/secrets/" + manifests.ManagerCertName,
			accept: "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1",
		},
	}
}

// Probe makes the calls of one probe over a connection of its own, so that all
// reach the same API server, and from time to time another one. What they are
// answered does not matter: a refusal makes an event, too.
func (p *Prober) Probe(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	c, err := Connect(p.Config)
	if err != nil {
		return err
	}
	defer c.Close()
	_, err = c.Probe(ctx, p.Namespace)
	return err
}

// Connection is a single one to one API server.
type Connection struct {
	base      *url.URL
	via       http.RoundTripper // authenticated
	transport *http.Transport
}

// Connect prepares a connection to the API server of a configuration.
func Connect(config *rest.Config) (*Connection, error) {
	base, _, err := rest.DefaultServerUrlFor(config)
	if err != nil {
		return nil, fmt.Errorf("reading the address of the API server: %w", err)
	}
	tlsConfig, err := rest.TLSConfigFor(config)
	if err != nil {
		return nil, fmt.Errorf("reading the certificates for the API server: %w", err)
	}
	c := &Connection{base: base, transport: &http.Transport{
		TLSClientConfig: tlsConfig, ForceAttemptHTTP2: true, DialContext: config.Dial, Proxy: config.Proxy,
		MaxConnsPerHost: 1,
	}}
	if c.transport.Proxy == nil {
		c.transport.Proxy = http.ProxyFromEnvironment
	}
	if c.via, err = rest.HTTPWrappersForConfig(config, c.transport); err != nil {
		return nil, fmt.Errorf("reading the credentials for the API server: %w", err)
	}
	return c, nil
}

// Close ends the connection.
func (c *Connection) Close() { c.transport.CloseIdleConnections() }

// Get asks for a path. The caller closes the body of the answer.
func (c *Connection) Get(ctx context.Context, path string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.base.JoinPath(path).String(), http.NoBody)
	if err != nil {
		return nil, err
	}
	req.Header.Set("User-Agent", "trail-operator-probe")
	return c.via.RoundTrip(req)
}

// Probe makes the calls of one probe, and returns its ID. namespace is that of
// the installation.
func (c *Connection) Probe(ctx context.Context, namespace string) (id string, err error) {
	id = uuid.NewString()
	for _, call := range calls(namespace) {
		if err := send(ctx, c.via, c.base, id, call); err != nil {
			return "", fmt.Errorf("asking the API server: %w", err)
		}
	}
	return id, nil
}

func send(ctx context.Context, via http.RoundTripper, base *url.URL, id string, c call) error {
	to := base.JoinPath(c.path)
	to.RawQuery = c.query
	req, err := http.NewRequestWithContext(ctx, c.method, to.String(), strings.NewReader(c.body))
	if err != nil {
		return err
	}
	req.Header.Set("Audit-ID", receiverstatus.ProbeAuditID(id, c.class))
	req.Header.Set("Accept", c.accept)
	if c.contentType != "" {
		req.Header.Set("Content-Type", c.contentType)
	}
	req.Header.Set("User-Agent", "trail-operator-probe")
	resp, err := via.RoundTrip(req)
	if err != nil {
		return err
	}
	_, err = io.CopyN(io.Discard, resp.Body, maxAnswer)
	_ = resp.Body.Close()
	if err != nil && err != io.EOF { //nolint:errorlint // CopyN returns it bare
		return err
	}
	return nil
}
