package verify

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
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

var inflaters = sync.Pool{New: func() any { return new(gzip.Reader) }}

func (v *verifier) inflateOnce(ctx context.Context, key string, limit int64, keep bool) (content, error) {
	body, info, err := v.Reader.Get(ctx, key)
	if err != nil {
		return content{}, err
	}
	defer body.Close()
	source := &sourceReader{r: body, left: maxCompressed}
	zr := inflaters.Get().(*gzip.Reader)
	defer inflaters.Put(zr)
	if err := zr.Reset(source); err != nil {
		return content{}, source.blame(err)
	}
	// Every member of the file counts: readers inflate what follows the first
	// member, too, so it must not escape the hash.
	hash := sha256.New()
	c := content{metadata: info.Metadata}
	var w io.Writer = hash
	var buf bytes.Buffer
	if keep {
		w = io.MultiWriter(hash, &buf)
	}
	n, err := io.Copy(w, io.LimitReader(zr, limit+1))
	if err != nil {
		return content{}, source.blame(err)
	}
	if n > limit {
		return content{}, damage(fmt.Sprintf("it inflates to more than %d MiB", limit>>20))
	}
	c.hash, c.bytes = hex.EncodeToString(hash.Sum(nil)), buf.Bytes()
	return c, nil
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
	switch {
	case errors.Is(s.err, objectstore.ErrNotExist):
		return s.err
	case s.err != nil:
		return interrupted{s.err}
	case errors.Is(err, errTooLarge):
		return errTooLarge
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
