package pipeline

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/trail-operator/trail-operator/internal/digest"
	"github.com/trail-operator/trail-operator/internal/failpoint"
	"github.com/trail-operator/trail-operator/internal/outbox"
	"github.com/trail-operator/trail-operator/internal/record"
	"github.com/trail-operator/trail-operator/internal/spool"
)

// maxListed bounds the log files of one digest, so that the verifier's bound on
// the size of a digest holds also after a bucket was away for weeks.
const maxListed = 20_000

// startChain begins a digest chain for a trail that validates and has none.
func (d *deliverer) startChain() error {
	g, _, _ := d.t.newest()
	if d.state.Chain != nil || g.Suspended || !g.Validation {
		return nil
	}
	now := d.t.p.Clock.Now().UTC().Truncate(time.Second)
	return d.update(func(s *outbox.Delivery) {
		s.Chain = &outbox.Chain{ID: uuid.NewString(), Start: now, End: now, PreviousChain: s.LastChain, Resolved: s.LastChain != nil}
	})
}

// digests sends what is built, builds what is due and sends that too. A chain
// ends when its trail has stopped, or validation was switched off, and nothing
// is left to list. Nothing is built unless all log files are settled: one whose
// confirmation is still to come may have been stored hours ago.
func (d *deliverer) digests(ctx context.Context, settled bool) error {
	if err := d.send(ctx, d.t.keys.Digests(), d.confirmDigest); err != nil {
		return err
	}
	if d.state.Chain == nil || d.state.Chain.Final || !settled {
		return nil
	}
	if err := d.looking(ctx, d.resolve); err != nil {
		return err
	}
	now := d.t.p.Clock.Now()
	built := false
	for _, w := range digest.Windows(d.state.Chain.End, now) {
		if err := d.build(w, false); err != nil {
			return err
		}
		built = true
	}
	if d.ending() {
		if err := d.build(digest.FinalWindow(d.state.Chain.End, now), true); err != nil {
			return err
		}
		built = true
	}
	if !built {
		return nil
	}
	return d.send(ctx, d.t.keys.Digests(), d.confirmDigest)
}

