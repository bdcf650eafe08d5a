package installation

import (
	"context"
	"time"

	logf "sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/trail-operator/trail-operator/internal/receiverconfig"
	"github.com/trail-operator/trail-operator/internal/record"
)

// laterInterval is the longest that a change of PutLater waits.
const laterInterval = 10 * time.Minute

// PutLater renders a trail that is rendered already, and whose change can wait:
// together with the next that cannot, or with all that wait. Each write of a
// trail has the receiver load everything, and every full hour all trails have a
// new digest. A change that cannot be written is dropped: it is for the caller
// to put it again.
func (p *Publisher) PutLater(t receiverconfig.Trail) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.later == nil {
		p.later = map[string]*change{}
	}
	p.later[t.UID] = &change{uid: t.UID, organization: t.Namespace == "", raw: record.MustJSON(t)}
}

// NeedLeaderElection says that only the leader renders.
func (p *Publisher) NeedLeaderElection() bool { return true }

// Start writes what can wait every ten minutes, until ctx is done.
func (p *Publisher) Start(ctx context.Context) error {
	log := logf.FromContext(ctx).WithName("publisher")
	ticker := time.NewTicker(laterInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		if err := p.writeLater(ctx); err != nil && ctx.Err() == nil {
			log.Error(err, "The receiver does not learn of the newest digests; trying again")
		}
	}
}

// writeLater writes what waits.
func (p *Publisher) writeLater(ctx context.Context) error {
	p.writing.Lock()
	defer p.writing.Unlock()
	if err := p.load(ctx); err != nil {
		return err
	}
	p.mu.Lock()
	batch := p.takeLater()
	p.mu.Unlock()
	if len(batch) == 0 {
		return nil
	}
	return p.commit(ctx, batch)
}

// takeLater returns what waits, of trails that are still there. It is called
// with mu and writing held.
func (p *Publisher) takeLater() (batch []*change) {
	for uid, c := range p.later {
		if _, ok := p.rendered(uid); ok {
			batch = append(batch, c)
		}
	}
	clear(p.later)
	return batch
}
