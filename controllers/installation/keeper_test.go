package installation

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"k8s.io/client-go/tools/events"

	"github.com/trail-operator/trail-operator/internal/manifests"
	"github.com/trail-operator/trail-operator/internal/pki"
	"github.com/trail-operator/trail-operator/internal/receiverstatus"
)

// asked is the receiver of a world.
type asked struct{ *world }

func (a asked) Status(ctx context.Context) (*receiverstatus.Status, error) {
	if s := a.status(ctx); s != nil {
		return s, nil
	}
	return nil, errBroken
}

// TestKeeper: it tells of ends once each, and whom the receiver is called as.
func TestKeeper(t *testing.T) {
	w := newWorld(t, "cp-1")
	recorder := events.NewFakeRecorder(10)
	renewed := map[string]bool{}
	k := &Keeper{
		Installation: w.manager.in, Receiver: asked{w}, Events: recorder, Expiry: NewExpiry(),
		Renewed: func(roots []byte, cert pki.KeyPair) error {
			renewed[names(t, cert.Cert)[0]] = true
			return nil
		},
	}
	begin := w.clock.Now()
	keep := func() {
		t.Helper()
		for range 2 {
			if err := k.Keep(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	keep()
	want := map[string]float64{
		manifests.IntakeCAName: float64(begin.Add(pki.CALifetime).Unix()), manifests.APIServerCertName("cp-1"): float64(begin.Add(pki.CALifetime).Unix()),
		manifests.ServerCertName: float64(begin.Add(pki.LeafLifetime).Unix()), manifests.ManagerCertName: float64(begin.Add(pki.LeafLifetime).Unix()),
	}
	got := map[string]float64{}
	for name := range want {
		got[name] = testutil.ToFloat64(k.Expiry.WithLabelValues(name))
	}
	if d := cmp.Diff(want, got); d != "" || testutil.CollectAndCount(k.Expiry) != len(want) {
		t.Errorf("ends: %s", d)
	}
	w.clock.SetTime(begin.Add(pki.LeafLifetime * 2 / 3))
	keep()
	if len(renewed) != 2 {
		t.Errorf("the receiver was called with %d certificates", len(renewed))
	}
	if n := len(recorder.Events); n != 0 {
		t.Errorf("%d Events too early", n)
	}
	w.clock.SetTime(begin.Add(pki.CALifetime - WarnBefore))
	keep()
	w.clock.SetTime(begin.Add(pki.CALifetime + day))
	keep()
	close(recorder.Events)
	var said []string
	for e := range recorder.Events {
		said = append(said, e)
	}
	if d := cmp.Diff([]string{
		"Warning CertificateExpiring The intake CA ends on 2035-12-31. Run `kubectl trail webhook-config --rotate-ca`, which says what to do next.",
		"Warning CertificateExpired The intake CA has expired. Run `kubectl trail webhook-config --rotate-ca`, which says what to do next.",
	}, said); d != "" {
		t.Error(d)
	}
}
