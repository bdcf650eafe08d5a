package installation

import (
	"cmp"
	"context"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/client"
	logf "sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/trail-operator/trail-operator/internal/manifests"
	"github.com/trail-operator/trail-operator/internal/pki"
	"github.com/trail-operator/trail-operator/internal/receiverstatus"
)

// keeperInterval is how often somebody may have asked for a rotation; every
// keeperPasses times everything is looked at, asked or not.
const (
	keeperInterval = 5 * time.Second
	keeperPasses   = 12
)

// Keeper renews certificates while the manager leads, and rotates those of API
// servers and the CA when that is asked for.
type Keeper struct {
	Installation *Installation
	// Receiver tells which certificates are in use.
	Receiver interface {
		Status(ctx context.Context) (*receiverstatus.Status, error)
	}
	// Renewed is told of the certificate with which to call the receiver, and of
	// the CAs that may have issued the receiver's; nil for nobody.
	Renewed func(roots []byte, cert pki.KeyPair) error
	Events  events.EventRecorder
	Expiry  *prometheus.GaugeVec // of NewExpiry
	// Interval and Settle are for tests; 0 means 5 seconds and 10 minutes.
	Interval, Settle time.Duration

	version      string // of the ConfigMap at the last pass
	quiet        int    // looks since then
	said, failed string
}

// NewExpiry makes the gauge of the ends of certificates.
func NewExpiry() *prometheus.GaugeVec {
	return prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "trail_certificate_expiry_timestamp_seconds",
		Help: "When a certificate of the installation ends, by the name of its Secret.",
	}, []string{"certificate"})
}

// NeedLeaderElection says that only the leader renews.
func (k *Keeper) NeedLeaderElection() bool { return true }

// Start keeps the certificates until ctx is done.
func (k *Keeper) Start(ctx context.Context) error {
	log := logf.FromContext(ctx).WithName("certificates")
	ticker := time.NewTicker(cmp.Or(k.Interval, keeperInterval))
	defer ticker.Stop()
	for {
		k.look(ctx, log)
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// look keeps the certificates when something was asked for, or it is time.
func (k *Keeper) look(ctx context.Context, log logr.Logger) {
	e := k.Installation.ensurer
	var asked corev1.ConfigMap
	err := e.client.Get(ctx, client.ObjectKey{Namespace: e.config.Namespace, Name: manifests.CertificatesName}, &asked)
	if err == nil && asked.ResourceVersion == k.version && k.quiet < keeperPasses-1 {
		k.quiet++
		return
	}
	k.version, k.quiet = asked.ResourceVersion, 0
	err = k.Keep(ctx)
	failed := ""
	if err != nil {
		failed = err.Error()
	}
	if failed != k.failed && failed != "" && ctx.Err() == nil {
		log.Error(err, "Certificates cannot be kept; trying again")
	}
	k.failed = failed
}

// Keep looks at every certificate once.
func (k *Keeper) Keep(ctx context.Context) error {
	e := k.Installation.ensurer
	e.settle = cmp.Or(k.Settle, defaultSettle)
	e.receiverStatus = func(ctx context.Context) *receiverstatus.Status {
		s, err := k.Receiver.Status(ctx)
		if err != nil {
			return nil // the poller tells of it
		}
		return s
	}
	err := e.keep(ctx)
	c := k.Installation.Certificates()
	if k.Renewed != nil {
		err = cmp.Or(err, k.Renewed(c.Roots, c.Manager))
	}
	k.Expiry.Reset()
	for _, end := range c.Ends {
		k.Expiry.WithLabelValues(end.Secret).Set(float64(end.Time.Unix()))
	}
	k.warn(c)
	return err
}

// Reasons of the Events on the ConfigMap of the installation.
const (
	reasonExpiring = "CertificateExpiring"
	reasonExpired  = "CertificateExpired"
)

// warn sends an Event when there is something new to say.
func (k *Keeper) warn(c *Certificates) {
	e := k.Installation.ensurer
	now, reason := e.clock.Now(), reasonExpired
	note := c.Expired(now)
	if note == "" {
		note, reason = c.Expiring(now), reasonExpiring
	}
	if note != "" && note != k.said {
		on := &corev1.ConfigMap{
			TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "ConfigMap"},
			ObjectMeta: metav1.ObjectMeta{Namespace: e.config.Namespace, Name: manifests.InstallationName},
		}
		k.Events.Eventf(on, nil, corev1.EventTypeWarning, reason, "Keep", "%s", note)
	}
	k.said = note
}
