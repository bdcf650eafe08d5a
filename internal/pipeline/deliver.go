package pipeline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"

	"github.com/trail-operator/trail-operator/internal/failpoint"
	"github.com/trail-operator/trail-operator/internal/objectstore"
	"github.com/trail-operator/trail-operator/internal/outbox"
	"github.com/trail-operator/trail-operator/internal/receiverconfig"
	"github.com/trail-operator/trail-operator/internal/receiverstatus"
	"github.com/trail-operator/trail-operator/internal/record"
	"github.com/trail-operator/trail-operator/internal/spool"
	"github.com/trail-operator/trail-operator/internal/upload"
)

const (
	// maxSkew is how far our clock may be from the store's before files and
	// digests are held back: their names and windows would be wrong.
	maxSkew = 5 * time.Minute
	// lookInterval is how often a deliverer without work looks at the clock.
	lookInterval = 5 * time.Second
	// lookPatience bounds what is asked of a store before files are sent: one that
	// answers byte by byte must not hold its trail, of which nothing expires meanwhile.
	lookPatience = 2 * time.Minute
	// batch is how many entries are read from the state at a time.
	batch = 64
)

// deliverer brings the files and digests of one trail into its bucket, in
// order. It alone writes the trail's Delivery document.
type deliverer struct {
	t    *trail
	wake chan struct{}

	mu      sync.Mutex // guards what the status reads
	state   outbox.Delivery
	raw     []byte
	pending pending
	failed  *receiverstatus.Failure // of log files
	digest  *receiverstatus.Failure // of digests
	skew    time.Duration
	attempt *time.Time   // at a log file, since the start
	doubt   outbox.Entry // the log file that may be in the bucket, if Size is not 0

	store       objectstore.Store
	destination receiverconfig.Destination
	proof       proof
	unreadable  unreadable
	missing     int64  // records of entries that the spool has lost, at the start
	nextSeq     uint64 // behind all log files that were known at the start
	failures    int    // in a row, without anything delivered between them
	conflicts   int    // the same
	files       map[string]bool

	expired kept // files that have expired and are kept; guarded by mu
	asked   bool // some of them are asked for; guarded by mu
}

// pending counts what is not in the bucket yet.
type pending struct {
	files, digests int
	bytes          int64
}

func newDeliverer(t *trail) (*deliverer, error) {
	d := &deliverer{t: t, wake: make(chan struct{}, 1), files: map[string]bool{}}
	raw, err := t.p.Spool.Get(t.keys.Delivery())
	if err != nil {
		return nil, err
	}
	if _, err := outbox.Load(t.p.Spool, t.keys.Delivery(), &d.state); err != nil {
		return nil, err
	}
	d.raw = raw
	logs, err := outbox.List[outbox.Entry](t.p.Spool, t.keys.Logs())
	if err != nil {
		return nil, err
	}
	digests, err := outbox.List[outbox.Entry](t.p.Spool, t.keys.Digests())
	if err != nil {
		return nil, err
	}
	if len(logs) > 0 {
		d.doubt = logs[0] // it may have been sent before the start
	}
	for _, e := range logs {
		d.pending.files++
		d.pending.bytes += e.Size
		d.files[e.File] = true
		if !e.Redelivered { // which counts as expired until it is delivered
			d.missing -= e.Count
		}
	}
	d.missing += t.cursor.Filed - d.state.Delivered - (d.state.Expired - d.state.Redelivered) - d.state.Damaged
	for _, e := range digests {
		d.pending.digests++
		d.files[e.File] = true
	}
	for _, prefix := range []string{t.keys.Logs(), t.keys.AllUndigested(), t.keys.AllExpired()} {
		err := t.p.Spool.Scan(prefix, func(key string, _ []byte) error {
			seq, err := strconv.ParseUint(strings.TrimPrefix(key, prefix), 16, 64)
			d.nextSeq = max(d.nextSeq, seq+1)
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return d, d.loadExpired()
}

// owns reports whether a file of the trail's folder belonged to an entry when
// the deliverer was made.
func (d *deliverer) owns(name string) bool {
	return d.files[name] || filepath.Ext(name) == outbox.DamagedSuffix
}

// added is told of each new log file.
func (d *deliverer) added(e *outbox.Entry) {
	d.mu.Lock()
	d.pending.files++
	d.pending.bytes += e.Size
	d.mu.Unlock()
	d.poke()
	d.t.p.relieve()
}

func (d *deliverer) poke() {
	select {
	case d.wake <- struct{}{}:
	default: // awake
	}
}

// run works until ctx ends.
func (d *deliverer) run(ctx context.Context) {
	timer := d.t.p.Clock.NewTimer(time.Hour)
	defer timer.Stop()
	for ctx.Err() == nil {
		wait := lookInterval
		if err := d.round(ctx); err != nil && ctx.Err() == nil {
			d.failures++
			wait = upload.Backoff(d.failures)
			d.t.p.Log.V(1).Info("Delivery failed; trying again", "trail", d.t.uid, "error", err.Error(), "after", wait)
			d.pause(ctx, wait)
			continue
		}
		d.failures = 0
		timer.Reset(wait)
		select {
		case <-ctx.Done():
		case <-d.wake:
		case <-timer.C():
		}
	}
}

// pause waits out a backoff: new files do not shorten it, a new destination
// does. Old files may have to make room meanwhile.
func (d *deliverer) pause(ctx context.Context, wait time.Duration) {
	timer := d.t.p.Clock.NewTimer(wait)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C():
			return
		case <-d.wake:
			if _, config, _ := d.t.newest(); !equality.Semantic.DeepEqual(config.Destination, d.destination) {
				d.failures = 0
				return
			}
			d.makeRoom(ctx)
		}
	}
}

// round does everything that can be done now: log files, then the digests that
// are due, then, for a trail that has stopped, the final one.
func (d *deliverer) round(ctx context.Context) error {
	if err := d.miss(ctx); err != nil {
		return err
	}
	if err := d.expire(ctx); err != nil {
		return err
	}
	d.try()
	if err := d.open(); err != nil {
		d.note(&d.failed, err)
		return err
	}
	if err := d.looking(ctx, d.checkClock); err != nil {
		d.note(&d.failed, err)
		return err
	}
	if err := d.looking(ctx, d.reprove); err != nil {
		d.note(&d.failed, err)
		d.note(&d.digest, err)
		return err
	}
	if err := d.startChain(); err != nil {
		return err
	}
	if err := d.readmit(); err != nil {
		return err
	}
	logs := d.send(ctx, d.t.keys.Logs(), d.confirmLog)
	d.note(&d.failed, logs)
	digests := d.digests(ctx, logs == nil)
	d.note(&d.digest, digests)
	return errors.Join(logs, digests)
}

// looking asks the store something, for as long as a trail may wait for that.
func (d *deliverer) looking(ctx context.Context, ask func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, d.t.p.lookPatience)
	defer cancel()
	return ask(ctx)
}

