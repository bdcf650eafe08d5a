package kube

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/transport/spdy"
	"k8s.io/streaming/pkg/httpstream"
)

// Forward leads to a port of a pod by way of the API server, as kubectl
// port-forward does, without a port on this machine. Close ends all its
// connections.
type Forward struct {
	to     httpstream.Dialer
	target string // for errors
	deny   Request
	port   int

	mu     sync.Mutex
	stream httpstream.Connection
	next   int
}

// Forward returns the way to a port of a pod. Nothing is dialed yet.
func (c *chosen) Forward(namespace, pod string, port int) (*Forward, error) {
	config, err := c.flags.ToRESTConfig()
	if err != nil {
		return nil, explainConfig(err)
	}
	base, _, err := rest.DefaultServerUrlFor(config)
	if err != nil {
		return nil, explainConfig(err)
	}
	u := *base
	u.Path = strings.TrimRight(base.Path, "/") + fmt.Sprintf("/api/v1/namespaces/%s/pods/%s/portforward", url.PathEscape(namespace), url.PathEscape(pod))
	transport, upgrader, err := spdy.RoundTripperFor(config)
	if err != nil {
		return nil, explainConfig(err)
	}
	old := spdy.NewDialerForStreaming(upgrader, &http.Client{Transport: transport}, http.MethodPost, &u)
	websocket, err := portforward.NewSPDYOverWebsocketDialerForStreaming(&u, config)
	if err != nil {
		return nil, explainConfig(err)
	}
	return &Forward{
		to: portforward.NewFallbackDialerForStreaming(websocket, old, func(err error) bool {
			return httpstream.IsUpgradeFailure(err) || httpstream.IsHTTPSProxyError(err)
		}),
		target: fmt.Sprintf("port %d of the pod %s in namespace %q", port, pod, namespace), port: port,
		deny: Request{Verb: "create", Resource: "pods/portforward", Namespace: namespace, Name: pod},
	}, nil
}

// Dial opens a connection. Its address is not looked at.
func (f *Forward) Dial(_ context.Context, _, _ string) (net.Conn, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.stream == nil {
		stream, _, err := f.to.Dial(portforward.PortForwardProtocolV1Name)
		if err != nil {
			return nil, f.explain(err)
		}
		f.stream = stream
	}
	f.next++
	headers := http.Header{}
	headers.Set(corev1.StreamType, corev1.StreamTypeError)
	headers.Set(corev1.PortHeader, strconv.Itoa(f.port))
	headers.Set(corev1.PortForwardRequestIDHeader, strconv.Itoa(f.next))
	failures, err := f.stream.CreateStream(headers)
	if err != nil {
		return nil, f.explain(err)
	}
	if err := failures.Close(); err != nil { // nothing is written to it
		return nil, f.explain(err)
	}
	headers.Set(corev1.StreamType, corev1.StreamTypeData)
	data, err := f.stream.CreateStream(headers)
	if err != nil {
		return nil, f.explain(err)
	}
	c := &forwarded{Stream: data, of: f, failures: failures, failed: make(chan struct{})}
	go c.watch()
	return c, nil
}

func (f *Forward) explain(err error) error {
	switch text := err.Error(); {
	case apierrors.IsForbidden(err), apierrors.IsUnauthorized(err):
		return f.deny.Explain(err)
	case strings.Contains(text, "forbidden"), strings.Contains(text, "Forbidden"):
		return f.deny.Explain(apierrors.NewForbidden(corev1.Resource("pods/portforward"), f.deny.Name, nil))
	case apierrors.IsNotFound(err), strings.Contains(text, "not found"):
		return fmt.Errorf("there is no %s; check that the receiver runs, and --operator-namespace", f.target)
	}
	return fmt.Errorf("%s cannot be reached through the API server: %s", f.target, oneLine(err.Error()))
}

// Close ends all connections.
func (f *Forward) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.stream == nil {
		return nil
	}
	return f.stream.Close()
}

// forwarded is one connection. Its deadlines are those of requests.
type forwarded struct {
	httpstream.Stream
	of       *Forward
	failures httpstream.Stream
	failed   chan struct{} // closed when err is there, or never will be
	err      error
}

// maxFailure bounds what is read of the kubelet's words.
const maxFailure = 1 << 10

// watch waits for the kubelet to say that the pod's port cannot be reached.
func (c *forwarded) watch() {
	message, err := io.ReadAll(io.LimitReader(c.failures, maxFailure))
	if err == nil && len(message) > 0 {
		c.err = errors.New(oneLine(string(message)))
		_ = c.Reset()
	}
	close(c.failed) // there is nothing more to wait for
}

func (c *forwarded) Read(b []byte) (int, error) {
	n, err := c.Stream.Read(b)
	if err != nil && n == 0 {
		select {
		case <-c.failed:
			if c.err != nil {
				return 0, c.of.explain(c.err)
			}
		case <-time.After(failureLag):
		}
	}
	return n, err
}

// failureLag is how long the kubelet's words may come after the end of a stream.
const failureLag = 2 * time.Second

// Close ends this connection.
func (c *forwarded) Close() error {
	c.of.mu.Lock()
	defer c.of.mu.Unlock()
	err := c.Stream.Close()
	_ = c.failures.Reset()
	c.of.stream.RemoveStreams(c.Stream, c.failures)
	return err
}

func (c *forwarded) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (c *forwarded) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (c *forwarded) SetDeadline(time.Time) error      { return nil }
func (c *forwarded) SetReadDeadline(time.Time) error  { return nil }
func (c *forwarded) SetWriteDeadline(time.Time) error { return nil }
