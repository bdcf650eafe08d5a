package minio

import (
	"context"
	"iter"
	"strings"

	"github.com/minio/minio-go/v7"

	"github.com/trail-operator/trail-operator/internal/objectstore"
)

// List implements objectstore.Store. A server that lists what was not asked
// for, or in another order, is not believed: a verifier would take the objects
// it hides for missing ones, and a list that repeats itself never ends.
func (s *store) List(ctx context.Context, prefix, startAfter string) iter.Seq2[objectstore.Info, error] {
	return func(yield func(objectstore.Info, error) bool) {
		last := startAfter
		for info := range s.list(ctx, minio.ListObjectsOptions{Prefix: prefix, StartAfter: startAfter}) {
			err := classify(ctx, objectstore.OpList, info.Err)
			if err == nil && (!strings.HasPrefix(info.Key, prefix) || info.Key <= last) {
				err = &objectstore.Error{Op: objectstore.OpList, Err: errAnswer}
			}
			if err != nil {
				yield(objectstore.Info{}, err)
				return
			}
			last = info.Key
			if !yield(objectstore.Info{Key: info.Key, Size: info.Size, ETag: info.ETag, Modified: info.LastModified}, nil) {
				return
			}
		}
		// minio-go ends a list without a word when the context has ended.
		if err := ctx.Err(); err != nil {
			yield(objectstore.Info{}, classify(ctx, objectstore.OpList, err))
		}
	}
}

func (s *store) list(ctx context.Context, o minio.ListObjectsOptions) iter.Seq[minio.ObjectInfo] {
	withOwner := false
	o.Recursive, o.FetchOwner = true, &withOwner
	return s.core.ListObjectsIter(ctx, s.bucket, o)
}
