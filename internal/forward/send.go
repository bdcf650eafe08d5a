package forward

import (
	"context"
	"crypto/cipher"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"os"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/trail-operator/trail-operator/internal/receiverconfig"
)

const (
	// maxTries is how often a body is sent that the second receiver answers with
	// an error of its own: as often as kube-apiserver does it. From then on,
	// where a failure may be due to the body, another one is tried with it.
	maxTries = 5
	// leastRate is how slow a body may arrive, in bytes a second: a try may take
	// the timeout, and longer for a large body.
	leastRate = 1 << 20
	// maxAnswer is what is read of an answer, so that its connection can be used
	// again, in bytes.
	maxAnswer = 64 << 10
)

// kind says what a try means for a body.
type kind int

const (
	taken   kind = iota
	refused      // this body will never be taken
	again        // an error that may be due to this body
	later        // nobody is there, or wants something else: no body would be taken
	unsure       // it seems not to be ready, but only this body may be what it cannot stand
	broken       // its file cannot be read
)

// result of a try.
type result struct {
	kind  kind
	after time.Duration // what the second receiver asks to wait
	// code and message say what is wrong without quoting anything; err may say more.
	code, message string
	err           error
}

// target is a second receiver.
type target struct {
	config receiverconfig.ForwardTo
	client *http.Client
	ctx    context.Context // ends when another takes its place
	cancel context.CancelFunc
}

func newTarget(c receiverconfig.ForwardTo) (*target, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if len(c.CA) > 0 {
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(c.CA) {
			return nil, errors.New("the CA of the second receiver is not a certificate in PEM")
		}
	}
	if len(c.ClientCert) > 0 {
		pair, err := tls.X509KeyPair(c.ClientCert, c.ClientKey)
		if err != nil {
			return nil, errors.New("the client certificate of the second receiver and its key are not a matching pair in PEM")
		}
		config.Certificates = []tls.Certificate{pair}
	}
	t := &target{config: c}
	t.ctx, t.cancel = context.WithCancel(context.Background())
	t.client = &http.Client{
		Transport: &http.Transport{
			Proxy:                  http.ProxyFromEnvironment,
			DialContext:            (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
			TLSClientConfig:        config,
			TLSHandshakeTimeout:    10 * time.Second,
			ForceAttemptHTTP2:      true,
			DisableCompression:     true,
			MaxResponseHeaderBytes: 32 << 10,
			IdleConnTimeout:        90 * time.Second,
		},
		// The body is for this address and no other, and so is the token.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return t, nil
}

func (t *target) close() {
	t.cancel()
	t.client.CloseIdleConnections()
}

// send tries once to send a body.
func (f *Forwarder) send(ctx context.Context, t *target, e *entry) result {
	timeout := time.Duration(t.config.TimeoutSeconds)*time.Second + time.Duration(e.size/leastRate)*time.Second
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	defer context.AfterFunc(t.ctx, cancel)()
	var connected atomic.Bool
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { connected.Store(true) }})

	open := func() (io.ReadCloser, error) { return f.open(e) }
	body, err := open()
	if err != nil {
		return result{kind: broken, code: "Volume", message: "a body on the volume cannot be read", err: err}
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, t.config.URL, body)
	if err != nil {
		_ = body.Close()
		return result{kind: later, code: "URL", message: "its address is not valid"}
	}
	req.ContentLength, req.GetBody = e.size, open
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "trail-receiver")
	if t.config.Token != "" {
		req.Header.Set("Authorization", "Bearer "+t.config.Token)
	}
	resp, err := t.client.Do(req)
	if err != nil {
		var u *url.Error
		if errors.As(err, &u) {
			err = u.Err // without the address
		}
		r := result{kind: later, code: "Unreachable", message: "it cannot be reached", err: err}
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			r.code, r.message = "Timeout", fmt.Sprintf("it did not answer within %v", timeout)
		}
		if connected.Load() {
			r.kind = unsure
		}
		return r
	}
	_, _ = io.CopyN(io.Discard, resp.Body, maxAnswer)
	_ = resp.Body.Close()
	return answered(resp)
}

// answered tells what an answer means.
func answered(resp *http.Response) result {
	code := resp.StatusCode
	r := result{code: "HTTP" + strconv.Itoa(code), message: fmt.Sprintf("it answers %d", code)}
	switch {
	case code >= 200 && code < 300:
		return result{}
	case code < 400: // a redirect
		r.kind = later
	case code < 500:
		r.kind = refused
		switch code {
		case http.StatusUnauthorized, http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusProxyAuthRequired,
			http.StatusTooEarly, http.StatusTooManyRequests:
			r.kind = later // it is not this body
		case http.StatusForbidden, http.StatusRequestTimeout:
			r.kind = unsure
		}
	default:
		r.kind = again
		switch code {
		case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
			r.kind = unsure
		}
	}
	if seconds, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && seconds > 0 {
		r.after = time.Duration(min(seconds, 3600)) * time.Second
	}
	return r
}

// open reads a body back.
func (f *Forwarder) open(e *entry) (io.ReadCloser, error) {
	file, err := os.Open(f.path(e.file, dueSuffix))
	if err != nil {
		return nil, err
	}
	return struct {
		io.Reader
		io.Closer
	}{cipher.StreamReader{S: f.keyStream(e.file), R: file}, file}, nil
}

// jitter makes d up to a fifth longer.
func jitter(d time.Duration) time.Duration {
	return d + rand.N(d/5+1) //nolint:gosec // chance, not secrecy
}