// try notes that log files are about to be sent, if there are any.
func (d *deliverer) try() {
	now := d.t.p.Clock.Now().UTC()
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.pending.files > 0 {
		d.attempt = &now
	}
}

// lastAttempt is the newest attempt that is known. d.mu is held.
func (d *deliverer) lastAttempt() *time.Time {
	if at := d.state.LastDelivery; d.attempt == nil || at != nil && at.After(*d.attempt) {
		return at
	}
	return d.attempt
}

// open makes the store again when the destination or its credentials changed.
func (d *deliverer) open() error {
	_, config, _ := d.t.newest()
	if d.store != nil && equality.Semantic.DeepEqual(config.Destination, d.destination) {
		return nil
	}
	to := config.Destination
	store, err := d.t.p.Open(objectstore.Config{
		Endpoint: to.Endpoint, Region: to.Region, Bucket: to.Bucket, PathStyle: to.PathStyle,
		AccessKey: to.AccessKeyID, SecretKey: to.SecretAccessKey, Token: to.SessionToken, Ambient: to.Ambient,
		CA: to.CA, AllowPrivate: to.AllowPrivate, DenyHosts: to.DenyHosts,
	})
	if err != nil {
		return err
	}
	d.store, d.destination, d.proof = store, to, proof{}
	return nil
}

// checkClock holds everything back while our clock and the store's disagree.
func (d *deliverer) checkClock(ctx context.Context) error {
	offset, known := d.store.ServerTime()
	if !known || offset.Abs() > maxSkew {
		_, _, layout := d.t.newest()
		if err := d.store.CheckBucket(ctx, layout.Place()); err != nil && !errors.Is(err, objectstore.ErrAccessDenied) {
			return err
		}
		offset, known = d.store.ServerTime()
	}
	if !known || offset.Abs() <= maxSkew {
		offset = 0
	}
	d.mu.Lock()
	d.skew = offset
	d.mu.Unlock()
	if offset != 0 {
		return &objectstore.Error{Op: "bucket", Code: "RequestTimeTooSkewed", Err: objectstore.ErrClockSkew}
	}
	return nil
}

// note keeps the first moment of a failure; nil clears it.
func (d *deliverer) note(at **receiverstatus.Failure, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err == nil {
		*at = nil
		return
	}
	if errors.Is(err, context.Canceled) {
		return
	}
	f := upload.Failure(err, d.t.p.Clock.Now())
	if *at != nil && (*at).Reason == f.Reason {
		f.Since = (*at).Since
	}
	*at = f
}