// ending reports whether the chain's last digest can be built.
func (d *deliverer) ending() bool {
	g, _, _ := d.t.newest()
	if !g.Suspended && g.Validation {
		return false
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.t.drained.Load() == g.Ordinal && d.pending.files == 0
}

// build signs the digest of one window and commits it to the outbox.
func (d *deliverer) build(w digest.Window, final bool) error {
	chain := *d.state.Chain
	if chain.Taken != nil && !chain.Taken.Before(w.End) {
		w.End = chain.Taken.Add(time.Second) // the key of the exact hour belongs to somebody else
	}
	all, err := outbox.List[outbox.Undigested](d.t.p.Spool, d.t.keys.AllUndigested())
	if err != nil {
		return err
	}
	_, config, layout := d.t.newest()
	d.t.p.mu.Lock()
	key := d.t.p.installed.key
	d.t.p.mu.Unlock()
	in := digest.Input{
		Layout: layout, Trail: config.Name, Bucket: config.Destination.Bucket, Window: w,
		Sequence: chain.Sequence + 1, ChainID: chain.ID, Final: final, Signer: key,
		Lifecycle: config.Lifecycle,
	}
	if chain.Sequence == 0 {
		in.PreviousChain = chain.PreviousChain
	} else {
		in.Previous = &digest.Previous{Bucket: chain.Bucket, Object: chain.Object, HashValue: chain.HashValue, Signature: chain.Signature}
	}
	number := d.state.Digests + 1
	var ops []spool.Op
	var retention outbox.Retention
	for _, u := range all {
		if len(in.Files) == maxListed {
			in.Final, final = false, false // the next digest lists the rest
			break
		}
		if u.Digest != 0 || (!final && u.Delivered.After(w.End)) {
			continue
		}
		in.Files = append(in.Files, u.File)
		retention = retention.Longer(u.Retention)
		u.Digest = number
		ops = append(ops, spool.Set(d.t.keys.Undigested(u.Seq), record.MustJSON(u)))
	}
	out, err := digest.Build(in)
	if err != nil {
		return err
	}
	failpoint.Hit("digest/before-write")
	file, err := outbox.WriteFile(d.t.p.FS, d.t.dir, out.Compressed)
	if err != nil {
		return err
	}
	entry := outbox.Entry{
		Seq: number, Key: out.Key, File: file, SHA256: record.HexSHA256(out.Compressed), RawSHA256: out.HashValue,
		Size: int64(len(out.Compressed)), Closed: d.t.p.Clock.Now().UTC(), Metadata: out.Metadata, Head: &out.Head,
		Retention: retention,
	}
	chain.Sequence, chain.End, chain.Final = in.Sequence, w.End, final
	chain.Bucket, chain.Object, chain.HashValue, chain.Signature = out.Head.Bucket, out.Key, out.HashValue, out.Signature
	failpoint.Hit("digest/before-commit")
	err = d.update(func(s *outbox.Delivery) { s.Digests, s.Chain = number, &chain },
		append(ops, spool.Set(d.t.keys.Digest(number), record.MustJSON(entry)))...)
	if err != nil {
		return err
	}
	failpoint.Hit("digest/after-commit")
	d.mu.Lock()
	d.pending.digests++
	d.mu.Unlock()
	return nil
}

// confirmDigest stores that a digest is in the bucket, and with it the files it lists.
func (d *deliverer) confirmDigest(e *outbox.Entry, _ time.Time) error {
	ops := []spool.Op{spool.Delete(d.t.keys.Digest(e.Seq))}
	err := d.t.p.Spool.Scan(d.t.keys.AllUndigested(), func(key string, value []byte) error {
		var u outbox.Undigested
		if err := json.Unmarshal(value, &u); err != nil {
			return fmt.Errorf("state document %s is damaged: %w", key, err)
		}
		if u.Digest == e.Seq {
			ops = append(ops, spool.Delete(key))
		}
		return nil
	})
	if err != nil {
		return err
	}
	now := d.t.p.Clock.Now().UTC()
	err = d.update(func(s *outbox.Delivery) {
		s.Head, s.LastDigest = e.Head, &now
		if e.Head.Final {
			s.LastChain = &record.ChainEnd{ChainID: e.Head.ChainID, Bucket: e.Head.Bucket, Object: e.Head.Object, HashValue: e.Head.HashValue, Signature: e.Head.Signature}
			s.Chain = nil
		}
	}, ops...)
	if err != nil {
		return err
	}
	failpoint.Hit("digest/after-confirm")
	d.failures, d.conflicts = 0, 0
	d.mu.Lock()
	d.pending.digests--
	d.mu.Unlock()
	return nil
}

// rewindChain takes back every digest that is not in the bucket: the chain goes
// on from the last one that is. taken is an end of a window that cannot be used.
func (d *deliverer) rewindChain(taken *time.Time) error {
	entries, err := outbox.List[outbox.Entry](d.t.p.Spool, d.t.keys.Digests())
	if err != nil {
		return err
	}
	all, err := outbox.List[outbox.Undigested](d.t.p.Spool, d.t.keys.AllUndigested())
	if err != nil {
		return err
	}
	var ops []spool.Op
	for _, e := range entries {
		ops = append(ops, spool.Delete(d.t.keys.Digest(e.Seq)))
	}
	for _, u := range all {
		if u.Digest != 0 {
			u.Digest = 0
			ops = append(ops, spool.Set(d.t.keys.Undigested(u.Seq), record.MustJSON(u)))
		}
	}
	err = d.update(func(s *outbox.Delivery) {
		c := s.Chain
		c.Final, c.Sequence, c.End, c.Taken = false, 0, c.Start, taken
		c.Bucket, c.Object, c.HashValue, c.Signature = "", "", "", ""
		if h := s.Head; h != nil && h.ChainID == c.ID {
			c.Sequence, c.Bucket, c.Object, c.HashValue, c.Signature = h.Sequence, h.Bucket, h.Object, h.HashValue, h.Signature
			if end, err := time.Parse(record.TimeFormat, h.EndTime); err == nil {
				c.End = end
			}
		}
	}, ops...)
	if err != nil {
		return err
	}
	d.mu.Lock()
	d.pending.digests = 0
	d.mu.Unlock()
	return nil
}
