// Package memory is an object store for tests. It behaves as a well-behaved
// server does, except where a Hook makes it fail.
package memory

import (
	"bytes"
	"context"
	"crypto/md5" //nolint:gosec // an ETag is the MD5 of the object; it protects nothing.
	"crypto/sha256"
	"encoding/hex"
	"io"
	"iter"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"k8s.io/utils/clock"

	"github.com/trail-operator/trail-operator/internal/objectstore"
)

// Store is one bucket in memory. It is safe for concurrent use.
type Store struct {
	clock clock.PassiveClock

	mu      sync.Mutex
	bucket  bool
	objects map[string]Object
	settings
	hook   Hook
	calls  map[objectstore.Op]int
	offset time.Duration
	asked  bool
}

var _ objectstore.Managed = (*Store)(nil)

// Object is a stored object.
type Object struct {
	Body        []byte
	ContentType string
	Metadata    map[string]string
	Modified    time.Time
	Encryption  objectstore.Encryption
	Retention   objectstore.Retention
	Archived    bool
}

// New returns a bucket that exists and is empty.
func New(c clock.PassiveClock) *Store {
	return &Store{
		clock:   c,
		bucket:  true,
		objects: map[string]Object{},
		calls:   map[objectstore.Op]int{},
	}
}

// Create implements objectstore.Store.
func (s *Store) Create(ctx context.Context, key string, body io.ReadSeeker, size int64, o objectstore.PutOptions) error {
	return s.call(ctx, objectstore.OpPut, key, func(f Fault) error {
		if err := objectstore.Rewind(body, size); err != nil {
			return err
		}
		content, err := io.ReadAll(body)
		if err != nil {
			return err
		}
		if f.CutAfter > 0 && f.CutAfter < len(content) {
			return objectstore.ErrUnreachable
		}
		if sha256.Sum256(content) != o.SHA256 {
			return objectstore.ErrBadDigest
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		if !s.bucket {
			return objectstore.ErrNoBucket
		}
		if _, taken := s.objects[key]; taken {
			return objectstore.ErrExists
		}
		if f.Forget {
			return nil
		}
		if f.KeepHalf {
			content = content[:len(content)/2]
		}
		stored := Object{Body: content, ContentType: o.ContentType, Metadata: maps.Clone(o.Metadata), Modified: s.clock.Now()}
		if err := s.protect(&stored, o, f); err != nil {
			return err
		}
		s.objects[key] = stored
		return nil
	})
}

// Head implements objectstore.Store.
func (s *Store) Head(ctx context.Context, key string) (info objectstore.Info, err error) {
	err = s.call(ctx, objectstore.OpHead, key, func(f Fault) error {
		o, err := s.lookup(key)
		info = o.info(key, f)
		return err
	})
	return info, err
}

// Get implements objectstore.Store.
func (s *Store) Get(ctx context.Context, key string) (body io.ReadCloser, info objectstore.Info, err error) {
	err = s.call(ctx, objectstore.OpGet, key, func(f Fault) error {
		o, err := s.lookup(key)
		if err != nil {
			return err
		}
		if o.Archived {
			return objectstore.ErrArchived
		}
		info = o.info(key, f)
		var content io.Reader = bytes.NewReader(o.Body)
		if f.CutAfter > 0 && f.CutAfter < len(o.Body) {
			content = io.MultiReader(bytes.NewReader(o.Body[:f.CutAfter]),
				broken{wrap(objectstore.OpGet, objectstore.ErrUnreachable)})
		}
		body = io.NopCloser(content)
		return nil
	})
	if err != nil {
		return nil, objectstore.Info{}, err
	}
	return body, info, nil
}

// List implements objectstore.Store.
func (s *Store) List(ctx context.Context, prefix, startAfter string) iter.Seq2[objectstore.Info, error] {
	return func(yield func(objectstore.Info, error) bool) {
		var found []objectstore.Info
		err := s.call(ctx, objectstore.OpList, prefix, func(f Fault) error {
			s.mu.Lock()
			defer s.mu.Unlock()
			if !s.bucket {
				return objectstore.ErrNoBucket
			}
			for _, key := range slices.Sorted(maps.Keys(s.objects)) {
				if strings.HasPrefix(key, prefix) && key > startAfter {
					info := s.objects[key].info(key, f)
					info.Metadata, info.Encryption, info.Retention = nil, objectstore.Encryption{}, objectstore.Retention{}
					found = append(found, info)
				}
			}
			return nil
		})
		if err != nil {
			yield(objectstore.Info{}, err)
			return
		}
		for _, info := range found {
			if !yield(info, nil) {
				return
			}
		}
	}
}

// CheckBucket implements objectstore.Store.
func (s *Store) CheckBucket(ctx context.Context, prefix string) error {
	return s.call(ctx, objectstore.OpCheckBucket, prefix, func(Fault) error {
		s.mu.Lock()
		defer s.mu.Unlock()
		if !s.bucket {
			return objectstore.ErrNoBucket
		}
		return nil
	})
}

// CreateBucket implements objectstore.Store.
func (s *Store) CreateBucket(ctx context.Context) error {
	return s.call(ctx, objectstore.OpCreateBucket, "", func(Fault) error {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.bucket = true
		return nil
	})
}

// ServerTime implements objectstore.Store.
func (s *Store) ServerTime() (time.Duration, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.offset, s.asked
}

func (s *Store) lookup(key string) (Object, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.bucket {
		return Object{}, objectstore.ErrNoBucket
	}
	o, ok := s.objects[key]
	if !ok {
		return Object{}, objectstore.ErrNotExist
	}
	return o, nil
}

func (o Object) info(key string, f Fault) objectstore.Info {
	sum := md5.Sum(o.Body) //nolint:gosec // see the import
	info := objectstore.Info{
		Key:      key,
		Size:     int64(len(o.Body)),
		ETag:     hex.EncodeToString(sum[:]),
		Modified: o.Modified,
		Metadata: maps.Clone(o.Metadata),

		Encryption: o.Encryption,
		Retention:  o.Retention,
	}
	if f.ETag != "" {
		info.ETag = f.ETag
	}
	return info
}

// broken is a reader of nothing but an error.
type broken struct{ err error }

func (b broken) Read([]byte) (int, error) { return 0, b.err }
