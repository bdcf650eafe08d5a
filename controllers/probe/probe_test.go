package probe

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"k8s.io/client-go/rest"

	"github.com/trail-operator/trail-operator/internal/receiverstatus"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// apiServer notes the calls that it gets, and over which connection.
type apiServer struct {
	*httptest.Server

	mu          sync.Mutex
	calls       []string
	ids         map[string]bool
	connections map[string]bool
}

func newAPIServer(t *testing.T, status int) *apiServer {
	s := &apiServer{ids: map[string]bool{}, connections: map[string]bool{}}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		id, class, ok := receiverstatus.ParseProbe(r.Header.Get("Audit-ID"))
		if !ok || r.Header.Get("Authorization") != "Bearer t" {
			t.Errorf("header %v", r.Header)
		}
		s.calls = append(s.calls, string(class)+" "+r.Method+" "+r.URL.String())
		s.ids[id], s.connections[r.RemoteAddr] = true, true
		if strings.Contains(r.URL.Path, "/secrets/") && !strings.Contains(r.Header.Get("Accept"), "PartialObjectMetadata") {
			t.Error("a probe asks for the content of a Secret")
		}
		w.WriteHeader(status)
	}))
	t.Cleanup(s.Close)
	return s
}

// A probe changes nothing, and all of it takes one connection, whatever is
// answered. The next takes another.
func TestProbe(t *testing.T) {
	for _, status := range []int{200, 403} {
		s := newAPIServer(t, status)
		p := &Prober{Config: &rest.Config{Host: s.URL, BearerToken: "t"}, Namespace: "ns"}
		if err := p.Probe(t.Context()); err != nil {
			t.Fatal(err)
		}
		want := []string{
			"write PATCH /api/v1/namespaces/ns/configmaps/trail-installation?dryRun=All",
			"read GET /api/v1/namespaces/ns/configmaps/trail-installation",
			"secret GET /api/v1/namespaces/ns/secrets/trail-manager-tls",
		}
		if d := cmp.Diff(want, s.calls); d != "" {
			t.Error(d)
		}
		if len(s.ids) != 1 || len(s.connections) != 1 {
			t.Errorf("%d IDs, %d connections", len(s.ids), len(s.connections))
		}
		if err := p.Probe(t.Context()); err != nil || len(s.ids) != 2 || len(s.connections) != 2 {
			t.Errorf("%v, %d IDs, %d connections", err, len(s.ids), len(s.connections))
		}
	}
}

func TestStart(t *testing.T) {
	s := newAPIServer(t, 200)
	p := &Prober{Config: &rest.Config{Host: s.URL, BearerToken: "t"}, Namespace: "ns", Interval: time.Millisecond}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- p.Start(ctx) }()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(time.Millisecond) {
		s.mu.Lock()
		n := len(s.ids)
		s.mu.Unlock()
		if n >= 3 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("there are no probes")
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
