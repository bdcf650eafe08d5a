package minio

import (
	"context"
	"errors"
	"io"
	"sync"

	"github.com/trail-operator/trail-operator/internal/objectstore"
)

// source is the body of a request. It does not let minio-go close the body,
// keeps the errors of the disk apart from those of the network, and guards the
// body after the call: when a server answers early, the transport may still be
// about to read.
type source struct {
	mu   sync.Mutex
	body io.ReadSeeker
	err  error
}

var errFinished = errors.New("the request is over")

func (s *source) Read(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.body == nil {
		return 0, errFinished
	}
	n, err := s.body.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		s.err = err
	}
	return n, err
}

// Seek is called before the request.
func (s *source) Seek(offset int64, whence int) (int64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.body.Seek(offset, whence)
}

// finish gives the body back to its owner. It returns the error with which
// reading the body failed.
func (s *source) finish() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.body = nil
	return s.err
}

// object is the body of an object, whose errors are classified too.
type object struct {
	body io.ReadCloser
	ctx  context.Context // of the call that opened it, and that ends it
}

func (o *object) Read(p []byte) (int, error) {
	n, err := o.body.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = classify(o.ctx, objectstore.OpGet, err)
	}
	return n, err
}

func (o *object) Close() error { return o.body.Close() }
