package pipeline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/trail-operator/trail-operator/internal/outbox"
	"github.com/trail-operator/trail-operator/internal/record"
	"github.com/trail-operator/trail-operator/internal/spool"
)

// abandonedFor is how long the files of a trail are kept that left the
// configuration before everything was delivered.
const abandonedFor = 30 * 24 * time.Hour

// abandonedTrail is a trail that is gone and has left files.
type abandonedTrail struct {
	outbox.Abandoned
	kept
}

// abandon takes note of a trail that is not in the configuration: nothing stays
// of one that has delivered everything.
func (p *Pipeline) abandon(uid string) error {
	keys := outbox.KeysOf(uid)
	var left abandonedTrail
	undigested := false
	for _, prefix := range []string{keys.Logs(), keys.Digests(), keys.AllExpired(), keys.AllUndigested()} {
		err := p.Spool.Scan(prefix, func(key string, value []byte) error {
			if prefix == keys.AllUndigested() {
				undigested = true
				return errStop
			}
			e, err := entryOf(key, value, prefix == keys.AllExpired())
			if left.add(1, e.Size); e.Head != nil {
				left.bytes -= e.Size // digests are small, and stay to the end
			}
			return err
		})
		if err != nil && !errors.Is(err, errStop) {
			return err
		}
	}
	if left.files == 0 && !undigested {
		return p.forgetTrail(uid)
	}
	raw, err := p.Spool.Get(keys.Abandoned())
	if err != nil {
		return err
	}
	if raw == nil {
		p.mu.Lock()
		left.Abandoned = p.leaving[uid]
		delete(p.leaving, uid)
		p.mu.Unlock()
		left.Since = p.Clock.Now().UTC()
		p.Log.Info("A trail left with files undelivered; they are kept for 30 days", "trail", uid, "files", left.files)
		if err := p.Spool.Commit(spool.Set(keys.Abandoned(), record.MustJSON(left.Abandoned))); err != nil {
			return err
		}
	} else if left.Abandoned, err = outbox.ParseAbandoned(raw); err != nil {
		left.Since = p.Clock.Now().UTC() // what cannot be read is not a reason to delete
	}
	p.mu.Lock()
	p.abandoned[uid] = left
	p.mu.Unlock()
	return nil
}

// entryOf reads an entry, or that of an expired file.
func entryOf(key string, value []byte, expired bool) (outbox.Entry, error) {
	var x outbox.Expired
	var err error
	if expired {
		err = json.Unmarshal(value, &x)
	} else {
		err = json.Unmarshal(value, &x.Entry)
	}
	if err != nil {
		return outbox.Entry{}, fmt.Errorf("state document %s is damaged: %w", key, err)
	}
	return x.Entry, nil
}

// forgetTrail removes everything of a trail that is not in the configuration.
func (p *Pipeline) forgetTrail(uid string) error {
	var ops []spool.Op
	if err := p.Spool.Scan(outbox.KeysOf(uid).All(), func(key string, _ []byte) error {
		ops = append(ops, spool.Delete(key))
		return nil
	}); err != nil {
		return err
	}
	if err := p.Spool.Commit(ops...); err != nil {
		return err
	}
	p.mu.Lock()
	delete(p.abandoned, uid)
	delete(p.leaving, uid)
	p.mu.Unlock()
	if err := p.FS.RemoveAll(p.folder(uid)); err != nil {
		return fmt.Errorf("remove its folder: %w", err)
	}
	return nil
}

// abandonedTrails returns their UIDs in order.
func (p *Pipeline) abandonedTrails() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	uids := make([]string, 0, len(p.abandoned))
	for uid := range p.abandoned {
		uids = append(uids, uid)
	}
	slices.Sort(uids)
	return uids
}

// forgetAbandoned removes log files of trails that are gone, the oldest of each
// first, while the function says so. What they held was not delivered and is
// lost now, which is recorded before. A trail that has no files left is forgotten.
func (p *Pipeline) forgetAbandoned(ctx context.Context, uid string, due func(outbox.Entry) bool) error {
	keys := outbox.KeysOf(uid)
	for done := false; !done; {
		var entries []outbox.Entry
		err := p.Spool.Scan(keys.Logs(), func(key string, value []byte) error {
			e, err := entryOf(key, value, false)
			if err != nil {
				return err
			}
			if !due(e) {
				done = true
				return errStop
			}
			if entries = append(entries, e); len(entries) == batch {
				return errStop
			}
			return nil
		})
		if err != nil && !errors.Is(err, errStop) {
			return err
		}
		if len(entries) == 0 {
			return nil
		}
		if err := p.Record(ctx, p.lostWith(uid, entries)...); err != nil {
			return fmt.Errorf("record what an abandoned trail has lost: %w", err)
		}
		for i := range entries {
			if err := p.Spool.Commit(spool.Delete(keys.Log(entries[i].Seq))); err != nil {
				return err
			}
			p.countAbandoned(uid, &entries[i])
			if err := p.remove(uid, entries[i].File); err != nil {
				return err
			}
		}
		p.Log.Error(nil, "Files of a trail that is gone are removed; what they held was not delivered", "trail", uid, "files", len(entries))
	}
	return nil
}

func (p *Pipeline) countAbandoned(uid string, e *outbox.Entry) {
	p.mu.Lock()
	if left, ok := p.abandoned[uid]; ok {
		left.add(-1, -e.Size)
		p.abandoned[uid] = left
	}
	p.removed.abandoned++
	p.mu.Unlock()
	p.countSpare()
}

// lostWith are the records of what is lost with files of an abandoned trail. One
// that had expired was recorded then.
func (p *Pipeline) lostWith(uid string, entries []outbox.Entry) (events []record.OwnEvent) {
	p.mu.Lock()
	arn := p.abandoned[uid].ARN
	p.mu.Unlock()
	for i := range entries {
		e := &entries[i]
		events = append(events, record.OwnEvent{
			ID: record.EventEventsLost + "/" + uid + "/" + e.File, Name: record.EventEventsLost, Time: p.Clock.Now(),
			Trails: []string{uid}, TrailARN: arn, Details: record.MustJSON(map[string]any{
				"cause": "TrailAbandoned", "records": e.Count,
				"oldest": e.Oldest.Format(record.TimeFormat), "newest": e.Newest.Format(record.TimeFormat),
			}),
		})
	}
	return events
}
