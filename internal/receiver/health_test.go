package receiver

import (
	"context"
	"errors"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/go-logr/logr"
	"k8s.io/utils/clock"

	"github.com/trail-operator/trail-operator/internal/receiverconfig"
	"github.com/trail-operator/trail-operator/internal/spool"
)

func answers(t *testing.T, r *Receiver) (health, ready int, why string) {
	t.Helper()
	ask := func(h http.HandlerFunc) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		h(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", http.NoBody))
		return w
	}
	h, w := ask(r.ServeHealth), ask(r.ServeReady)
	return h.Code, w.Code, h.Body.String() + w.Body.String()
}

func TestProbes(t *testing.T) {
	broken := errors.New("an earlier write did not reach the volume")
	for name, tc := range map[string]struct {
		change        func(*Receiver)
		health, ready int
		why           string
	}{
		"works":            {func(*Receiver) {}, 200, 200, ""},
		"no configuration": {func(r *Receiver) { r.configured.Store(false) }, 200, 503, "no configuration yet"},
		"a sync has failed": {
			func(r *Receiver) { r.prober.commit = func(...spool.Op) error { return broken } }, 500, 503, broken.Error(),
		},
		"full":      {func(r *Receiver) { r.o.ReserveBytes = math.MaxInt64 }, 200, 503, "down to its reserve"},
		"no volume": {func(r *Receiver) { r.o.DataDir = "/does/not/exist" }, 200, 503, "is unknown"},
	} {
		t.Run(name, func(t *testing.T) {
			r := &Receiver{o: Options{DataDir: t.TempDir(), ReserveBytes: 1}, prober: prober{commit: func(...spool.Op) error { return nil }}}
			r.configured.Store(true)
			tc.change(r)
			health, ready, why := answers(t, r)
			if health != tc.health || ready != tc.ready || !strings.Contains(why, tc.why) {
				t.Errorf("healthz %d, readyz %d: %q", health, ready, why)
			}
		})
	}
}

// TestProbeOfAVolumeThatHangs: it is not ready, a restart would not help, and
// probes do not pile up.
func TestProbeOfAVolumeThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		var probes atomic.Int32
		r := &Receiver{o: Options{DataDir: "/", ReserveBytes: 1}, prober: prober{commit: func(...spool.Op) error {
			probes.Add(1)
			<-release
			return nil
		}}}
		r.configured.Store(true)
		for range 3 {
			if err := r.Healthy(t.Context()); err != nil {
				t.Errorf("unhealthy: %v", err)
			}
			if err := r.Ready(t.Context()); !errors.Is(err, errSlow) {
				t.Errorf("ready: %v", err)
			}
		}
		if n := probes.Load(); n != 1 {
			t.Errorf("%d probes are under way", n)
		}
		close(release)
		synctest.Wait()
		if err := r.Ready(t.Context()); err != nil {
			t.Errorf("not ready again: %v", err)
		}
	})
}

func TestSmallReserveIsRefused(t *testing.T) {
	o := Options{DataDir: t.TempDir(), ReserveBytes: receiverconfig.MinReserveBytes - 1, Clock: clock.RealClock{}, Log: logr.Discard()}
	if _, err := New(o); err == nil || !strings.Contains(err.Error(), "--reserve-bytes is 100663295; it must be at least 100663296 (96 MiB)") {
		t.Errorf("got %v", err)
	}
	o.ReserveBytes++
	r, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	ready := r.Ready(context.Background())
	if ready == nil || !strings.Contains(ready.Error(), "no configuration") {
		t.Errorf("ready before it has a configuration: %v", ready)
	}
	if err := r.spool.Close(); err != nil {
		t.Error(err)
	}
	if err := r.Healthy(context.Background()); err == nil {
		t.Error("healthy although the spool takes nothing any more")
	}
}