// send brings the entries under prefix into the bucket, oldest first. confirm
// stores that one of them is there, and since when, if not since now.
func (d *deliverer) send(ctx context.Context, prefix string, confirm func(e *outbox.Entry, since time.Time) error) error {
	for ctx.Err() == nil {
		entries, err := d.some(prefix)
		if err != nil || len(entries) == 0 {
			return err
		}
		for i := range entries {
			if i > 0 && d.excess() > 0 {
				d.makeRoom(ctx)
				break // the list has changed
			}
			e := &entries[i]
			path := filepath.Join(d.t.dir, e.File)
			since, err := d.put(ctx, path, e)
			switch {
			case err == nil:
				if err := d.redelivered(ctx, e); err != nil {
					return err
				}
				if err := confirm(e, since); err != nil {
					return err
				}
				if err := d.t.p.FS.Remove(path); err != nil {
					d.t.p.Log.Error(err, "A delivered file stays on the volume until the next start", "trail", d.t.uid)
				}
			case errors.Is(err, upload.ErrConflict):
				if err := d.conflict(ctx, e); err != nil {
					return err
				}
				// A store that has something under each new key, or keeps other
				// bytes than it is sent, gets no new key at once, for ever.
				if d.conflicts++; d.conflicts > 1 {
					return err
				}
			case errors.Is(err, upload.ErrDamaged):
				if err := d.lose(ctx, e); err != nil {
					return err
				}
			default:
				return err
			}
			if errors.Is(err, upload.ErrConflict) || errors.Is(err, upload.ErrDamaged) {
				break // the list has changed
			}
		}
	}
	return ctx.Err()
}

// some returns the first entries under prefix.
func (d *deliverer) some(prefix string) ([]outbox.Entry, error) {
	var entries []outbox.Entry
	err := d.t.p.Spool.Scan(prefix, func(key string, value []byte) error {
		var e outbox.Entry
		if err := json.Unmarshal(value, &e); err != nil {
			return fmt.Errorf("state document %s is damaged: %w", key, err)
		}
		entries = append(entries, e)
		if len(entries) == batch {
			return errStop
		}
		return nil
	})
	if errors.Is(err, errStop) {
		err = nil
	}
	return entries, err
}

// confirmLog stores that a log file is in the bucket. One that was there before
// the receiver was away belongs into the digest of that hour, which is not built
// yet: a verifier would take it for a stranger's until the next one.
func (d *deliverer) confirmLog(e *outbox.Entry, since time.Time) error {
	now := d.t.p.Clock.Now().UTC()
	delivered := now
	if !since.IsZero() && since.Before(now) {
		delivered = since.UTC()
	}
	ops := []spool.Op{spool.Delete(d.t.keys.Log(e.Seq))}
	if d.state.Chain != nil {
		ops = append(ops, spool.Set(d.t.keys.Undigested(e.Seq), record.MustJSON(outbox.Undigested{
			Seq: e.Seq, Delivered: delivered, Retention: d.retention(delivered),
			File: record.DigestLogFile{
				S3Bucket: d.destination.Bucket, S3Object: e.Key, HashValue: e.RawSHA256, HashAlgorithm: record.HashAlgorithm,
				NewestEventTime: e.Newest.UTC().Format(record.TimeFormat), OldestEventTime: e.Oldest.UTC().Format(record.TimeFormat),
			},
		})))
	}
	err := d.update(func(s *outbox.Delivery) {
		s.Delivered += e.Count
		if e.Redelivered {
			s.Redelivered += e.Count
		}
		s.Bytes += e.Size
		s.LastDelivery, s.LastObject = &now, e.Key
		addHour(s, now, e.Size)
	}, ops...)
	if err != nil {
		return err
	}
	failpoint.Hit("upload/after-commit")
	d.failures, d.conflicts = 0, 0
	d.gone(e)
	return nil
}

func (d *deliverer) gone(e *outbox.Entry) {
	d.mu.Lock()
	d.pending.files--
	d.pending.bytes -= e.Size
	if d.doubt.Seq == e.Seq {
		d.doubt = outbox.Entry{}
	}
	d.mu.Unlock()
}

// update changes the Delivery document together with ops.
func (d *deliverer) update(change func(*outbox.Delivery), ops ...spool.Op) error {
	var next outbox.Delivery
	if d.raw != nil { // a copy that shares nothing with what the status reads
		if err := json.Unmarshal(d.raw, &next); err != nil {
			return fmt.Errorf("state document %s is damaged: %w", d.t.keys.Delivery(), err)
		}
	}
	change(&next)
	raw := record.MustJSON(next)
	ops = append(ops, spool.Expect(d.t.keys.Delivery(), d.raw), spool.Set(d.t.keys.Delivery(), raw))
	if err := d.t.p.Spool.Commit(ops...); err != nil {
		return fmt.Errorf("store the delivery state: %w", err)
	}
	d.mu.Lock()
	d.state, d.raw = next, raw
	d.mu.Unlock()
	return nil
}

// addHour counts n bytes in the hour of now and forgets all but the last 24.
func addHour(s *outbox.Delivery, now time.Time, n int64) {
	hour := now.Unix() / 3600
	if s.Hours == nil {
		s.Hours = map[int64]int64{}
	}
	s.Hours[hour] += n
	for h := range s.Hours {
		if h <= hour-24 || h > hour {
			delete(s.Hours, h)
		}
	}
}
