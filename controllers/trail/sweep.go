package trail

import (
	"context"
	"time"

	"github.com/go-logr/logr"

	"github.com/trail-operator/trail-operator/api/v1alpha1"
	"github.com/trail-operator/trail-operator/internal/receiverstatus"
)

// sweepInterval is how often trails are looked for that are rendered but gone.
const sweepInterval = time.Minute

// sweeper ends trails whose object went without us: somebody has taken the
// finalizer off by hand. The receiver would record for them for ever.
type sweeper struct {
	last  time.Time
	since map[string]time.Time // when each was first missed
}

func (w *sweeper) sweep(ctx context.Context, log logr.Logger, r *Reconciler, s *receiverstatus.Status, trails []v1alpha1.Trail) {
	now := r.Clock.Now()
	if now.Sub(w.last) < sweepInterval {
		return
	}
	w.last = now
	uids, err := r.Installation.Publisher.UIDs(ctx)
	if err != nil {
		log.Error(err, "Cannot look for trails that are gone")
		return
	}
	alive := map[string]bool{}
	for i := range trails {
		alive[string(trails[i].UID)] = true
	}
	missing := map[string]time.Time{}
	for _, uid := range uids {
		if alive[uid] {
			continue
		}
		first, ok := w.since[uid]
		if !ok {
			first = now
		}
		missing[uid] = first
		if err := end(ctx, r, s, uid, now.Sub(first)); err != nil {
			log.Error(err, "Cannot end a trail that is gone", "uid", uid)
		}
	}
	w.since = missing
}

// end stops a trail that is gone and removes it once it is flushed.
func end(ctx context.Context, r *Reconciler, s *receiverstatus.Status, uid string, gone time.Duration) error {
	t, ok, err := r.Installation.Publisher.Trail(ctx, uid)
	if err != nil {
		return err
	}
	if !ok || gone > flushTimeout {
		if ok {
			r.abandoned.Inc()
		}
		return r.Installation.Publisher.Remove(ctx, uid)
	}
	if !t.Deleting {
		t.Suspended, t.Deleting = true, true
		t.Generation++
		return r.Installation.Publisher.Put(ctx, t)
	}
	if s == nil {
		return nil
	}
	for i := range s.Trails {
		if e := &s.Trails[i]; e.UID == uid && e.Generation >= t.Generation && e.Flushed {
			return r.Installation.Publisher.Remove(ctx, uid)
		}
	}
	return nil
}
