package pipeline

import (
	"context"
	"errors"
	"syscall"
	"time"

	"github.com/trail-operator/trail-operator/internal/objectstore"
	"github.com/trail-operator/trail-operator/internal/outbox"
	"github.com/trail-operator/trail-operator/internal/upload"
)

// proofInterval is for how long one look at a delivered object proves that the
// server protects what it is given.
const proofInterval = time.Hour

// proof is what is known of a server's protection.
type proof struct {
	at time.Time // when an object was last seen protected as asked
	// ignored is an object that was seen without its protection. Until it has
	// one, or is gone, the bucket gets nothing.
	ignored string
}

// put sends one entry, and looks at the first object, and at one each hour, to
// see whether the server has protected it. An entry that it has not is not
// confirmed.
func (d *deliverer) put(ctx context.Context, path string, e *outbox.Entry) (since time.Time, err error) {
	now := d.t.p.Clock.Now()
	asked := d.protection(now, e)
	before := d.doubts(e)
	since, err = upload.Send(ctx, d.store, d.t.p.FS, path, e, asked)
	if err != nil && upload.Refused(err) {
		d.mu.Lock()
		d.doubt = before
		d.mu.Unlock()
	}
	if d.unreadable.tooLong(e, err, now) {
		since, err = upload.GiveUp(ctx, d.store, e)
	}
	if err != nil || asked.IsZero() || now.Sub(d.proof.at).Abs() < proofInterval {
		return since, err
	}
	err = upload.Prove(ctx, d.store, e.Key, asked, !since.IsZero())
	switch {
	case err == nil && since.IsZero():
		d.proof.at = now
	case errors.Is(err, upload.ErrEncryptionIgnored), errors.Is(err, upload.ErrRetentionIgnored):
		d.proof.ignored = e.Key
	}
	return since, err
}

// doubts notes that a log file may be in the bucket from now on, whatever the
// store answers, and returns what was noted before.
func (d *deliverer) doubts(e *outbox.Entry) (before outbox.Entry) {
	d.mu.Lock()
	defer d.mu.Unlock()
	before = d.doubt
	if e.Head == nil {
		d.doubt = *e
	}
	return before
}

// unreadableFor is how long a file may be unreadable before it is given up: what
// a volume cannot read now it may read again, and until then the files behind it wait.
const unreadableFor = 10 * time.Minute

// unreadable is the file that the volume could not read at the last try.
type unreadable struct {
	file  string
	since time.Time
}

// tooLong notes the result of a try. It reports whether the file is to be given up.
func (u *unreadable) tooLong(e *outbox.Entry, err error, now time.Time) bool {
	if !errors.Is(err, upload.ErrVolume) || !errors.Is(err, syscall.EIO) {
		*u = unreadable{}
		return false
	}
	if u.file != e.File || now.Before(u.since) {
		*u = unreadable{e.File, now}
	}
	return now.Sub(u.since) >= unreadableFor
}

// reprove looks again at the object that was not protected, if there is one.
func (d *deliverer) reprove(ctx context.Context) error {
	if d.proof.ignored == "" {
		return nil
	}
	asked := d.protection(d.t.p.Clock.Now(), &outbox.Entry{})
	err := upload.Prove(ctx, d.store, d.proof.ignored, asked, true)
	if err == nil || errors.Is(err, objectstore.ErrNotExist) {
		d.proof.ignored = ""
		return nil
	}
	return err
}

// protection is what is asked for an object that is stored at now.
func (d *deliverer) protection(now time.Time, e *outbox.Entry) upload.Protection {
	to := d.destination.Encryption
	retention := d.retention(now).Longer(e.Retention)
	return upload.Protection{
		Encryption: objectstore.Encryption{Type: objectstore.EncryptionType(to.Type), KMSKeyID: to.KMSKeyID},
		Retention:  objectstore.Retention{Mode: objectstore.RetentionMode(retention.Mode), Until: retention.Until},
	}
}

// retention is that of an object that is stored at the given time.
func (d *deliverer) retention(at time.Time) outbox.Retention {
	r := d.destination.Retention
	if r.Mode == "" {
		return outbox.Retention{}
	}
	return outbox.Retention{Mode: r.Mode, Until: at.UTC().Add(time.Duration(r.Days) * 24 * time.Hour).Truncate(time.Second)}
}
