package trail

import (
	"cmp"
	"context"
	"errors"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	logf "sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/trail-operator/trail-operator/api/v1alpha1"
	"github.com/trail-operator/trail-operator/internal/bucket"
	"github.com/trail-operator/trail-operator/internal/manifests"
	"github.com/trail-operator/trail-operator/internal/receiverconfig"
	"github.com/trail-operator/trail-operator/internal/record"
	"github.com/trail-operator/trail-operator/internal/status"
)

// statusInterval is the least time between two writes of numbers and times.
const statusInterval = time.Minute

// scope is one reconciliation of one trail.
type scope struct {
	*Reconciler
	trail  *v1alpha1.Trail
	before *v1alpha1.Trail
	seen   status.Observation

	// rendered is the trail as the receiver's configuration had it before;
	// nil when it was not there.
	rendered    *receiverconfig.Trail
	credentials *manifests.Credentials
	// destination is what of the spec's is put in force, see settle.
	destination v1alpha1.Destination
	shortening  *bucket.Shortening // nil when nothing becomes shorter
	// lifecycle are the rules in the bucket for the trail's objects.
	lifecycle []record.LifecycleRule
	// selection is what selectEvents found.
	selection v1alpha1.EventSelection
	// retry is when a problem is worth another look; 0 means retrySoon.
	retry time.Duration
}

func (r *Reconciler) newScope(t *v1alpha1.Trail) *scope {
	now := r.Clock.Now()
	return &scope{
		Reconciler: r, trail: t, before: t.DeepCopy(), destination: *t.Spec.Destination.DeepCopy(),
		seen: status.Observation{
			Trail: t, Now: now,
			ARN:      record.TrailARN(r.Installation.Region, r.Installation.Account, t.CloudTrailName()),
			Receiver: r.Poller.status(),
			Expired:  r.Installation.Certificates().Expired(now),
			Expiring: r.Installation.Certificates().Expiring(now),
			Gaps:     r.Poller.gaps(now),
			Loss:     r.Poller.losses(),
		},
	}
}

// errReceiver: the receiver must take an event before the trail can go on.
var errReceiver = errors.New("waiting for the receiver")

// outcome turns what ended the steps into a result: a Problem is the user's
// and stands in the conditions, as does a receiver that is away; anything else
// is ours and is tried again soon.
func (s *scope) outcome(ctx context.Context, err error) (ctrl.Result, error) {
	var p *status.Problem
	switch {
	case errors.As(err, &p):
		s.seen.Problem = p
		return ctrl.Result{RequeueAfter: jitter(cmp.Or(s.retry, retrySoon))}, nil
	case errors.Is(err, errReceiver):
		logf.FromContext(ctx).Info(err.Error())
		return ctrl.Result{RequeueAfter: jitter(retrySoon)}, nil
	}
	return ctrl.Result{}, err
}

// writes remembers when the status of each trail was last written.
type writes struct {
	mu sync.Mutex
	at map[types.UID]time.Time
}

func (w *writes) since(uid types.UID, now time.Time) time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	return now.Sub(w.at[uid])
}

func (w *writes) note(uid types.UID, now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.at == nil {
		w.at = map[types.UID]time.Time{}
	}
	w.at[uid] = now
}

func (w *writes) forget(uid types.UID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.at, uid)
}

// writeStatus computes the status and writes it if that is due. It returns
// after how long a write that was put off becomes due.
func (s *scope) writeStatus(ctx context.Context) (time.Duration, error) {
	s.trail.Status = status.Of(s.seen)
	if equality.Semantic.DeepEqual(s.before.Status, s.trail.Status) {
		return 0, nil
	}
	if !status.Urgent(s.before.Status, s.trail.Status) {
		if wait := statusInterval - s.writes.since(s.trail.UID, s.seen.Now); wait > 0 {
			return wait, nil
		}
	}
	base := s.trail.DeepCopy() // of the metadata as it is now
	base.Status = s.before.Status
	if err := s.Client.Status().Patch(ctx, s.Kind.Object(s.trail), client.MergeFrom(s.Kind.Object(base))); err != nil {
		return 0, client.IgnoreNotFound(err)
	}
	s.writes.note(s.trail.UID, s.seen.Now)
	s.tell()
	s.tellLoss()
	s.tellValidated()
	return 0, nil
}

// tell sends an Event when Ready has changed.
func (s *scope) tell() {
	old := meta.FindStatusCondition(s.before.Status.Conditions, v1alpha1.ConditionReady)
	now := meta.FindStatusCondition(s.trail.Status.Conditions, v1alpha1.ConditionReady)
	if now == nil || old != nil && old.Status == now.Status && old.Reason == now.Reason {
		return
	}
	kind := corev1.EventTypeNormal
	if s.seen.Problem != nil || now.Status == metav1.ConditionFalse && old != nil && old.Status == metav1.ConditionTrue && !s.trail.Spec.Suspend {
		kind = corev1.EventTypeWarning
	}
	s.event(kind, now.Reason, "Reconcile", now.Message)
}

func (s *scope) event(kind, reason, action, note string) {
	s.Events.Eventf(s.Kind.Object(s.trail), nil, kind, reason, action, "%s", v1alpha1.Cut(note, v1alpha1.MaxNote))
}
