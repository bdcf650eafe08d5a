package integration

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/json"
	auditv1 "k8s.io/apiserver/pkg/apis/audit/v1"
)

// webhook is a second receiver, as Falco is one.
type webhook struct {
	*httptest.Server
	code atomic.Int64

	mu     sync.Mutex
	events map[string]auditv1.Event // by audit ID and stage
	broken int
}

func newWebhook(t *testing.T) *webhook {
	h := &webhook{events: map[string]auditv1.Event{}}
	h.code.Store(http.StatusOK)
	h.Server = httptest.NewServer(h)
	t.Cleanup(h.Close)
	return h
}

func (h *webhook) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	w.WriteHeader(int(h.code.Load()))
	if h.code.Load() != http.StatusOK {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	var list auditv1.EventList
	if err != nil || r.URL.Path != "/k8s-audit" || json.Unmarshal(body, &list) != nil || list.Kind != "EventList" {
		h.broken++
		return
	}
	for i := range list.Items {
		h.events[string(list.Items[i].AuditID)+"/"+string(list.Items[i].Stage)] = list.Items[i]
	}
}

// lacks says what it has not of what the API server has logged of a user.
func (h *webhook) lacks(logged []auditv1.Event) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, e := range logged {
		if _, ok := h.events[string(e.AuditID)+"/"+string(e.Stage)]; !ok {
			return fmt.Sprintf("%s %s", e.Verb, e.RequestURI)
		}
	}
	return ""
}

// What the API server sends goes on to a second receiver, also what it did not
// take at first. The receiver follows a change of its address while it runs.
func TestForward(t *testing.T) {
	w := newWorld(t, "")
	first, second := newWebhook(t), newWebhook(t)
	forwardTo := func(h *webhook) {
		w.startManagerWith(fmt.Sprintf(`
apiVersion: config.trail-operator.io/v1alpha1
kind: ManagerConfig
account: "000000000042"
region: eu-1
namespace: %s
receiver: {address: %q, apiServers: [cp-1]}
intake: {forwardTo: {url: %q}}
metricsBindAddress: "0"
healthBindAddress: "127.0.0.1:0"
`, installed, w.receiver, h.URL+"/k8s-audit"))
	}
	anna := 0
	act := func() {
		anna++
		c := w.as("anna")
		if err := c.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("anna-%d", anna)}}); err != nil {
			t.Fatal(err)
		}
	}
	forwardTo(first)
	eventually(t, func() string { // until the receiver has its configuration, nothing is forwarded
		act()
		if logged := w.logged("anna"); first.lacks(logged[len(logged)-1:]) != "" {
			return "an event at the second receiver"
		}
		return ""
	})
	known := len(w.logged("anna"))

	first.code.Store(http.StatusServiceUnavailable)
	for range 5 {
		act()
	}
	eventually(t, func() string {
		if value(t, w, "trail_forward_failures_total") == 0 {
			return "a try that fails"
		}
		return ""
	})
	first.code.Store(http.StatusOK)
	eventually(t, func() string { return first.lacks(w.logged("anna")[known:]) })

	forwardTo(second)
	known = len(w.logged("anna"))
	eventually(t, func() string {
		act()
		if logged := w.logged("anna"); second.lacks(logged[len(logged)-1:]) != "" {
			return "an event at its successor"
		}
		return ""
	})
	if value(t, w, "trail_forward_dropped_total") != 0 {
		t.Error("something was dropped")
	}
	for _, h := range []*webhook{first, second} {
		h.mu.Lock()
		if h.broken > 0 {
			t.Errorf("%d bodies were not those of an API server", h.broken)
		}
		h.mu.Unlock()
	}
}

// value is the sum of a metric of the receiver.
func value(t *testing.T, w *world, name string) float64 {
	t.Helper()
	families, err := w.metrics.Gather()
	if err != nil {
		t.Fatal(err)
	}
	sum := 0.0
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == name {
				sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	return sum
}
