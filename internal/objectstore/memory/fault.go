package memory

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"time"

	"github.com/trail-operator/trail-operator/internal/objectstore"
)

// Hook is asked before each call what shall go wrong with it. It may block, as
// a slow server does, until ctx ends or the test goes on. For a listing, key is
// the prefix; for a bucket it is empty.
type Hook func(ctx context.Context, op objectstore.Op, key string) Fault

// Fault is what goes wrong with one call. The zero Fault is a call that
// succeeds.
type Fault struct {
	// Refuse is returned without anything having happened.
	Refuse error
	// Lose is returned although the call was carried out, as when a server's
	// answer is lost.
	Lose error
	// CutAfter drops the connection when so many bytes of the object were
	// sent; nothing is stored then.
	CutAfter int
	// KeepHalf stores the first half of an object, Forget nothing of it, and the
	// answer is success.
	KeepHalf, Forget bool
	// ETag is answered in place of the right one.
	ETag string
	// IgnoreEncryption and IgnoreRetention store an object without what was
	// asked for it, and say nothing.
	IgnoreEncryption, IgnoreRetention bool
	// IgnoreSetting accepts a setting of the bucket and keeps the old one.
	IgnoreSetting bool
}

// codes are the S3 error codes that a server gives with these errors.
var codes = map[error]string{
	objectstore.ErrNotExist:       "NoSuchKey",
	objectstore.ErrNoBucket:       "NoSuchBucket",
	objectstore.ErrExists:         "PreconditionFailed",
	objectstore.ErrAccessDenied:   "AccessDenied",
	objectstore.ErrBadCredentials: "SignatureDoesNotMatch",
	objectstore.ErrClockSkew:      "RequestTimeTooSkewed",
	objectstore.ErrThrottled:      "SlowDown",
	objectstore.ErrBadDigest:      "BadDigest",
	objectstore.ErrNotImplemented: "NotImplemented",
	objectstore.ErrRegion:         "AuthorizationHeaderMalformed",
	objectstore.ErrKey:            "KMSNotFoundException",
	objectstore.ErrArchived:       "InvalidObjectState",
	objectstore.ErrBucketState:    "InvalidBucketState",
}

// call carries out one operation between the faults that the hook wants.
func (s *Store) call(ctx context.Context, op objectstore.Op, key string, do func(Fault) error) error {
	s.mu.Lock()
	s.calls[op]++
	hook := s.hook
	s.mu.Unlock()

	var f Fault
	if hook != nil {
		f = hook(ctx, op, key)
	}
	if err := ctx.Err(); err != nil {
		return wrap(op, err)
	}
	if f.Refuse != nil {
		return wrap(op, f.Refuse)
	}
	s.mu.Lock()
	s.asked = true
	s.mu.Unlock()
	if err := do(f); err != nil {
		return wrap(op, err)
	}
	return wrap(op, f.Lose)
}

// wrap puts err into the form that every implementation returns.
func wrap(op objectstore.Op, err error) error {
	var done *objectstore.Error
	if err == nil || errors.As(err, &done) {
		return err
	}
	e := &objectstore.Error{Op: op, Err: err}
	for known, code := range codes {
		if errors.Is(err, known) {
			e.Code = code
		}
	}
	return e
}

// SetHook makes h decide about faults from now on; nil ends them.
func (s *Store) SetHook(h Hook) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hook = h
}

// Calls returns how often op was called, successfully or not.
func (s *Store) Calls(op objectstore.Op) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls[op]
}

// SetServerTime puts the server's clock ahead of ours by offset.
func (s *Store) SetServerTime(offset time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.offset = offset
}

// Objects returns a copy of what is stored, by key.
func (s *Store) Objects() map[string]Object {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.objects)
}

// Overwrite stores body under key in place of what is there, as somebody who
// tampers with the bucket does. It keeps the metadata.
func (s *Store) Overwrite(key string, body []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	o := s.objects[key]
	o.Body, o.Modified = bytes.Clone(body), s.clock.Now()
	s.objects[key] = o
}

// Delete removes an object.
func (s *Store) Delete(key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.objects, key)
}

// Archive moves an object to where it must be restored from before it can be
// read, as a lifecycle rule does.
func (s *Store) Archive(key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	o := s.objects[key]
	o.Archived = true
	s.objects[key] = o
}

// DeleteBucket removes the bucket with all objects and settings.
func (s *Store) DeleteBucket() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.bucket, s.settings = false, settings{}
	clear(s.objects)
}
