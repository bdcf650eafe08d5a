package trail

import (
	"context"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/types"

	"github.com/trail-operator/trail-operator/internal/receiverstatus"
)

// sweepInterval is how often trails are looked for that are rendered but gone.
const sweepInterval = time.Minute

// sweeper ends trails whose object went without us: somebody has taken the
// finalizer off by hand. The receiver would record for them for ever.
type sweeper struct {
	last  time.Time
	since map[string]time.Time // when each was first missed; it is ended at the second look
}

func (w *sweeper) sweep(ctx context.Context, log logr.Logger, p *Poller, s *receiverstatus.Status) {
	now := p.Clock.Now()
	if now.Sub(w.last) < sweepInterval {
		return
	}
	w.last = now
	uids, err := p.Installation.Publisher.UIDs(ctx)
	if err != nil {
		log.Error(err, "Cannot look for trails that are gone")
		return
	}
	missing := map[string]time.Time{}
	for _, uid := range uids {
		if _, alive := p.views[types.UID(uid)]; alive {
			continue
		}
		first, ok := w.since[uid]
		if !ok { // it may have been rendered after the trails were listed
			missing[uid] = now
			continue
		}
		missing[uid] = first
		if err := end(ctx, p, s, uid, now.Sub(first)); err != nil {
			log.Error(err, "Cannot end a trail that is gone", "uid", uid)
		}
	}
	w.since = missing
}

// end stops a trail that is gone and removes it once it is flushed.
func end(ctx context.Context, p *Poller, s *receiverstatus.Status, uid string, gone time.Duration) error {
	t, ok, err := p.Installation.Publisher.Trail(ctx, uid)
	if err != nil {
		return err
	}
	if !ok || gone > flushTimeout {
		if ok {
			p.Abandoned.Inc()
		}
		return p.Installation.Publisher.Remove(ctx, uid)
	}
	if !t.Deleting {
		t.Suspended, t.Deleting = true, true
		t.Generation++
		return p.Installation.Publisher.Put(ctx, t)
	}
	if s == nil {
		return nil
	}
	for i := range s.Trails {
		if e := &s.Trails[i]; e.UID == uid && e.Generation >= t.Generation && e.Flushed {
			return p.Installation.Publisher.Remove(ctx, uid)
		}
	}
	return nil
}
