package kube

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/streaming/pkg/httpstream"
	"k8s.io/streaming/pkg/httpstream/spdy"
)

// kubelet answers port-forwards as an API server of before WebSockets does: what
// it is sent comes back in capitals. It ends with the test.
func kubelet(t *testing.T, refuse string) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case strings.Contains(r.URL.Path, "/forbidden/"):
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusForbidden)
			_, _ = io.WriteString(w, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Forbidden","code":403,"message":"pods is forbidden"}`)
			return
		case r.Header.Get("Upgrade") == "websocket":
			http.Error(w, "no WebSockets here", http.StatusBadRequest)
			return
		}
		if _, err := httpstream.Handshake(r, w, []string{portforward.PortForwardProtocolV1Name}); err != nil {
			return
		}
		var failures httpstream.Stream
		conn := spdy.NewResponseUpgrader().UpgradeResponse(w, r, func(s httpstream.Stream, _ <-chan struct{}) error {
			if s.Headers().Get(corev1.StreamType) == corev1.StreamTypeError {
				failures = s
				return nil
			}
			errs := failures
			go func() {
				defer s.Close()
				defer errs.Close()
				if refuse != "" {
					_, _ = io.WriteString(errs, refuse)
					return
				}
				b := make([]byte, 100)
				for {
					n, err := s.Read(b)
					if err != nil {
						return
					}
					_, _ = io.WriteString(s, strings.ToUpper(string(b[:n])))
				}
			}()
			return nil
		})
		if conn == nil {
			return
		}
		<-conn.CloseChan()
	}))
	t.Cleanup(s.Close)
	return s
}

// restGetter is a configuration and nothing else.
type restGetter struct{ *rest.Config }

func (g restGetter) ToRESTConfig() (*rest.Config, error) { return g.Config, nil }

func (restGetter) ToDiscoveryClient() (discovery.CachedDiscoveryInterface, error) { return nil, nil }

func (restGetter) ToRESTMapper() (meta.RESTMapper, error)        { return nil, nil }
func (restGetter) ToRawKubeConfigLoader() clientcmd.ClientConfig { return nil }

func forwardTo(t *testing.T, address, namespace string) *Forward {
	t.Helper()
	c := &chosen{flags: restGetter{&rest.Config{Host: address}}}
	f, err := c.Forward(namespace, "trail-receiver-0", 8443)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f
}

func TestForward(t *testing.T) {
	f := forwardTo(t, kubelet(t, "").URL, "ns")
	conns := make([]net.Conn, 2)
	for i := range conns {
		var err error
		if conns[i], err = f.Dial(context.Background(), "tcp", "anything:1"); err != nil {
			t.Fatal(err)
		}
	}
	for i, c := range conns {
		said := []string{"one", "two"}[i]
		if _, err := io.WriteString(c, said); err != nil {
			t.Fatal(err)
		}
		b := make([]byte, 3)
		if _, err := io.ReadFull(c, b); err != nil || string(b) != strings.ToUpper(said) {
			t.Errorf("%q, %v", b, err)
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestForwardFails(t *testing.T) {
	c, err := forwardTo(t, kubelet(t, "dial tcp4 127.0.0.1:8443: connection refused").URL, "ns").Dial(context.Background(), "", "")
	if err == nil {
		_, err = io.ReadAll(c)
	}
	if err == nil || !strings.Contains(err.Error(), "port 8443 of the pod trail-receiver-0") || !strings.Contains(err.Error(), "connection refused") {
		t.Errorf("%v", err)
	}
	if _, err := forwardTo(t, kubelet(t, "").URL, "forbidden").Dial(context.Background(), "", ""); err == nil || !strings.Contains(err.Error(), "you may not create pods/portforward") {
		t.Errorf("%v", err)
	}
	s := httptest.NewServer(http.NotFoundHandler())
	address := s.URL
	s.Close()
	if _, err := forwardTo(t, address, "ns").Dial(context.Background(), "", ""); err == nil || strings.Contains(err.Error(), "\n") {
		t.Errorf("%v", err)
	}
}
