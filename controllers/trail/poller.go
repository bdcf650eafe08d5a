package trail

import (
	"context"
	"reflect"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/event"
	logf "sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/trail-operator/trail-operator/api/v1alpha1"
	"github.com/trail-operator/trail-operator/internal/receiverstatus"
	"github.com/trail-operator/trail-operator/internal/record"
)

// poller reads the receiver's status for all trails at once and wakes those
// whose conditions it changes.
type poller struct {
	*Reconciler
	changed chan event.GenericEvent
	last    atomic.Pointer[receiverstatus.Status] // nil: the receiver does not answer
	views   map[types.UID]view
	sweeper sweeper
	// What was logged last, so that each is logged once.
	refused, expired string
}

func newPoller(r *Reconciler) *poller {
	return &poller{Reconciler: r, changed: make(chan event.GenericEvent, 64)}
}

// status is the receiver's last answer, nil when it does not answer.
func (p *poller) status() *receiverstatus.Status { return p.last.Load() }

// NeedLeaderElection says that only the leader reconciles.
func (p *poller) NeedLeaderElection() bool { return true }

// Start polls until ctx is done.
func (p *poller) Start(ctx context.Context) error {
	log := logf.FromContext(ctx).WithName("receiver")
	ticker := time.NewTicker(p.PollReceiver)
	defer ticker.Stop()
	for {
		p.poll(ctx, log)
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// view is what of the receiver's status decides the conditions of one trail.
type view struct {
	Reachable, Full, Posted bool
	Refused                 bool
	Known                   bool
	Generation              int64
	Start                   uint64
	Flushed, Delivered      bool
	Digested, Skewed        bool
	Delivery, Digest        string
	Head                    record.Head
}

func viewOf(s *receiverstatus.Status, t *receiverstatus.Trail) view {
	if s == nil {
		return view{}
	}
	v := view{
		Reachable: true, Full: s.Spool.Full, Refused: s.ConfigError != "",
		Posted: s.Intake.Received > 0 || len(s.Intake.Sources) > 0,
	}
	if t == nil {
		return v
	}
	v.Known, v.Generation, v.Start, v.Flushed = true, t.Generation, t.StartPosition, t.Flushed
	v.Delivered, v.Digested, v.Skewed = t.LastDelivery != nil, t.LastDigest != nil, t.ClockSkewSeconds != 0
	if t.DeliveryError != nil {
		v.Delivery = t.DeliveryError.Reason + "/" + t.DeliveryError.Code
	}
	if t.DigestError != nil {
		v.Digest = t.DigestError.Reason + "/" + t.DigestError.Code
	}
	if t.Head != nil {
		v.Head = *t.Head
	}
	return v
}

func (p *poller) poll(ctx context.Context, log logr.Logger) {
	s, err := p.Receiver.Status(ctx)
	switch was := p.last.Load(); {
	case ctx.Err() != nil:
		return
	case err != nil && (was != nil || p.views == nil):
		log.Error(err, "The receiver's status API does not answer")
	case err == nil && was == nil:
		log.Info("The receiver's status API answers", "generation", s.Generation)
	}
	if err != nil {
		s = nil
	}
	p.last.Store(s)
	p.report(log, s)
	var trails v1alpha1.TrailList
	if err := p.Client.List(ctx, &trails); err != nil {
		log.Error(err, "Cannot list trails")
		return
	}
	p.wake(ctx, s, trails.Items)
	p.sweeper.sweep(ctx, log, p.Reconciler, s, trails.Items)
}

// report logs what concerns the installer, each time it changes.
func (p *poller) report(log logr.Logger, s *receiverstatus.Status) {
	expired := p.Installation.Expired(p.Clock.Now())
	if expired != p.expired && expired != "" {
		log.Info(expired)
	}
	p.expired = expired
	if s == nil || s.ConfigError == p.refused {
		return
	}
	p.refused = s.ConfigError
	if p.refused == "" {
		log.Info("The receiver loads its configuration again", "generation", s.Generation)
		return
	}
	log.Info("The receiver cannot load its configuration and goes on with the one before", "cause", p.refused, "generation", s.Generation)
}

// wake enqueues the trails that are seen differently than at the last poll.
func (p *poller) wake(ctx context.Context, s *receiverstatus.Status, trails []v1alpha1.Trail) {
	entries := map[types.UID]*receiverstatus.Trail{}
	if s != nil {
		for i := range s.Trails {
			entries[types.UID(s.Trails[i].UID)] = &s.Trails[i]
		}
	}
	views := make(map[types.UID]view, len(trails))
	for i := range trails {
		t := &trails[i]
		v := viewOf(s, entries[t.UID])
		views[t.UID] = v
		if old, ok := p.views[t.UID]; ok && reflect.DeepEqual(old, v) {
			continue
		}
		select {
		case p.changed <- event.GenericEvent{Object: t}:
		case <-ctx.Done():
			return
		}
	}
	p.views = views
}
