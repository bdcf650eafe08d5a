package pipeline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"time"

	"github.com/trail-operator/trail-operator/internal/failpoint"
	"github.com/trail-operator/trail-operator/internal/outbox"
	"github.com/trail-operator/trail-operator/internal/record"
	"github.com/trail-operator/trail-operator/internal/spool"
)

// Expired files of a trail stay on the volume, for keptFor at most, while nobody
// needs their room: they may take a keptShare of the trail's quota, beside it,
// and go, the oldest first, when they take more, or the volume is short of space.
const (
	keptFor   = abandonedFor
	keptShare = 4
)

// kept counts files that are on the volume beside what has to be delivered.
type kept struct {
	files int
	bytes int64
}

func (k *kept) add(files int, bytes int64) {
	k.files += files
	k.bytes += bytes
}

// loadExpired counts the expired files that are kept, when the trail is loaded.
func (d *deliverer) loadExpired() error {
	list, err := outbox.List[outbox.Expired](d.t.p.Spool, d.t.keys.AllExpired())
	if err != nil {
		return err
	}
	for _, x := range list {
		d.expired.add(1, x.Entry.Size)
		d.files[x.Entry.File] = true
		d.asked = d.asked || x.Asked != nil
	}
	return nil
}

// keeps reports whether an expired file of so many bytes may stay.
func (d *deliverer) keeps(bytes int64) bool {
	return bytes <= d.t.p.TrailQuota/keptShare && d.t.p.shortage() <= 0
}

// expiredOp notes a file that expires but stays. One that was asked for remains so.
func (d *deliverer) expiredOp(e *outbox.Entry) spool.Op {
	x := outbox.Expired{Entry: *e, At: d.t.p.Clock.Now().UTC()}
	if e.Redelivered {
		x.Asked = &x.At
	}
	return spool.Set(d.t.keys.Expired(e.Seq), record.MustJSON(x))
}

// nowExpired counts a file that has expired and stayed, and removes older ones
// that have no room any more.
func (d *deliverer) nowExpired(e *outbox.Entry) error {
	d.mu.Lock()
	d.expired.add(1, e.Size)
	d.asked = d.asked || e.Redelivered
	over := d.expired.bytes - d.t.p.TrailQuota/keptShare
	d.mu.Unlock()
	d.t.p.countSpare()
	if over <= 0 {
		return nil
	}
	return d.t.p.forgetExpired(d.t.uid, func(x outbox.Expired) bool {
		due := over > 0
		over -= x.Entry.Size
		return due
	})
}

// forgetExpired removes expired files of a trail, the oldest first, while the
// function says so.
func (p *Pipeline) forgetExpired(uid string, due func(outbox.Expired) bool) error {
	keys := outbox.KeysOf(uid)
	type found struct {
		key string
		raw []byte
		of  outbox.Expired
	}
	for {
		var list []found
		err := p.Spool.Scan(keys.AllExpired(), func(key string, value []byte) error {
			var x outbox.Expired
			if err := json.Unmarshal(value, &x); err != nil {
				return fmt.Errorf("state document %s is damaged: %w", key, err)
			}
			if len(list) == batch || !due(x) {
				return errStop
			}
			list = append(list, found{key, append([]byte(nil), value...), x})
			return nil
		})
		if err != nil && !errors.Is(err, errStop) {
			return err
		}
		for _, x := range list {
			err := p.Spool.Commit(spool.Expect(x.key, x.raw), spool.Delete(x.key))
			if errors.Is(err, spool.ErrConflict) {
				continue // it has just been asked for, or is gone
			}
			if err != nil {
				return err
			}
			p.countExpired(uid, x.of.Entry.Size)
			if err := p.remove(uid, x.of.Entry.File); err != nil {
				return err
			}
		}
		if len(list) < batch {
			return nil
		}
	}
}

// remove removes a file of a trail that nobody knows any more.
func (p *Pipeline) remove(uid, file string) error {
	if err := p.FS.Remove(filepath.Join(p.folder(uid), file)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove a file that is not kept any more: %w", err)
	}
	return nil
}

// countExpired notes that an expired file of a trail is not kept any more.
func (p *Pipeline) countExpired(uid string, bytes int64) {
	p.mu.Lock()
	t := p.trails[uid]
	if left, ok := p.abandoned[uid]; ok {
		left.add(-1, -bytes)
		p.abandoned[uid] = left
	}
	p.removed.expired++
	p.mu.Unlock()
	if t != nil {
		t.deliverer.mu.Lock()
		t.deliverer.expired.add(-1, -bytes)
		t.deliverer.mu.Unlock()
	}
	p.countSpare()
}

