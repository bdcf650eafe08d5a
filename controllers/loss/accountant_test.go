package loss

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/trail-operator/trail-operator/internal/lossaccount"
	"github.com/trail-operator/trail-operator/internal/manifests"
	"github.com/trail-operator/trail-operator/internal/pki"
	"github.com/trail-operator/trail-operator/internal/receiverstatus"
	"github.com/trail-operator/trail-operator/internal/record"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// apiServer answers as a kube-apiserver does; what it is asked for, it sends to
// the receiver.
type apiServer struct {
	*httptest.Server
	name string
	w    *world

	status  int
	started time.Time
	events  int64
	dropped int64
}

func (s *apiServer) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	if r.Header.Get("Authorization") != "Bearer t" {
		s.w.t.Errorf("header %v", r.Header)
	}
	rw.Header().Set("Date", s.w.clock.Now().UTC().Format(http.TimeFormat))
	if id, class, ok := receiverstatus.ParseProbe(r.Header.Get("Audit-ID")); ok {
		s.w.arrived(s.name, id, class)
		return
	}
	if s.status != 0 {
		rw.WriteHeader(s.status)
		return
	}
	if r.URL.Path != "/metrics" {
		s.w.t.Errorf("it is asked for %s", r.URL)
	}
	fmt.Fprintf(rw, "apiserver_audit_event_total %d\napiserver_audit_error_total{plugin=\"buffered\"} %d\nprocess_start_time_seconds %d\n",
		s.events, s.dropped, s.started.Unix())
}

// world is a cluster with a receiver.
type world struct {
	t      *testing.T
	mu     sync.Mutex
	clock  *clocktesting.FakePassiveClock
	client client.Client
	ca     pki.KeyPair
	config *rest.Config

	servers []*apiServer
	state   receiverstatus.Status
	away    bool
	events  []record.OwnEvent
	known   map[string]bool
	handed  int // events, also those that are known
	a       *Accountant
}

func newWorld(t *testing.T, names ...string) *world {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := clientgoscheme.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	now := time.Now().Truncate(time.Second)
	w := &world{t: t, clock: clocktesting.NewFakePassiveClock(now), known: map[string]bool{}}
	var err error
	if w.ca, err = pki.NewCA("cluster", now); err != nil {
		t.Fatal(err)
	}
	pair, err := w.ca.IssueServer(now, serverName)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := tls.X509KeyPair(pair.Cert, pair.Key)
	if err != nil {
		t.Fatal(err)
	}
	w.state.Spool.UUID = "spool"
	w.client = fake.NewClientBuilder().WithScheme(scheme).Build()
	for _, name := range names {
		s := &apiServer{name: name, w: w, started: now.Add(-time.Hour)}
		s.Server = httptest.NewUnstartedServer(s)
		s.TLS = &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12}
		s.EnableHTTP2 = true
		s.StartTLS()
		t.Cleanup(s.Close)
		w.servers = append(w.servers, s)
	}
	// Each listens on a port of its own, and a slice has one port for all.
	w.slice(w.servers[0])
	w.config = &rest.Config{Host: w.servers[0].URL, BearerToken: "t", TLSClientConfig: rest.TLSClientConfig{CAData: w.ca.Cert}}
	w.start()
	return w
}

// slice names the address of an API server.
func (w *world) slice(s *apiServer) {
	w.t.Helper()
	var port int32
	if _, err := fmt.Sscanf(s.URL, "https://127.0.0.1:%d", &port); err != nil {
		w.t.Fatal(err)
	}
	slice := &discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "kubernetes"},
		Endpoints:  []discoveryv1.Endpoint{{Addresses: []string{"127.0.0.1"}}}, Ports: []discoveryv1.EndpointPort{{Port: &port}},
	}
	_ = w.client.Delete(w.t.Context(), slice.DeepCopy())
	if err := w.client.Create(w.t.Context(), slice); err != nil {
		w.t.Fatal(err)
	}
}

// start begins a manager.
func (w *world) start() {
	w.a = &Accountant{
		Client: w.client, Direct: w.client, Config: w.config, Namespace: "ns", Receiver: w, Clock: w.clock, Interval: time.Minute,
		probes: map[lossaccount.Identity][]string{}, failing: map[string]bool{},
	}
}

