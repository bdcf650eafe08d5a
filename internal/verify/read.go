package verify

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"iter"
	"sync"
	"time"

	"github.com/klauspost/compress/gzip"

	"github.com/trail-operator/trail-operator/internal/objectstore"
)

// Limits on single objects. The largest object that we write is a log file of
// 50 MB, and at most a few times as much when it is inflated.
const (
	maxCompressed = 128 << 20
	maxDigest     = 16 << 20 // inflated: some 40,000 log files in one hour
	maxPlain      = 64 << 10 // a published key
)

// maxLogFile limits an inflated log file, which is hashed while it streams. It
// is a variable for tests only.
var maxLogFile int64 = 1 << 30

// damage says what is wrong with the content of an object, as opposed to an
// error of the store, of which nothing follows about the object.
type damage string

func (d damage) Error() string { return string(d) }

// content is an object after decompression.
type content struct {
	hash     string // hex SHA-256
	bytes    []byte // only if asked for
	metadata map[string]string
}

// attempts per object: a connection that breaks once in a million objects must
// not cost a whole run.
const attempts = 3

// inflate reads a gzip object of at most limit bytes of content. Errors:
// objectstore.ErrNotExist, a damage, or that of the store.
func (v *verifier) inflate(ctx context.Context, key string, limit int64, keep bool) (content, error) {
	for attempt := 1; ; attempt++ {
		c, err := v.inflateOnce(ctx, key, limit, keep)
		if !v.again(ctx, err, attempt) {
			return c, err
		}
	}
}

// again tells, after a pause, whether to try once more.
func (v *verifier) again(ctx context.Context, err error, attempt int) bool {
	var broken interrupted
	transient := errors.As(err, &broken) || errors.Is(err, objectstore.ErrUnreachable) || errors.Is(err, objectstore.ErrThrottled)
	if !transient || attempt >= attempts {
		return false
	}
	wait := time.NewTimer(v.retryDelay)
	defer wait.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-wait.C:
		return true
	}
}

// list is the reader's List, which goes on behind the last object when the
// listing breaks.
func (v *verifier) list(ctx context.Context, prefix, startAfter string) iter.Seq2[objectstore.Info, error] {
	return func(yield func(objectstore.Info, error) bool) {
		for attempt := 1; ; {
			var broken error
			for info, err := range v.Reader.List(ctx, prefix, startAfter) {
				if err != nil {
					broken = err
					break
				}
				startAfter, attempt = info.Key, 1
				if !yield(info, nil) {
					return
				}
			}
			if broken == nil {
				return
			}
			if !v.again(ctx, broken, attempt) {
				yield(objectstore.Info{}, broken)
				return
			}
			attempt++
		}
	}
}

// inflater is what it takes to read an object, for one after the other.
type inflater struct {
	compressed *bufio.Reader
	zip        gzip.Reader
	inflated   inflated
}

var inflaters = sync.Pool{New: func() any {
	return &inflater{compressed: bufio.NewReaderSize(nil, 64<<10), inflated: inflated{hash: sha256.New()}}
}}

// release keeps nothing of the object that was read.
func (in *inflater) release() {
	in.compressed.Reset(nil)
	in.inflated.bytes = nil
	inflaters.Put(in)
}

func (v *verifier) inflateOnce(ctx context.Context, key string, limit int64, keep bool) (content, error) {
	body, info, err := v.Reader.Get(ctx, key)
	if err != nil {
		return content{}, err
	}
	defer body.Close()
	source := &sourceReader{r: body, left: maxCompressed}
	in := inflaters.Get().(*inflater)
	defer in.release()
	in.compressed.Reset(source)
	in.inflated.reset(limit, keep)
	if err := in.zip.Reset(in.compressed); err != nil {
		return content{}, source.blame(err)
	}
	// Every member of the file counts: readers inflate what follows the first
	// member, too, so it must not escape the hash.
	if _, err := in.zip.WriteTo(&in.inflated); err != nil {
		return content{}, source.blame(err)
	}
	return content{hex.EncodeToString(in.inflated.hash.Sum(nil)), in.inflated.bytes, info.Metadata}, nil
}

// inflated takes the content of an object.
type inflated struct {
	hash        hash.Hash
	limit, left int64
	keep        bool
	bytes       []byte
}

func (i *inflated) reset(limit int64, keep bool) {
	i.hash.Reset()
	i.limit, i.left, i.keep, i.bytes = limit, limit, keep, nil
}

func (i *inflated) Write(p []byte) (int, error) {
	if i.left -= int64(len(p)); i.left < 0 {
		return 0, damage(fmt.Sprintf("it inflates to more than %d MiB", i.limit>>20))
	}
	if i.keep {
		i.bytes = append(i.bytes, p...)
	}
	return i.hash.Write(p)
}

// interrupted is an error of the transport in the middle of an object.
type interrupted struct{ error }

func (e interrupted) Unwrap() error { return e.error }

// sourceReader limits the compressed bytes and remembers an error of the
// transport, so that a broken connection is not taken for a broken file.
type sourceReader struct {
	r    io.Reader
	left int64
	err  error
}

var errTooLarge = damage(fmt.Sprintf("it is larger than %d MiB", maxCompressed>>20))

func (s *sourceReader) Read(p []byte) (int, error) {
	if s.left <= 0 {
		return 0, errTooLarge
	}
	if int64(len(p)) > s.left {
		p = p[:s.left]
	}
	n, err := s.r.Read(p)
	s.left -= int64(n)
	if err != nil && err != io.EOF {
		s.err = err
	}
	return n, err
}

// blame turns an error of inflating into one of the transport or a damage.
func (s *sourceReader) blame(err error) error {
	var large damage
	switch {
	case errors.Is(s.err, objectstore.ErrNotExist):
		return s.err
	case s.err != nil:
		return interrupted{s.err}
	case errors.As(err, &large):
		return large
	}
	return damage("it is not an intact gzip file")
}

// readPlain reads a small object.
func (v *verifier) readPlain(ctx context.Context, key string) ([]byte, error) {
	body, _, err := v.Reader.Get(ctx, key)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	b, err := io.ReadAll(io.LimitReader(body, maxPlain+1))
	if err != nil {
		return nil, err
	}
	if len(b) > maxPlain {
		return nil, damage(fmt.Sprintf("it is larger than %d KiB", maxPlain>>10))
	}
	return b, nil
}
