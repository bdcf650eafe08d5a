// Package validation has trails validated on their schedules: it starts a Job
// for each that is due, a few at a time, and reads what it answers. No byte of
// a bucket passes here.
package validation

import (
	"context"
	"time"

	"github.com/go-logr/logr"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	logf "sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/trail-operator/trail-operator/api/v1alpha1"
	"github.com/trail-operator/trail-operator/controllers/installation"
	"github.com/trail-operator/trail-operator/controllers/trail"
	"github.com/trail-operator/trail-operator/internal/managerconfig"
	"github.com/trail-operator/trail-operator/internal/manifests"
	"github.com/trail-operator/trail-operator/internal/receiverconfig"
	"github.com/trail-operator/trail-operator/internal/record"
)

// Creating cannot be limited by name, and a pod's name is not known before. The
// Secrets of Jobs go with these: the manager cannot delete any.
//
// +kubebuilder:rbac:groups=batch,namespace=trail-operator-system,resources=jobs,verbs=get;list;watch;create;delete
// +kubebuilder:rbac:groups="",namespace=trail-operator-system,resources=pods,verbs=get;list;watch
// +kubebuilder:rbac:groups="",namespace=trail-operator-system,resources=serviceaccounts,verbs=create
// +kubebuilder:rbac:groups="",namespace=trail-operator-system,resources=serviceaccounts,resourceNames=trail-validation;trail-validation-ambient,verbs=patch
// +kubebuilder:rbac:groups=networking.k8s.io,namespace=trail-operator-system,resources=networkpolicies,verbs=create
// +kubebuilder:rbac:groups=networking.k8s.io,namespace=trail-operator-system,resources=networkpolicies,resourceNames=trail-validation,verbs=patch;delete

const (
	// interval is how often it is looked what is due, and what has ended.
	interval = 5 * time.Second
	// applyInterval is how often the objects are applied that all Jobs share.
	applyInterval = 10 * time.Minute
	// unseen is how long a Job that was just made may be missing in the cache.
	unseen = time.Minute
)

// Recorder takes events of our own; see trail.Receiver.
type Recorder interface {
	Record(ctx context.Context, events ...record.OwnEvent) error
}

// Rendered knows trails as the receiver has them; it is the Publisher.
type Rendered interface {
	Trail(ctx context.Context, uid string) (receiverconfig.Trail, bool, error)
}

// Scheduler validates trails while the manager leads. It works in one
// goroutine.
type Scheduler struct {
	// Client caches what Cache lists, and must not cache Secrets.
	Client client.Client
	// Direct caches nothing.
	Direct       client.Reader
	Config       *managerconfig.Config
	Installation *installation.Installation
	Rendered     Rendered
	Receiver     Recorder
	Kinds        []trail.Kind
	Clock        clock.PassiveClock
	Metrics      *Metrics
	// Interval is for tests; 0 means 5 seconds.
	Interval time.Duration

	applied time.Time
	// started are Jobs that the cache may not show yet, ended the starts of
	// validations whose end the cached status may not show yet, by trail.
	started map[types.UID]time.Time
	ended   map[types.UID]time.Time
	// tried is when one was last made, or could not be, by trail.
	tried map[types.UID]time.Time
	// handled are finished Jobs that nothing is left to do about but to remove them.
	handled map[types.UID]bool
}

// Cache limits the cache of Jobs and pods to those that validate.
func Cache(namespace string) map[client.Object]cache.ByObject {
	ours := cache.ByObject{Namespaces: map[string]cache.Config{
		namespace: {LabelSelector: labels.SelectorFromSet(manifests.ValidationLabels())},
	}}
	return map[client.Object]cache.ByObject{&batchv1.Job{}: ours, &corev1.Pod{}: ours}
}

// NeedLeaderElection says that only the leader validates.
func (s *Scheduler) NeedLeaderElection() bool { return true }

