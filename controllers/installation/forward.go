package installation

import (
	"context"
	"crypto/tls"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	logf "sigs.k8s.io/controller-runtime/pkg/log"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/trail-operator/trail-operator/internal/managerconfig"
	"github.com/trail-operator/trail-operator/internal/receiverconfig"
)

// forwardInterval is how often the credentials are read again: no Secret is watched.
const forwardInterval = time.Minute

// maxToken bounds a bearer token, in bytes.
const maxToken = 16 << 10

// Forward tells the receiver to whom it sends the bodies of audit POSTs on, with
// the credentials as they are in their Secret now.
type Forward struct {
	Client    client.Reader // must not cache Secrets
	Config    *managerconfig.Config
	Publisher *Publisher

	said string // what was logged last
}

// NeedLeaderElection says that only the leader renders.
func (f *Forward) NeedLeaderElection() bool { return true }

// Start renders every minute until ctx is done.
func (f *Forward) Start(ctx context.Context) error {
	log := logf.FromContext(ctx).WithName("forward")
	ticker := time.NewTicker(forwardInterval)
	defer ticker.Stop()
	for {
		said := ""
		if err := f.update(ctx); err != nil && ctx.Err() == nil {
			if said = err.Error(); said != f.said {
				log.Error(err, "The receiver does not learn where to forward audit events; what it was told before stays in force")
			}
		}
		f.said = said
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

func (f *Forward) update(ctx context.Context) error {
	c := f.Config.Intake.ForwardTo
	if c.URL == "" {
		return f.Publisher.SetForwardTo(ctx, nil)
	}
	to := &receiverconfig.ForwardTo{URL: c.URL, CA: []byte(c.CA), TimeoutSeconds: c.TimeoutSeconds, QueueBytes: c.QueueBytes}
	if c.CA == "" {
		to.CA = nil
	}
	if c.CredentialsSecret != "" {
		if err := f.credentials(ctx, c.CredentialsSecret, to); err != nil {
			return err
		}
	}
	return f.Publisher.SetForwardTo(ctx, to)
}

func (f *Forward) credentials(ctx context.Context, name string, to *receiverconfig.ForwardTo) error {
	var s corev1.Secret
	if err := f.Client.Get(ctx, client.ObjectKey{Namespace: f.Config.Namespace, Name: name}, &s); err != nil {
		return fmt.Errorf("reading the Secret %s of intake.forwardTo: %w", name, err)
	}
	token, cert, key := s.Data[managerconfig.ForwardToken], s.Data[corev1.TLSCertKey], s.Data[corev1.TLSPrivateKeyKey]
	switch {
	case len(token)+len(cert)+len(key) == 0:
		return fmt.Errorf("the Secret %s of intake.forwardTo has neither %s nor %s and %s", name, managerconfig.ForwardToken, corev1.TLSCertKey, corev1.TLSPrivateKeyKey)
	case len(token) > maxToken || !isHeader(token):
		return fmt.Errorf("the key %s of the Secret %s must be one line of printable ASCII, at most 16 KiB", managerconfig.ForwardToken, name)
	}
	to.Token = string(token)
	if len(cert)+len(key) == 0 {
		return nil
	}
	if _, err := tls.X509KeyPair(cert, key); err != nil {
		return fmt.Errorf("%s and %s of the Secret %s are not a matching pair in PEM", corev1.TLSCertKey, corev1.TLSPrivateKeyKey, name)
	}
	to.ClientCert, to.ClientKey = cert, key
	return nil
}

// isHeader reports whether b can be sent in a header.
func isHeader(b []byte) bool {
	for _, c := range b {
		if c <= ' ' || c > '~' {
			return false
		}
	}
	return true
}
