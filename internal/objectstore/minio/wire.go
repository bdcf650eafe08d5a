package minio

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"maps"
	"net/http"
	"strings"
	"sync/atomic"
	"time"
)

const (
	dialTimeout   = 10 * time.Second
	answerTimeout = time.Minute
	// stallTimeout ends a connection on which nothing moves. It is longer than
	// idleTimeout, so that unused connections are closed in order.
	stallTimeout = 90 * time.Second
	idleTimeout  = 30 * time.Second

	// The receiver holds a client for each trail, and most are idle; the
	// verifier reads with many readers from one.
	maxIdleConnections = 16
	maxConnections     = 64

	// An answer other than an object is a page of a list, of 1000 keys, or an
	// error. Its tags are limited too, as a short one decodes into a large
	// structure.
	maxAnswer        = 4 << 20
	maxAnswerTags    = 32 << 10
	maxAnswerHeaders = 64 << 10
)

var errTooLarge = errors.New("the answer is too large")

// wire sends the requests of one client and watches over what comes back.
type wire struct {
	http.RoundTripper
	seen atomic.Pointer[sighting]
}

// sighting is what the server's clock was seen to say.
type sighting struct {
	offset time.Duration // from ours
	at     instant
}

// instant is a moment as the wall clock, which may be set, and as the time that
// has passed since the start of the process.
type instant struct {
	wall    time.Time
	elapsed time.Duration
}

var started = time.Now()

func present() instant {
	now := time.Now()
	return instant{now.Round(0), now.Sub(started)}
}

// offsetAt is the server's clock from ours as that is now: also when ours was set
// since the server's was seen, and no answer has come.
func (s *sighting) offsetAt(now instant) time.Duration {
	set := now.wall.Sub(s.at.wall) - (now.elapsed - s.at.elapsed)
	return s.offset - set
}

// newWire makes the transport. No proxy of the environment is used: it would
// resolve and dial in place of our dialer, and so get around it.
func newWire(d *dialer, tlsConfig *tls.Config) *wire {
	return &wire{RoundTripper: &http.Transport{
		DialContext:            d.DialContext,
		TLSClientConfig:        tlsConfig,
		TLSHandshakeTimeout:    dialTimeout,
		ResponseHeaderTimeout:  answerTimeout,
		IdleConnTimeout:        idleTimeout,
		MaxIdleConns:           maxIdleConnections,
		MaxIdleConnsPerHost:    maxIdleConnections,
		MaxConnsPerHost:        maxConnections,
		MaxResponseHeaderBytes: maxAnswerHeaders,
		// An object is what is stored, also when a server calls it encoded.
		DisableCompression: true,
	}}
}

// trust returns a configuration that trusts the authorities in pem besides
// those of the system.
func trust(pem []byte) (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if len(pem) == 0 {
		return c, nil
	}
	roots, err := x509.SystemCertPool()
	if err != nil {
		roots = x509.NewCertPool()
	}
	if !roots.AppendCertsFromPEM(pem) {
		return nil, errors.New("the CA bundle has no certificate in PEM form")
	}
	c.RootCAs = roots
	return c, nil
}

// RoundTrip implements http.RoundTripper.
func (w *wire) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := w.RoundTripper.RoundTrip(lowerMetadata(req))
	if err != nil {
		return nil, err
	}
	resp.Header.Del("Set-Cookie") // minio-go would keep them all
	if date, err := http.ParseTime(resp.Header.Get("Date")); err == nil {
		now := present()
		w.seen.Store(&sighting{offset: date.Sub(now.wall), at: now})
	}
	// Objects are read by the caller, piece by piece. All else is read to its
	// end by minio-go, however long it is.
	isObject := req.Method == http.MethodGet && req.URL.RawQuery == "" && resp.StatusCode == http.StatusOK
	if !isObject {
		resp.Body = &bounded{ReadCloser: resp.Body, left: maxAnswer, tags: maxAnswerTags}
	}
	return resp, nil
}

func (w *wire) serverTime() (time.Duration, bool) {
	seen := w.seen.Load()
	if seen == nil {
		return 0, false
	}
	return seen.offsetAt(present()), true
}

// lowerMetadata gives the names of metadata headers in lower case, as they are
// signed. Case has no meaning in HTTP, but there are servers that keep it, and
// readers that compare it.
func lowerMetadata(req *http.Request) *http.Request {
	const prefix = "X-Amz-Meta-"
	var header http.Header
	for k, v := range req.Header {
		if strings.HasPrefix(k, prefix) {
			if header == nil {
				header = maps.Clone(req.Header)
			}
			delete(header, k)
			header[strings.ToLower(k)] = v
		}
	}
	if header == nil {
		return req
	}
	lowered := *req // a RoundTripper must not change its request
	lowered.Header = header
	return &lowered
}

// bounded is a body that fails where it gets too long.
type bounded struct {
	io.ReadCloser
	left, tags int
}

func (b *bounded) Read(p []byte) (int, error) {
	if b.left <= 0 || b.tags <= 0 {
		return 0, errTooLarge
	}
	n, err := b.ReadCloser.Read(p[:min(len(p), b.left)])
	b.left -= n
	b.tags -= bytes.Count(p[:n], []byte{'<'})
	return n, err
}