// countSpare sums up what is on the volume that nobody waits for.
func (p *Pipeline) countSpare() {
	var sum int64
	p.mu.Lock()
	for _, left := range p.abandoned {
		sum += left.bytes
	}
	p.mu.Unlock()
	for _, t := range p.snapshot() {
		t.deliverer.mu.Lock()
		sum += t.deliverer.expired.bytes
		t.deliverer.mu.Unlock()
	}
	p.spare.Store(sum)
}

// ask notes that expired files shall be delivered after all; the deliverer takes
// them back as soon as its bucket answers. It reports false for one that is gone.
func (p *Pipeline) ask(t *trail, seq uint64) (outbox.Expired, bool, error) {
	key := t.keys.Expired(seq)
	for {
		raw, err := p.Spool.Get(key)
		if raw == nil || err != nil {
			return outbox.Expired{}, false, err
		}
		var x outbox.Expired
		if err := json.Unmarshal(raw, &x); err != nil {
			return x, false, fmt.Errorf("state document %s is damaged: %w", key, err)
		}
		if x.Asked == nil {
			now := p.Clock.Now().UTC()
			x.Asked = &now
			err = p.Spool.Commit(spool.Expect(key, raw), spool.Set(key, record.MustJSON(x)))
			if errors.Is(err, spool.ErrConflict) {
				continue // look again
			}
			if err != nil {
				return x, false, err
			}
		}
		t.deliverer.mu.Lock()
		t.deliverer.asked = true
		t.deliverer.mu.Unlock()
		t.deliverer.poke()
		return x, true, nil
	}
}

// readmit takes expired files back into the outbox whose delivery was asked for:
// while the bucket answers, as far as the quota goes, and not while the trail is
// suspended, since no digest would list them. An entry keeps its key, so that an
// object that is there already, unconfirmed when the file expired, is found to be
// the same; only where the trail's objects now lie elsewhere it gets a new one.
func (d *deliverer) readmit() error {
	g, _, layout := d.t.newest()
	d.mu.Lock()
	// A file that may be in the bucket is settled before one that would be sent
	// ahead of it.
	ready := d.asked && d.failed == nil && d.doubt.Size == 0 && !g.Suspended
	if ready {
		d.asked = false
	}
	d.mu.Unlock()
	if !ready {
		return nil
	}
	again := func() {
		d.mu.Lock()
		d.asked = true
		d.mu.Unlock()
	}
	list, err := outbox.List[outbox.Expired](d.t.p.Spool, d.t.keys.AllExpired())
	if err != nil {
		again()
		return err
	}
	for i := range list {
		x := &list[i]
		if x.Asked == nil {
			continue
		}
		d.mu.Lock()
		room := d.pending.bytes+x.Entry.Size <= d.t.p.TrailQuota
		d.mu.Unlock()
		if !room {
			again()
			return nil // when others are delivered
		}
		e := x.Entry
		e.Redelivered = true
		if !strings.HasPrefix(e.Key, layout.LogFiles()) {
			e.Key = layout.LogFile(e.Closed, outbox.Unique())
		}
		failpoint.Hit("redeliver/before-commit")
		err := d.t.p.Spool.Commit(
			spool.Expect(d.t.keys.Expired(e.Seq), record.MustJSON(x)), spool.Delete(d.t.keys.Expired(e.Seq)),
			spool.Expect(d.t.keys.Log(e.Seq), nil), spool.Set(d.t.keys.Log(e.Seq), record.MustJSON(e)),
		)
		if errors.Is(err, spool.ErrConflict) {
			continue // it is gone
		}
		if err != nil {
			again()
			return fmt.Errorf("take an expired file back: %w", err)
		}
		failpoint.Hit("redeliver/after-commit")
		d.mu.Lock()
		d.expired.add(-1, -e.Size)
		d.pending.files++
		d.pending.bytes += e.Size
		d.mu.Unlock()
		d.t.p.countSpare()
	}
	return nil
}

// redelivered records that a file is in the bucket after it had expired. The
// record is durable before the file counts as delivered.
func (d *deliverer) redelivered(ctx context.Context, e *outbox.Entry) error {
	if !e.Redelivered {
		return nil
	}
	return d.report(ctx, record.EventEventsRedelivered, e.Key, map[string]any{
		"s3Object": e.Key, "records": e.Count, "sha256": e.SHA256,
		"oldest": e.Oldest.Format(record.TimeFormat), "newest": e.Newest.Format(record.TimeFormat),
	})
}

// untilOf is when something that is kept since then goes at the latest.
func untilOf(since time.Time) *time.Time {
	until := since.Add(keptFor)
	return &until
}
