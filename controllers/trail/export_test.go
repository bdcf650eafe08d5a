package trail

import (
	"context"

	"sigs.k8s.io/controller-runtime/pkg/event"
	logf "sigs.k8s.io/controller-runtime/pkg/log"
)

// Poll reads the receiver's status once.
func (p *Poller) Poll(ctx context.Context) { p.poll(ctx, logf.FromContext(ctx)) }

// Subscribe is what the controller of a kind does.
func (p *Poller) Subscribe(kind Kind) <-chan event.GenericEvent { return p.subscribe(kind) }