// Start works until ctx is done.
func (s *Scheduler) Start(ctx context.Context) error {
	log := logf.FromContext(ctx).WithName("validation")
	if s.Interval == 0 {
		s.Interval = interval
	}
	ticker := time.NewTicker(s.Interval)
	defer ticker.Stop()
	for {
		if err := s.tick(ctx, log); err != nil && ctx.Err() == nil {
			log.Error(err, "Cannot validate trails; trying again")
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// candidate is a trail with what is known of it.
type candidate struct {
	*v1alpha1.Trail
	kind trail.Kind
}

// tick looks at all trails and Jobs once.
func (s *Scheduler) tick(ctx context.Context, log logr.Logger) error {
	if s.started == nil {
		s.tried = map[types.UID]time.Time{}
		s.started, s.ended, s.handled = map[types.UID]time.Time{}, map[types.UID]time.Time{}, map[types.UID]bool{}
	}
	now := s.Clock.Now().UTC()
	trails := map[types.UID]candidate{}
	for _, kind := range s.Kinds {
		all, err := kind.List(ctx, s.Client)
		if err != nil {
			return err
		}
		for _, t := range all {
			trails[t.UID] = candidate{t, kind}
		}
	}
	s.forget(trails, now)
	running, err := s.look(ctx, log, trails, now)
	if err != nil {
		return err
	}
	waiting := s.due(trails, running, now)
	left := s.start(ctx, log, waiting, running, now)
	s.Metrics.observe(trails, len(running), left)
	return nil
}

// forget drops what is remembered of trails that are gone, and of Jobs that the
// cache must show by now.
func (s *Scheduler) forget(trails map[types.UID]candidate, now time.Time) {
	for uid, at := range s.started {
		if now.Sub(at) > unseen {
			delete(s.started, uid)
		}
	}
	for uid := range s.ended {
		if _, there := trails[uid]; !there {
			delete(s.ended, uid)
		}
	}
	for uid, at := range s.tried {
		if now.Sub(at) >= leastByHand || now.Before(at) {
			delete(s.tried, uid)
		}
	}
}

// look goes through the Jobs. It returns the trails of those that run.
func (s *Scheduler) look(ctx context.Context, log logr.Logger, trails map[types.UID]candidate, now time.Time) (map[types.UID]candidate, error) {
	var jobs batchv1.JobList
	var pods corev1.PodList
	for _, list := range []client.ObjectList{&jobs, &pods} {
		if err := s.Client.List(ctx, list, client.InNamespace(s.Config.Namespace), client.MatchingLabels(manifests.ValidationLabels())); err != nil {
			return nil, err
		}
	}
	running, handled := map[types.UID]candidate{}, map[types.UID]bool{}
	for uid := range s.started {
		if t, there := trails[uid]; there {
			running[uid] = t
		}
	}
	for i := range jobs.Items {
		job := &jobs.Items[i]
		uid, run, err := manifests.ParseValidationRun(job)
		t, there := trails[uid]
		switch {
		case err != nil || !there || !wanted(t.Trail) || run.Settings != settings(t.Trail):
			s.remove(ctx, log, job)
			delete(running, uid)
			continue
		case s.handled[job.UID]:
			handled[job.UID] = true
			continue
		}
		delete(s.started, uid)
		pod := podOf(job, pods.Items)
		if _, _, finished := finish(job); finished && terminated(pod) == nil {
			// The cache of Jobs may be ahead of that of pods, which is another watch.
			var fresh corev1.PodList
			if err := s.Direct.List(ctx, &fresh, client.InNamespace(s.Config.Namespace), client.MatchingLabels{manifests.ValidationTrailLabel: string(uid)}); err != nil {
				return nil, err
			}
			pod = podOf(job, fresh.Items)
		}
		end, over := outcomeOf(job, run, pod, now)
		if !over {
			running[uid] = t
			continue
		}
		delete(running, uid)
		if err := s.settle(ctx, log, t, run, end); err != nil {
			log.Info("The result of a validation cannot be stored or recorded yet", "trail", t.CloudTrailName(), "cause", err.Error())
			running[uid] = t // nothing else begins before
			continue
		}
		handled[job.UID] = true
		if end.keep {
			continue // its pod's log is of use until the next one
		}
		s.remove(ctx, log, job)
	}
	s.handled = handled
	return running, nil
}

// remove deletes a Job with its pod and its Secret.
func (s *Scheduler) remove(ctx context.Context, log logr.Logger, job *batchv1.Job) {
	if !job.DeletionTimestamp.IsZero() {
		return
	}
	err := s.Client.Delete(ctx, job, client.PropagationPolicy("Background"), client.Preconditions{UID: &job.UID})
	if client.IgnoreNotFound(err) != nil {
		log.Error(err, "Cannot delete a Job", "job", job.Name)
	}
}

func podOf(job *batchv1.Job, pods []corev1.Pod) *corev1.Pod {
	for i := range pods {
		for _, o := range pods[i].OwnerReferences {
			if o.UID == job.UID {
				return &pods[i]
			}
		}
	}
	return nil
}
