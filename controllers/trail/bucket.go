package trail

import (
	"context"
	"crypto/sha256"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/trail-operator/trail-operator/api/v1alpha1"
	"github.com/trail-operator/trail-operator/internal/bucket"
	"github.com/trail-operator/trail-operator/internal/manifests"
	"github.com/trail-operator/trail-operator/internal/objectstore"
	"github.com/trail-operator/trail-operator/internal/receiverconfig"
	"github.com/trail-operator/trail-operator/internal/record"
	"github.com/trail-operator/trail-operator/internal/status"
)

const (
	// bucketTimeout bounds all calls of one check.
	bucketTimeout = 30 * time.Second
	// recheck is how often a bucket that answered is checked again.
	recheck = 10 * time.Minute
)

// bucketCheck is the outcome of the last check of a trail's bucket. It saves
// asking again at each reconciliation, and slows down where it fails.
type bucketCheck struct {
	of       [sha256.Size]byte // what was checked
	problem  *status.Problem
	at       time.Time
	failures int

	// What was found when there was no problem; else that of the check before.
	status    *v1alpha1.BucketStatus
	lifecycle []record.LifecycleRule
	// found is what was in force when the status did not say it, see recall.
	found *v1alpha1.BucketStatus
}

// due is how long the outcome is good for.
func (c *bucketCheck) due() time.Duration {
	if c.problem == nil {
		return recheck
	}
	return min(retrySoon<<min(c.failures, 10), recheck)
}

type bucketChecks struct {
	mu sync.Mutex
	m  map[types.UID]bucketCheck
}

func (b *bucketChecks) get(uid types.UID) bucketCheck {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.m[uid]
}

func (b *bucketChecks) set(uid types.UID, c bucketCheck) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.m == nil {
		b.m = map[types.UID]bucketCheck{}
	}
	b.m[uid] = c
}

func (b *bucketChecks) forget(uid types.UID) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.m, uid)
}

// checkBucket makes sure that the bucket exists and is as the spec asks, that
// the prefix belongs to this trail and that the public keys stand beside it.
func (s *scope) checkBucket(ctx context.Context) error {
	if s.rendered != nil {
		s.lifecycle = s.rendered.Lifecycle // as long as nothing else is known
	}
	if s.credentials == nil {
		return nil // readCredentials has said why
	}
	config, of := s.bucketConfig()
	last := s.buckets.get(s.trail.UID)
	now := s.Clock.Now()
	if last.at.IsZero() || last.of != of || now.Sub(last.at) >= last.due() {
		next := bucketCheck{at: now, status: last.status, lifecycle: last.lifecycle}
		if last.problem != nil && last.of == of {
			next.failures = last.failures + 1
		}
		v := &visit{scope: s, config: config, was: s.known()}
		v.desired = bucket.Want(s.destination, s.owner(), v.was)
		if next.problem = v.run(ctx); next.problem == nil {
			next.status, next.lifecycle = bucket.Status(s.destination, v.was, v.outcome), v.outcome.InForce
		}
		next.found = v.was
		_, next.of = s.bucketConfig() // it may have found what must not be shortened
		last = next
		s.buckets.set(s.trail.UID, last)
	}
	if last.status != nil { // this manager has seen it
		s.lifecycle = last.lifecycle
	}
	if last.problem != nil {
		s.retry = last.due() - now.Sub(last.at)
		return s.proceed(last.problem)
	}
	s.seen.Claimed, s.seen.Bucket = true, last.status
	s.refuseShortening()
	return nil
}

// bucketConfig is how the bucket is reached, and a sum of all that a check of it
// depends on.
func (s *scope) bucketConfig() (receiverconfig.Destination, [sha256.Size]byte) {
	d := manifests.Trail(s.settled(), s.Installation.Installation, *s.credentials, s.reach()).Destination
	return d, sha256.Sum256(slices.Concat(record.MustJSON(d), record.MustJSON(s.destination), []byte(s.deliveryError())))
}

// deliveryError is the receiver's present failure: a new one is reason enough
// to look at the bucket again.
func (s *scope) deliveryError() string {
	if d := s.before.Status.LatestDelivery; d != nil {
		return d.Error
	}
	return ""
}

func (s *scope) layout() record.Layout {
	return manifests.Layout(s.trail, s.Installation.Installation)
}

func (s *scope) owner() bucket.Trail {
	return bucket.Trail{Installation: s.Installation.UID, ARN: s.seen.ARN, Layout: s.layout()}
}

