package trail

import (
	"context"
	"testing"

	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	logf "sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/trail-operator/trail-operator/controllers/installation"
	"github.com/trail-operator/trail-operator/internal/receiverconfig"
)

// NewPublisher is that of a manager that leads.
func NewPublisher(t *testing.T, c client.Client) *installation.Publisher {
	t.Helper()
	p, pem := installation.NewPublisher(c, "system"), []byte("-----BEGIN")
	if err := p.SetBase(t.Context(), installation.Base{
		Config: receiverconfig.Config{Installation: receiverconfig.Installation{UID: "in", Account: "000000000042", Region: "eu-1"}},
		PEM: map[string][]byte{
			receiverconfig.FileServerCert: pem, receiverconfig.FileServerKey: pem,
			receiverconfig.FileClientCA: pem, receiverconfig.FileSigningKey: pem,
		},
	}); err != nil {
		t.Fatal(err)
	}
	return p
}

// Poll reads the receiver's status once.
func (p *Poller) Poll(ctx context.Context) { p.poll(ctx, logf.FromContext(ctx)) }

// Subscribe is what the controller of a kind does.
func (p *Poller) Subscribe(kind Kind) <-chan event.GenericEvent { return p.subscribe(kind) }