// arrived: an event of a probe is at the receiver. w.mu is held.
func (w *world) arrived(name, id string, class receiverstatus.Class) {
	for i := range w.state.Intake.Sources {
		if s := &w.state.Intake.Sources[i]; s.APIServer == name {
			s.LastPost = w.clock.Now()
			s.Probes = append(s.Probes, receiverstatus.Probe{ID: id, First: w.clock.Now(), Classes: []receiverstatus.Class{class}})
			return
		}
	}
	w.state.Intake.Sources = append(w.state.Intake.Sources, receiverstatus.Source{Cluster: "1", APIServer: name, LastPost: w.clock.Now()})
	w.arrived(name, id, class)
}

func (w *world) Status(context.Context) (*receiverstatus.Status, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.away {
		return nil, errors.New("away")
	}
	s := w.state
	return &s, nil
}

func (w *world) Record(_ context.Context, events ...record.OwnEvent) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.away {
		return errors.New("away")
	}
	w.handed += len(events)
	for _, e := range events {
		if !w.known[e.ID] {
			w.events = append(w.events, e)
		}
		w.known[e.ID] = true
	}
	return nil
}

// look has the manager look once each minute.
func (w *world) look(minutes int) lossaccount.View {
	w.t.Helper()
	for range minutes {
		w.clock.SetTime(w.clock.Now().Add(time.Minute))
		if err := w.a.look(w.t.Context(), logr.Discard()); err != nil {
			w.t.Fatal(err)
		}
	}
	return *w.a.View()
}

func (w *world) recorded() (list []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, e := range w.events {
		cause, _, _ := strings.Cut(strings.TrimPrefix(string(e.Details), `{"cause":"`), `"`)
		list = append(list, e.Name+" "+cause)
	}
	return list
}

func fine(v lossaccount.View) bool {
	return len(v.Unreadable)+len(v.Unidentified)+len(v.Behind)+len(v.Losses) == 0 && !v.Through.IsZero()
}

// TestAccountant: an API server is found, named by its probe, compared; what it
// drops is recorded once, whatever restarts.
func TestAccountant(t *testing.T) {
	w := newWorld(t, "cp-1")
	if v := w.look(1); cmp.Diff([]string{w.servers[0].Listener.Addr().String()}, v.Unidentified) != "" {
		t.Errorf("before the first probe is there: %+v", v)
	}
	if v := w.look(10); !fine(v) {
		t.Errorf("it is not fine: %+v", v)
	}
	w.servers[0].dropped = 7
	w.start()
	w.look(2)
	w.away = true
	if v := w.look(8); len(v.Losses) != 1 || v.Losses[0].Events != 7 || len(w.recorded()) != 0 {
		t.Errorf("%+v, recorded %v", v, w.recorded())
	}
	w.away = false
	w.start()
	w.look(1)
	before := w.a.account
	w.start() // before it has noted that it is recorded
	w.look(3)
	if before == w.a.account {
		t.Error("the account was not read again")
	}
	if diff := cmp.Diff([]string{"EventsLost APIServerDropped"}, w.recorded()); diff != "" {
		t.Error(diff)
	}
	w.servers[0].started = w.clock.Now()
	w.servers[0].dropped = 0
	w.look(8)
	if diff := cmp.Diff([]string{"EventsLost APIServerDropped", "EventsPossiblyLost APIServerProcessChanged"}, w.recorded()); diff != "" {
		t.Error(diff)
	}
	handed := w.handed
	if w.look(3); w.handed != handed {
		t.Error("what is recorded is handed over again")
	}
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(NewMetrics(w.a))
	const want = `# HELP trail_apiserver_lost_events_total Audit events of an API server that were lost before they reached the receiver.
# TYPE trail_apiserver_lost_events_total counter
trail_apiserver_lost_events_total{apiserver="cp-1"} 7
# HELP trail_apiserver_metrics_readable Whether the metrics of an API server can be read, 0 or 1.
# TYPE trail_apiserver_metrics_readable gauge
trail_apiserver_metrics_readable{apiserver="cp-1"} 1
# HELP trail_apiserver_unaccounted_stops_total Processes of an API server that have ended and may have lost events.
# TYPE trail_apiserver_unaccounted_stops_total counter
trail_apiserver_unaccounted_stops_total{apiserver="cp-1"} 1
`
	if err := testutil.GatherAndCompare(registry, strings.NewReader(want), "trail_apiserver_lost_events_total", "trail_apiserver_metrics_readable", "trail_apiserver_unaccounted_stops_total"); err != nil {
		t.Error(err)
	}
}

