package trail

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	logf "sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/trail-operator/trail-operator/api/v1alpha1"
	"github.com/trail-operator/trail-operator/controllers/installation"
	"github.com/trail-operator/trail-operator/internal/auditpolicy"
	"github.com/trail-operator/trail-operator/internal/lossaccount"
	"github.com/trail-operator/trail-operator/internal/receiverstatus"
	"github.com/trail-operator/trail-operator/internal/record"
)

// Poller reads the receiver's status for the trails of all kinds at once and
// wakes those whose conditions it changes.
type Poller struct {
	Client       client.Reader
	Receiver     Receiver
	Installation *installation.Installation
	// DenyHosts are the API server's addresses, which no endpoint may be; nil for
	// none.
	DenyHosts func() []string
	Clock     clock.PassiveClock
	// Interval is how often the receiver's status is read.
	Interval time.Duration
	// Abandoned counts trails that were given up with records undelivered.
	Abandoned prometheus.Counter
	// Report is told what the receiver answers; nil for nobody.
	Report *Report
	// ProbeLag is how long what a probe called may take to arrive.
	ProbeLag time.Duration
	// Losses are those before the receiver; nil for nobody who knows.
	Losses func() *lossaccount.View

	kinds   []subscription
	last    atomic.Pointer[receiverstatus.Status] // nil: the receiver does not answer
	asked   atomic.Bool                           // once
	views   map[types.UID]view
	sweeper sweeper
	// around is what concerns all trails and is not of the receiver.
	around string
	// What was logged last, so that each is logged once.
	refused, expired string
}

// subscription is a kind whose trails are woken through changed.
type subscription struct {
	kind    Kind
	changed chan event.GenericEvent
}

// subscribe is called before Start.
func (p *Poller) subscribe(kind Kind) <-chan event.GenericEvent {
	s := subscription{kind, make(chan event.GenericEvent, 64)}
	p.kinds = append(p.kinds, s)
	return s.changed
}

// status is the receiver's last answer, nil when it does not answer.
func (p *Poller) status() *receiverstatus.Status { return p.last.Load() }

// starting reports whether the receiver has not been asked yet: whether it
// answers is not known, and nobody should be told that it does not.
func (p *Poller) starting() bool { return len(p.kinds) > 0 && !p.asked.Load() }

// gaps are the calls that API servers do not send, by what the receiver says.
func (p *Poller) gaps(now time.Time) []auditpolicy.Gap {
	s := p.status()
	if s == nil {
		return nil
	}
	return auditpolicy.Gaps(s.Intake.Sources, p.ProbeLag, now)
}

// losses are those before the receiver, as far as they are known.
func (p *Poller) losses() *lossaccount.View {
	if p.Losses == nil {
		return nil
	}
	return p.Losses()
}

// denied are the addresses that no endpoint may be.
func (p *Poller) denied() []string {
	if p.DenyHosts == nil {
		return nil
	}
	return p.DenyHosts()
}

// NeedLeaderElection says that only the leader reconciles.
func (p *Poller) NeedLeaderElection() bool { return true }

// Start polls until ctx is done.
func (p *Poller) Start(ctx context.Context) error {
	log := logf.FromContext(ctx).WithName("receiver")
	ticker := time.NewTicker(p.Interval)
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

// view is what of the receiver's status, and of what is around, decides the
// conditions of one trail.
type view struct {
	Around                  string
	Reachable, Full, Posted bool
	Refused                 bool
	Known                   bool
	Generation              int64
	Start                   uint64
	Selection               string
	Flushed, Delivered      bool
	Digested, Skewed        bool
	Delivery, Digest        string
	Damaged, Lost           int64
	Head                    record.Head
}

func viewOf(s *receiverstatus.Status, t *receiverstatus.Trail) view {
	if s == nil {
		return view{}
	}
	v := view{
		Reachable: true, Full: s.Spool.Full, Refused: s.ConfigError != "",
		Posted:  s.Intake.Received > 0 || len(s.Intake.Sources) > 0,
		Damaged: s.Spool.Damaged,
	}
	if t == nil {
		return v
	}
	v.Known, v.Generation, v.Start, v.Flushed = true, t.Generation, t.StartPosition, t.Flushed
	v.Selection, v.Lost = t.SelectionSHA256, t.Counts.Expired+t.Counts.Quarantined
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

func (p *Poller) poll(ctx context.Context, log logr.Logger) {
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
	p.asked.Store(true)
	p.report(log, s)
	now := p.Clock.Now()
	p.around = strings.Join(append(slices.Clone(p.denied()), p.expired, p.Installation.Certificates().Expiring(now), fmt.Sprint(p.gaps(now)), p.losses().Digest()), "\n")
	p.Report.publish(ctx, log, s, err)
	views := map[types.UID]view{}
	for _, sub := range p.kinds {
		trails, err := sub.kind.List(ctx, p.Client)
		if err != nil {
			log.Error(err, "Cannot list trails", "kind", sub.kind.Name())
			return // or all of the kind would look as if they were gone
		}
		p.wake(ctx, s, sub, trails, views)
	}
	p.views = views
	p.sweeper.sweep(ctx, log, p, s)
}

// report logs what concerns the installer, each time it changes.
func (p *Poller) report(log logr.Logger, s *receiverstatus.Status) {
	expired := p.Installation.Certificates().Expired(p.Clock.Now())
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

// wake enqueues the trails that are seen differently than at the last poll, and
// notes how they are seen now.
func (p *Poller) wake(ctx context.Context, s *receiverstatus.Status, sub subscription, trails []*v1alpha1.Trail, views map[types.UID]view) {
	entries := map[types.UID]*receiverstatus.Trail{}
	if s != nil {
		for i := range s.Trails {
			entries[types.UID(s.Trails[i].UID)] = &s.Trails[i]
		}
	}
	for _, t := range trails {
		v := viewOf(s, entries[t.UID])
		v.Around = p.around
		views[t.UID] = v
		if old, ok := p.views[t.UID]; ok && reflect.DeepEqual(old, v) {
			continue
		}
		select {
		case sub.changed <- event.GenericEvent{Object: sub.kind.Object(t)}:
		case <-ctx.Done():
			return
		}
	}
}
