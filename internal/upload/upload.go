// Package upload brings the files of an outbox into a bucket: exactly the bytes
// that were committed, under exactly the key that was committed, confirmed by
// the server, and never over an object that is there already.
package upload

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"

	"github.com/trail-operator/trail-operator/internal/failpoint"
	"github.com/trail-operator/trail-operator/internal/objectstore"
	"github.com/trail-operator/trail-operator/internal/outbox"
)

// contentType of log files and digests. There is no Content-Encoding: a client
// that inflates by itself would hand inflated bytes to readers that gunzip.
const contentType = "application/x-gzip"

const (
	// patience and floorRate bound one try: a server that reads slowly must not
	// hold its trail for hours, in which nothing of it expires.
	patience  = 2 * time.Minute
	floorRate = 256 << 10 // bytes a second
)

var (
	// ErrConflict says that another object stands under the key: the bytes need a new one.
	ErrConflict = errors.New("another object has the key of this file")
	// ErrDamaged says that the file on the volume is missing or is not what was committed.
	ErrDamaged = errors.New("the file on the volume is damaged")

	// ErrNotStored says that the server has confirmed an object that it does not have.
	ErrNotStored = errors.New("the server confirmed an object that it does not have")
	// ErrVolume says that the volume does not let the file be read now. Nothing is
	// known of the file.
	ErrVolume = errors.New("a file on the volume cannot be read")
)

// Send stores the file at path under the entry's key, protected as asked, and returns when the
// bucket has it: also when an earlier try, whose answer was lost, had stored it;
// stored is then when that was, by the server's clock, and zero otherwise.
// It takes at most two minutes and what the file needs at 256 KiB a second.
// Errors are ErrConflict, also for an object that the server has stored a part
// of, ErrDamaged, or others, which pass with time, ErrVolume among them.
func Send(ctx context.Context, store objectstore.Store, files outbox.FS, path string, e *outbox.Entry, asked Protection) (stored time.Time, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience+time.Duration(e.Size/floorRate)*time.Second)
	defer cancel()
	err = create(ctx, store, files, path, e, asked)
	if err == nil {
		return stored, confirm(ctx, store, e)
	}
	return settle(ctx, store, e, err)
}

// GiveUp is Send for an entry whose file will never be read again: ErrDamaged,
// unless an earlier try has stored it.
func GiveUp(ctx context.Context, store objectstore.Store, e *outbox.Entry) (stored time.Time, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return settle(ctx, store, e, ErrDamaged)
}

// settle looks into the bucket after a create has failed.
func settle(ctx context.Context, store objectstore.Store, e *outbox.Entry, err error) (stored time.Time, _ error) {
	exists := errors.Is(err, objectstore.ErrExists)
	if !exists && !errors.Is(err, ErrDamaged) {
		return stored, err
	}
	if exists && failpoint.Mutation("upload-compare") {
		return stored, ErrConflict
	}
	stored, there := compare(ctx, store, e)
	switch {
	case exists && errors.Is(there, objectstore.ErrNotExist):
		// A concurrent create that lost, or an object that went away: try again.
		return stored, &objectstore.Error{Op: objectstore.OpPut, Err: objectstore.ErrThrottled}
	case exists, there == nil:
		return stored, there
	case errors.Is(there, ErrConflict), errors.Is(there, objectstore.ErrNotExist), errors.Is(there, objectstore.ErrAccessDenied):
		return stored, err // damaged, and no earlier try is known to have brought it there
	default:
		return stored, there
	}
}

// Refused reports whether an error of Send says that this try has certainly
// stored nothing: the server has refused it, or was not asked.
func Refused(err error) bool {
	var e *objectstore.Error
	if !errors.As(err, &e) || e.Op != objectstore.OpPut {
		return false
	}
	return e.Status/100 == 4 || errors.Is(err, objectstore.ErrForbiddenAddress) || errors.Is(err, objectstore.ErrCertificate)
}

func create(ctx context.Context, store objectstore.Store, files outbox.FS, path string, e *outbox.Entry, asked Protection) error {
	f, err := files.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: it is missing", ErrDamaged)
	}
	if err != nil {
		// Too many open files, for one: nothing is known of this file.
		return fmt.Errorf("%w: %w", ErrVolume, err)
	}
	defer f.Close()
	sum, err := check(f, e)
	if err != nil {
		return err
	}
	failpoint.Hit("upload/before-put")
	err = store.Create(ctx, e.Key, f, e.Size, objectstore.PutOptions{
		ContentType: contentType, SHA256: sum, Metadata: e.Metadata, Encryption: asked.Encryption, Retention: asked.Retention,
	})
	failpoint.Hit("upload/after-put")
	return err
}

// check reads the file once before it is sent: a flipped byte would otherwise
// come back as a bad digest from the server for ever.
func check(f io.ReadSeeker, e *outbox.Entry) (sum [32]byte, err error) {
	h := sha256.New()
	n, err := io.Copy(h, f)
	if err != nil {
		return sum, fmt.Errorf("%w: %w", ErrVolume, err)
	}
	h.Sum(sum[:0])
	if n != e.Size || hex.EncodeToString(sum[:]) != e.SHA256 {
		return sum, ErrDamaged
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return sum, fmt.Errorf("%w: %w", ErrVolume, err)
	}
	return sum, nil
}

// confirm looks at an object whose create was answered with success. There are
// servers, and things in front of servers, that say so and have stored a part of
// it, or nothing. Who may not look has to believe them.
func confirm(ctx context.Context, store objectstore.Store, e *outbox.Entry) error {
	if failpoint.Mutation("upload-confirm") {
		return nil
	}
	info, err := store.Head(ctx, e.Key)
	switch {
	case errors.Is(err, objectstore.ErrAccessDenied):
		return nil
	case errors.Is(err, objectstore.ErrNotExist):
		return &objectstore.Error{Op: objectstore.OpPut, Err: ErrNotStored}
	case err != nil:
		return err
	case info.Size != e.Size:
		return ErrConflict // the key cannot be used again
	}
	return nil
}

// compare decides whether the object under the entry's key is ours: nil,
// ErrConflict, or the error of the store. It returns when that was stored.
func compare(ctx context.Context, store objectstore.Store, e *outbox.Entry) (stored time.Time, err error) {
	info, err := store.Head(ctx, e.Key)
	if err != nil {
		return stored, err
	}
	for k, v := range e.Metadata {
		if info.Metadata[k] != v {
			return stored, ErrConflict
		}
	}
	if info.Size != e.Size {
		return stored, ErrConflict
	}
	body, _, err := store.Get(ctx, e.Key)
	if err != nil {
		return stored, err
	}
	defer body.Close()
	h := sha256.New()
	if _, err := io.Copy(h, io.LimitReader(body, e.Size+1)); err != nil {
		return stored, &objectstore.Error{Op: "get", Err: objectstore.ErrUnreachable}
	}
	if hex.EncodeToString(h.Sum(nil)) != e.SHA256 {
		return stored, ErrConflict
	}
	return info.Modified, nil
}
