package intake

import (
	"context"
	"errors"
	"log"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/go-logr/logr"
	"golang.org/x/net/netutil"
)

const (
	headerTimeout = 10 * time.Second
	idleTimeout   = 3 * time.Minute
	maxHeader     = 32 << 10
	// maxConnections bounds connections: over HTTP/1.1 an API server opens one
	// for each POST in flight.
	maxConnections = 1024
	// maxStreams bounds the POSTs in flight on one HTTP/2 connection; a client
	// that wants more opens another connection. Each may fill its own buffer,
	// so that POSTs which wait for memory do not hold up those that have some.
	maxStreams   = 64
	streamBuffer = 128 << 10
	// shutdownTimeout is how long requests in flight may take when the server
	// ends.
	shutdownTimeout = 25 * time.Second
)

// Serve answers with h on l, over TLS, to clients with a certificate, until ctx
// ends. It then lets the requests in flight end.
func Serve(ctx context.Context, l net.Listener, c *Certificates, h http.Handler, logger logr.Logger) error {
	s := &http.Server{
		Handler:           c.verified(h),
		TLSConfig:         c.config(),
		ReadHeaderTimeout: headerTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		// Handshakes that fail are noise of scanners and probes.
		ErrorLog: log.New(lines{logger.V(1)}, "", 0),
		ConnContext: func(ctx context.Context, _ net.Conn) context.Context {
			return context.WithValue(ctx, peerKey{}, &peer{})
		},
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams:          maxStreams,
			MaxReceiveBufferPerStream:     streamBuffer,
			MaxReceiveBufferPerConnection: maxStreams * streamBuffer,
			MaxReadFrameSize:              64 << 10,
			SendPingTimeout:               30 * time.Second,
			PingTimeout:                   15 * time.Second,
			WriteByteTimeout:              30 * time.Second,
		},
	}
	ended := make(chan error, 1)
	go func() { ended <- s.ServeTLS(netutil.LimitListener(l, maxConnections), "", "") }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	wait, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
	defer cancel()
	err := s.Shutdown(wait)
	if err != nil {
		err = errors.Join(errors.New("requests were cut at the end of the server"), s.Close())
	}
	if end := <-ended; !errors.Is(end, http.ErrServerClosed) {
		err = errors.Join(err, end)
	}
	return err
}

// lines passes what net/http logs on.
type lines struct{ log logr.Logger }

func (l lines) Write(b []byte) (int, error) {
	l.log.Info("Connection failed", "reason", shorten(strings.TrimSpace(string(b))))
	return len(b), nil
}
