package pipeline

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"

	"github.com/trail-operator/trail-operator/internal/outbox"
	"github.com/trail-operator/trail-operator/internal/record"
	"github.com/trail-operator/trail-operator/internal/spool"
)

// conflict handles an entry whose key belongs to another object: the bytes get
// a new key, and a record tells that somebody wrote where only we should.
func (d *deliverer) conflict(ctx context.Context, e *outbox.Entry) error {
	if err := d.report(ctx, record.EventObjectConflict, e.Key, map[string]any{"s3Object": e.Key}); err != nil {
		return err
	}
	if e.Head != nil {
		end := d.state.Chain.End
		if name, ok := record.ParseDigestKey(e.Key); ok {
			end = name.End
		}
		return d.rewindChain(&end)
	}
	_, _, layout := d.t.newest()
	moved := *e
	moved.Key = layout.LogFile(e.Closed, outbox.Unique())
	key := d.t.keys.Log(e.Seq)
	return d.t.p.Spool.Commit(spool.Expect(key, record.MustJSON(e)), spool.Set(key, record.MustJSON(moved)))
}

// lose handles an entry whose file the volume has lost or damaged. A digest is
// built again; the records of a log file are gone, which is counted and recorded.
func (d *deliverer) lose(ctx context.Context, e *outbox.Entry) error {
	path := filepath.Join(d.t.dir, e.File)
	err := d.t.p.FS.Rename(path, path+outbox.DamagedSuffix)
	if err == nil {
		err = d.t.p.Spool.Commit(d.t.p.damagedOp(d.t.uid, e.File, e))
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("keep a damaged file aside: %w", err)
	}
	d.t.p.Log.Error(nil, "A file of the outbox is damaged; it is kept aside", "trail", d.t.uid, "file", e.File)
	if e.Head != nil {
		return d.rewindChain(d.state.Chain.Taken)
	}
	err = d.report(ctx, record.EventEventsLost, e.File, map[string]any{
		"cause": "OutboxDamaged", "records": e.Count,
		"oldest": e.Oldest.Format(record.TimeFormat), "newest": e.Newest.Format(record.TimeFormat),
	})
	if err != nil {
		return err
	}
	now := d.t.p.Clock.Now().UTC()
	if err := d.update(func(s *outbox.Delivery) {
		s.Damaged += e.Count
		s.LastLoss = &now
		if e.Redelivered { // it has not expired, after all
			s.Redelivered += e.Count
		}
	}, spool.Delete(d.t.keys.Log(e.Seq))); err != nil {
		return err
	}
	d.gone(e)
	return nil
}

// expire drops the oldest files of a trail whose undelivered files take more
// than its quota, or whose turn it is to make room: one tenant's dead bucket
// must not fill everybody's volume. How much is decided once, since a file
// system may show the space of removed files a little later. A file that may be
// in the bucket stays until the bucket has been asked: it would be counted as
// lost, and no digest would list it.
func (d *deliverer) expire(ctx context.Context) error {
	for n := d.excess(); n > 0; {
		entries, err := d.some(d.t.keys.Logs())
		if err != nil {
			return err
		}
		entries = slices.DeleteFunc(entries, func(e outbox.Entry) bool { return d.doubt.Size > 0 && e.Seq == d.doubt.Seq })
		if len(entries) == 0 {
			return nil
		}
		for i := 0; i < len(entries) && n > 0; i++ {
			if err := d.drop(ctx, &entries[i]); err != nil {
				return err
			}
			n -= entries[i].Size
		}
	}
	return nil
}

// drop gives one file up.
func (d *deliverer) drop(ctx context.Context, e *outbox.Entry) error {
	err := d.report(ctx, record.EventEventsLost, e.File, map[string]any{
		"cause": "QuotaExceeded", "records": e.Count,
		"oldest": e.Oldest.Format(record.TimeFormat), "newest": e.Newest.Format(record.TimeFormat),
	})
	if err != nil {
		return err
	}
	now := d.t.p.Clock.Now().UTC()
	ops := []spool.Op{spool.Delete(d.t.keys.Log(e.Seq))}
	keep := d.keeps(e.Size)
	if keep {
		ops = append(ops, d.expiredOp(e))
	}
	err = d.update(func(s *outbox.Delivery) {
		s.LastLoss = &now
		if !e.Redelivered { // which counts as expired still
			s.Expired += e.Count
		}
	}, ops...)
	if err != nil {
		return err
	}
	d.gone(e)
	if keep {
		return d.nowExpired(e)
	}
	if err := d.t.p.FS.Remove(filepath.Join(d.t.dir, e.File)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		// It made no room, and neither would the next one.
		return fmt.Errorf("remove an expired file: %w", err)
	}
	return nil
}

// makeRoom is expire where its failure must not end what is under way: it is
// tried again soon, and every delivery makes room too.
func (d *deliverer) makeRoom(ctx context.Context) {
	if err := d.expire(ctx); err != nil {
		d.t.p.Log.V(1).Info("Files cannot expire; trying again", "trail", d.t.uid, "error", err.Error())
	}
}

// report records an event of our own in this trail. It is durable, and unique
// by name and subject, when report returns.
func (d *deliverer) report(ctx context.Context, name, subject string, details map[string]any) error {
	_, config, _ := d.t.newest()
	return d.t.p.Record(ctx, record.OwnEvent{
		ID: name + "/" + d.t.uid + "/" + subject, Name: name, Time: d.t.p.Clock.Now(),
		Trails: []string{d.t.uid}, TrailARN: config.ARN, Details: record.MustJSON(details),
	})
}

// miss counts and records what was filed, and is neither delivered nor given up
// nor in any entry: the spool has lost a part of its state.
func (d *deliverer) miss(ctx context.Context) error {
	if d.missing <= 0 {
		return nil
	}
	subject := fmt.Sprintf("%s/%d", d.t.p.Spool.UUID(), d.nextSeq)
	if err := d.report(ctx, record.EventEventsLost, subject, map[string]any{"cause": "StateLost", "records": d.missing}); err != nil {
		return err
	}
	now := d.t.p.Clock.Now().UTC()
	if err := d.update(func(s *outbox.Delivery) { s.Damaged, s.LastLoss = s.Damaged+d.missing, &now }); err != nil {
		return err
	}
	d.missing = 0
	return nil
}