// TestUnreadable: who refuses the metrics, or cannot be reached, is not passed over.
func TestUnreadable(t *testing.T) {
	w := newWorld(t, "cp-1")
	w.look(10)
	w.servers[0].status = http.StatusForbidden
	w.look(3)
	if v := w.look(1); cmp.Diff([]string{"cp-1"}, v.Unreadable) != "" {
		t.Errorf("%+v", v)
	}
	w.servers[0].status = 0
	if v := w.look(8); !fine(v) {
		t.Errorf("it is not fine again: %+v", v)
	}
}

// TestOwnAddress: where the addresses of API servers cannot be reached, the one
// that the manager itself uses can.
func TestOwnAddress(t *testing.T) {
	w := newWorld(t, "cp-1")
	gone := &apiServer{name: "gone", w: w}
	gone.Server = httptest.NewServer(gone)
	gone.URL = strings.Replace(gone.URL, "http:", "https:", 1)
	w.slice(gone)
	gone.Close()
	w.config.ServerName = serverName
	if v := w.look(10); !fine(v) {
		t.Errorf("it is not fine: %+v", v)
	}
}

// TestDamagedAccount: an account that cannot be read is a possible loss.
func TestDamagedAccount(t *testing.T) {
	w := newWorld(t, "cp-1")
	w.look(10)
	cm := &corev1.ConfigMap{}
	if err := w.client.Get(t.Context(), client.ObjectKey{Namespace: "ns", Name: manifests.LossAccountName}, cm); err != nil {
		t.Fatal(err)
	}
	cm.Data[manifests.KeyLossAccount] = "{"
	if err := w.client.Update(t.Context(), cm); err != nil {
		t.Fatal(err)
	}
	w.start()
	w.look(10)
	if diff := cmp.Diff([]string{"EventsPossiblyLost AccountLost"}, w.recorded()); diff != "" {
		t.Error(diff)
	}
}

func TestOff(t *testing.T) {
	a := &Accountant{Off: true}
	if err := a.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if v := a.View(); v == nil || !v.Off {
		t.Errorf("%+v", v)
	}
}

// TestTail: the account of the tail is taken, as long as there is one.
func TestTail(t *testing.T) {
	now := time.Now()
	a := &Accountant{Clock: clocktesting.NewFakePassiveClock(now), APIServers: []string{"cp-1", "cp-2", "cp-3"}, Tails: true}
	s := &receiverstatus.Status{Intake: receiverstatus.Intake{
		Accounts: []receiverstatus.SourceAccount{
			{Source: "1/cp-1", Received: 10},
			{Source: "1/cp-1/tail", Received: 20},
			{Source: "1/cp-2", Received: 30},
			{Source: "1/cp-2/tail", Received: 40},
			{Source: "1/cp-3/tail", Received: 50},
			{Source: "1/cp-4", Received: 60},
			{Source: "1/cp-4/tail", Received: 70},
		},
		Sources: []receiverstatus.Source{
			{Cluster: "1", APIServer: "cp-1", LastPost: now},
			{Cluster: "1", APIServer: "cp-2", LastPost: now},
			{Cluster: "1", APIServer: "cp-4", LastPost: now},
		},
		Tails: []receiverstatus.Tail{
			{Cluster: "1", APIServer: "cp-1", LastPost: now, LagSeconds: 3, Newest: &now},
			{Cluster: "1", APIServer: "cp-1", LastPost: now.Add(-time.Hour), LagSeconds: 3000}, // it lost its state since
			{Cluster: "1", APIServer: "cp-2", LastPost: now.Add(-8 * 24 * time.Hour)},          // gone
			{Cluster: "1", APIServer: "cp-3", LastPost: now, LagSeconds: 300, Newest: &now},
			{Cluster: "1", APIServer: "cp-4", LastPost: now}, // taken off the configuration
		},
	}}
	want := map[string]lossaccount.Source{
		"cp-1": {Received: 20, LastPost: now, Tail: true, TailCurrent: true, TailNewest: now},
		"cp-2": {Received: 30, LastPost: now},
		"cp-3": {Received: 50, Tail: true, TailNewest: now},
		"cp-4": {Received: 60, LastPost: now},
	}
	if diff := cmp.Diff(want, a.receiver(s).Sources); diff != "" {
		t.Error(diff)
	}
	a.Tails = false // they were switched off, and are not forgotten yet
	want["cp-1"] = lossaccount.Source{Received: 10, LastPost: now}
	delete(want, "cp-3")
	if diff := cmp.Diff(want, a.receiver(s).Sources); diff != "" {
		t.Error(diff)
	}
}
