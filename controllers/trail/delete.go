package trail

import (
	"context"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	logf "sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/trail-operator/trail-operator/api/v1alpha1"
	"github.com/trail-operator/trail-operator/internal/receiverconfig"
)

// retryDelete is how often a trail that is being flushed is looked at; the
// poller wakes it earlier when the receiver has news.
const retryDelete = 10 * time.Second

// delete lets the receiver deliver what it has, with the credentials that are
// rendered: the Secret may be gone already, together with its namespace. After
// flushTimeout the trail goes in any case. It counts from when this manager
// first saw the deletion, which may be long after it: the receiver has not
// been told before. Nothing is ever deleted in a bucket.
func (s *scope) delete(ctx context.Context) (ctrl.Result, error) {
	if !controllerutil.ContainsFinalizer(s.trail, v1alpha1.Finalizer) {
		return ctrl.Result{}, nil
	}
	rendered, ok, err := s.Installation.Publisher.Trail(ctx, string(s.trail.UID))
	if err != nil {
		return ctrl.Result{}, err
	}
	if !ok { // it never recorded, or everything below is done, or all but the list of files
		return ctrl.Result{}, s.remove(ctx)
	}
	waited := s.deletions.since(s.trail.UID, s.seen.Now)
	if !rendered.Deleting || rendered.Generation != s.trail.Generation {
		err := s.stop(ctx, rendered)
		switch {
		case err != nil && waited > flushTimeout:
			return ctrl.Result{}, s.abandon(ctx)
		case err != nil:
			logf.FromContext(ctx).Info("The deleted trail cannot be stopped yet", "cause", err.Error())
		}
		return s.waitForFlush(ctx)
	}
	s.seen.Rendered = true
	switch {
	case s.seen.Flushed():
		s.event(corev1.EventTypeNormal, v1alpha1.ReasonFlushed, "Delete", "Everything that was recorded is delivered.")
		return ctrl.Result{}, s.remove(ctx)
	case waited > flushTimeout:
		return ctrl.Result{}, s.abandon(ctx)
	}
	return s.waitForFlush(ctx)
}

// abandon lets a trail go that cannot deliver what is left.
func (s *scope) abandon(ctx context.Context) error {
	s.Poller.Abandoned.Inc()
	s.event(corev1.EventTypeWarning, v1alpha1.ReasonAbandoned, "Delete",
		"The trail goes with records undelivered. The receiver keeps them for 30 days.")
	return s.remove(ctx)
}

func (s *scope) waitForFlush(ctx context.Context) (ctrl.Result, error) {
	if _, err := s.writeStatus(ctx); err != nil {
		return ctrl.Result{}, err
	}
	return ctrl.Result{RequeueAfter: retryDelete}, nil
}

// stop records the end in the trail and tells the receiver to deliver the rest.
// One that was told so only learns of the newer generation.
func (s *scope) stop(ctx context.Context, rendered receiverconfig.Trail) error {
	if !rendered.Deleting {
		if err := s.announceDelete(ctx); err != nil {
			return err
		}
	}
	rendered.Suspended, rendered.Deleting = true, true
	rendered.Destination.Ambient = rendered.Destination.Ambient && s.mayBeAmbient()
	rendered.Generation = s.trail.Generation
	return s.Installation.Publisher.Put(ctx, rendered)
}

// remove takes the trail out of the receiver's configuration and lets it go. As
// long as receiver.json lists its file, the receiver loads nothing.
func (s *scope) remove(ctx context.Context) error {
	if err := s.Installation.Publisher.Remove(ctx, string(s.trail.UID)); err != nil {
		return err
	}
	return s.release(ctx)
}

func (s *scope) release(ctx context.Context) error {
	controllerutil.RemoveFinalizer(s.trail, v1alpha1.Finalizer)
	if err := s.patch(ctx, s.trail, s.before); err != nil {
		return err
	}
	s.buckets.forget(s.trail.UID)
	s.writes.forget(s.trail.UID)
	s.deletions.forget(s.trail.UID)
	return nil
}

// deletions remembers when each deletion was first seen.
type deletions struct {
	mu    sync.Mutex
	first map[types.UID]time.Time
}

// since returns how long ago that was, 0 for the first time.
func (d *deletions) since(uid types.UID, now time.Time) time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	first, ok := d.first[uid]
	if !ok {
		if d.first == nil {
			d.first = map[types.UID]time.Time{}
		}
		d.first[uid], first = now, now
	}
	return now.Sub(first)
}

func (d *deletions) forget(uid types.UID) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.first, uid)
}