// visit is one check of one bucket.
type visit struct {
	*scope
	config  receiverconfig.Destination
	was     *v1alpha1.BucketStatus // what was in force; nil: nothing
	desired bucket.Desired
	store   objectstore.Managed
	outcome bucket.Outcome
	claimed bool // the prefix is ours
}

func (v *visit) run(ctx context.Context) *status.Problem {
	ctx, cancel := context.WithTimeout(ctx, bucketTimeout)
	defer cancel()
	for _, step := range []func(context.Context) error{
		v.open,
		v.exist,
		v.findOwner, // nothing is set for a prefix that is another's
		v.recall,
		v.protect,
		v.claimPrefix,
		v.configure,
		v.publishKeys,
		v.prove,
	} {
		var p *status.Problem
		switch err := step(ctx); {
		case err == nil:
		case errors.As(err, &p):
			return p
		default:
			return status.StoreProblem(v.trail, err)
		}
	}
	v.tellRepair()
	return nil
}

func (v *visit) open(context.Context) (err error) {
	d := v.config
	v.store, err = v.Open(objectstore.Config{
		Endpoint: d.Endpoint, Region: d.Region, Bucket: d.Bucket,
		AccessKey: d.AccessKeyID, SecretKey: d.SecretAccessKey, Token: d.SessionToken, Ambient: d.Ambient,
		PathStyle: d.PathStyle, CA: d.CA, AllowPrivate: d.AllowPrivate, DenyHosts: d.DenyHosts,
	})
	return err
}

// exist creates a missing bucket.
func (v *visit) exist(ctx context.Context) error {
	err := v.store.CheckBucket(ctx, v.layout().Place())
	if !errors.Is(err, objectstore.ErrNoBucket) {
		return err
	}
	if !v.destination.IsManaged() {
		return status.NoBucketObserved(v.trail)
	}
	if v.destination.ObjectLock != nil {
		err = v.store.CreateLockedBucket(ctx)
	} else {
		err = v.store.CreateBucket(ctx)
	}
	switch {
	case errors.Is(err, objectstore.ErrAccessDenied):
		return objectstore.ErrNoBucket // what the user has to know
	case errors.Is(err, objectstore.ErrExists):
		return status.BucketTaken(v.trail)
	case errors.Is(err, objectstore.ErrNotImplemented) && v.destination.ObjectLock != nil:
		return status.ProtectionMissing(v.trail, string(bucket.ObjectLock))
	case err != nil:
		return err
	}
	if before := v.before.Status.LatestDelivery; before != nil && before.Time != nil {
		v.event(corev1.EventTypeWarning, v1alpha1.ReasonBucketCreated, "Reconcile",
			"The bucket was gone, with all that was delivered to it, and was created again.")
	}
	return nil
}

// protect gives the bucket what the objects in it need from the first on.
func (v *visit) protect(ctx context.Context) error {
	return v.apply(ctx, v.desired.Without(bucket.Lifecycle, bucket.Tags))
}

// configure gives it the rest. Lifecycle rules and tags are written all at once,
// so two trails of one bucket take turns.
func (v *visit) configure(ctx context.Context) error {
	return configuring.do(ctx, turnOf(v.config.Endpoint, v.config.Bucket), func() error { return v.apply(ctx, v.desired) })
}

func (v *visit) apply(ctx context.Context, d bucket.Desired) error {
	look := bucket.Inspect
	if v.destination.IsManaged() {
		look = bucket.Manage
	}
	out, err := look(ctx, v.store, d)
	if err != nil {
		return err
	}
	missing := out.Missing
	for _, f := range out.Unsupported {
		// Where the bucket is not ours to set up, each object says itself how it
		// is encrypted, and prove looks whether it is.
		if f.Protects() && (v.destination.IsManaged() || f != bucket.Encryption) {
			missing = append(missing, f)
		}
	}
	if len(missing) > 0 {
		names := make([]string, len(missing))
		for i, f := range missing {
			names[i] = string(f)
		}
		return status.ProtectionMissing(v.trail, names...)
	}
	out.Changed = append(v.outcome.Changed, out.Changed...)
	v.outcome = out
	return nil
}

// tellRepair says what was set although the spec had not changed.
func (v *visit) tellRepair() {
	st := v.before.Status
	if len(v.outcome.Changed) == 0 || st.Bucket == nil || st.ObservedGeneration != v.trail.Generation || v.shortening != nil {
		return
	}
	v.event(corev1.EventTypeWarning, v1alpha1.ReasonBucketRepaired, "Reconcile",
		"Somebody had changed the bucket, and it was set as the spec asks again. "+strings.Join(v.outcome.Changed, " "))
}
