package trail

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/trail-operator/trail-operator/api/v1alpha1"
	"github.com/trail-operator/trail-operator/internal/manifests"
	"github.com/trail-operator/trail-operator/internal/objectstore"
	"github.com/trail-operator/trail-operator/internal/receiverconfig"
	"github.com/trail-operator/trail-operator/internal/record"
	"github.com/trail-operator/trail-operator/internal/status"
)

const (
	// bucketTimeout bounds all calls of one check.
	bucketTimeout = 10 * time.Second
	// recheck is how often a bucket that answered is checked again.
	recheck = 10 * time.Minute
	// maxObject bounds what is read back of an owner or of a key.
	maxObject = 64 << 10
)

// bucketCheck is the outcome of the last check of a trail's bucket. It saves
// asking again at each reconciliation, and slows down where it fails.
type bucketCheck struct {
	of       [sha256.Size]byte // what was checked
	problem  *status.Problem
	at       time.Time
	failures int
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

// checkBucket makes sure that the bucket exists, that the prefix belongs to
// this trail and that the public keys stand beside it.
func (s *scope) checkBucket(ctx context.Context) error {
	if s.credentials == nil {
		return nil // readCredentials has said why
	}
	d := manifests.Trail(s.trail, s.Installation.Installation, *s.credentials, s.reach()).Destination
	of := sha256.Sum256(append(record.MustJSON(d), s.deliveryError()...))
	last := s.buckets.get(s.trail.UID)
	now := s.Clock.Now()
	if last.at.IsZero() || last.of != of || now.Sub(last.at) >= last.due() {
		failures := 0
		if last.problem != nil && last.of == of {
			failures = last.failures + 1
		}
		last = bucketCheck{of: of, problem: s.claim(ctx, d), at: now, failures: failures}
		s.buckets.set(s.trail.UID, last)
	}
	if last.problem != nil {
		s.retry = last.due() - now.Sub(last.at)
		return s.proceed(last.problem)
	}
	s.seen.Claimed = true
	return nil
}

// deliveryError is the receiver's present failure: a new one is reason enough
// to look at the bucket again.
func (s *scope) deliveryError() string {
	if d := s.before.Status.LatestDelivery; d != nil {
		return d.Error
	}
	return ""
}

func (s *scope) claim(ctx context.Context, d receiverconfig.Destination) *status.Problem {
	ctx, cancel := context.WithTimeout(ctx, bucketTimeout)
	defer cancel()
	store, err := s.Open(objectstore.Config{
		Endpoint: d.Endpoint, Region: d.Region, Bucket: d.Bucket,
		AccessKey: d.AccessKeyID, SecretKey: d.SecretAccessKey, Token: d.SessionToken,
		CA: d.CA, AllowPrivate: d.AllowPrivate, DenyHosts: d.DenyHosts,
	})
	if err != nil {
		return status.StoreProblem(s.trail, err)
	}
	err = store.CheckBucket(ctx)
	if errors.Is(err, objectstore.ErrNoBucket) {
		if err = store.CreateBucket(ctx); errors.Is(err, objectstore.ErrAccessDenied) {
			err = objectstore.ErrNoBucket // what the user has to know
		}
	}
	if err == nil {
		err = s.claimPrefix(ctx, store)
	}
	if err == nil {
		err = s.publishKeys(ctx, store)
	}
	var p *status.Problem
	if err == nil || errors.As(err, &p) {
		return p
	}
	return status.StoreProblem(s.trail, err)
}

func (s *scope) layout() record.Layout {
	return manifests.Layout(s.trail, s.Installation.Installation)
}

// claimPrefix creates trail-owner.json, or finds that it is ours. A trail that
// was deleted and created again under the same name is the same owner: it goes
// on where the one before ended.
func (s *scope) claimPrefix(ctx context.Context, store objectstore.Store) error {
	key := s.layout().Owner()
	owner := record.Owner{
		Installation: s.Installation.UID, Trail: string(s.trail.UID), TrailARN: s.seen.ARN,
		CreatedAt: s.Clock.Now().UTC().Format(record.TimeFormat),
	}
	// Looking first spares a server that does not know create-only a write.
	found, err := read(ctx, store, key)
	if errors.Is(err, objectstore.ErrNotExist) {
		if err = create(ctx, store, key, record.MustJSON(owner)); err == nil {
			return nil
		}
		if errors.Is(err, objectstore.ErrExists) { // somebody was faster
			found, err = read(ctx, store, key)
		}
	}
	if err != nil {
		return err
	}
	var other record.Owner
	if json.Unmarshal(found, &other) == nil && other.Installation == owner.Installation && other.TrailARN == owner.TrailARN {
		return nil
	}
	return &status.Problem{
		Reason: v1alpha1.ReasonConflict, Stalled: true,
		Message: fmt.Sprintf("The prefix %s in the bucket %s belongs to another trail. Create this trail with another prefix or bucket; the first one keeps it.",
			s.trail.Prefix(), s.trail.Spec.Destination.Bucket),
	}
}

// publishKeys puts the public keys beside the digests they verify.
func (s *scope) publishKeys(ctx context.Context, store objectstore.Store) error {
	for _, k := range s.Installation.Keys {
		key, want := s.layout().DigestKey(k.Fingerprint), record.MustJSON(k)
		err := create(ctx, store, key, want)
		if !errors.Is(err, objectstore.ErrExists) {
			if err != nil {
				return err
			}
			continue
		}
		found, err := read(ctx, store, key)
		if err != nil {
			return err
		}
		if !bytes.Equal(found, want) {
			return &status.Problem{
				Reason: v1alpha1.ReasonConflict, Stalled: true,
				Message: fmt.Sprintf("The object %s in the bucket %s is not the public key that it should be: somebody has changed it. Verify with `kubectl trail validate-logs --trust`.",
					key, s.trail.Spec.Destination.Bucket),
			}
		}
	}
	return nil
}

func create(ctx context.Context, store objectstore.Store, key string, body []byte) error {
	return store.Create(ctx, key, bytes.NewReader(body), int64(len(body)), objectstore.PutOptions{
		ContentType: "application/json", SHA256: sha256.Sum256(body),
	})
}

func read(ctx context.Context, store objectstore.Store, key string) ([]byte, error) {
	body, _, err := store.Get(ctx, key)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	return io.ReadAll(io.LimitReader(body, maxObject))
}
