package pipeline

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/trail-operator/trail-operator/internal/outbox"
	"github.com/trail-operator/trail-operator/internal/record"
	"github.com/trail-operator/trail-operator/internal/spool"
)

const (
	// tidyInterval is how often it is looked for what was kept for long enough.
	tidyInterval = time.Minute
	// What is damaged is kept aside up to these bounds, chunks and files apart;
	// the oldest goes first.
	maxDamaged      = 100
	maxDamagedBytes = 128 << 20
)

// removed counts, since the start, what was kept and had to go.
type removed struct{ expired, abandoned, damaged int64 }

// tidy removes what was kept for long enough. The reader calls it between two
// reads; what fails is tried again a minute later.
func (p *Pipeline) tidy(ctx context.Context, now time.Time) {
	if since := now.Sub(p.lastTidy); since >= 0 && since < tidyInterval {
		return
	}
	p.lastTidy = now
	err := errors.Join(p.tidyExpired(now), p.tidyAbandoned(ctx, now), p.tidyFiles(ctx), p.tidyChunks(ctx))
	p.countSpare()
	if err != nil {
		p.Log.Error(err, "Not everything could be removed that was kept for long enough; trying again")
	}
}

func (p *Pipeline) tidyExpired(now time.Time) error {
	var errs []error
	for _, t := range p.snapshot() {
		errs = append(errs, p.forgetExpired(t.uid, func(x outbox.Expired) bool { return now.Sub(x.At) > keptFor }))
	}
	return errors.Join(errs...)
}

func (p *Pipeline) tidyAbandoned(ctx context.Context, now time.Time) error {
	var errs []error
	for _, uid := range p.abandonedTrails() {
		p.mu.Lock()
		left := p.abandoned[uid]
		p.mu.Unlock()
		if now.Sub(left.Since) < abandonedFor {
			continue
		}
		err := p.forgetAbandoned(ctx, uid, func(outbox.Entry) bool { return true })
		if err == nil {
			p.Log.Info("What a trail has left is removed after 30 days", "trail", uid)
			err = p.forgetTrail(uid)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// damagedOp notes a file of a trail that is kept aside.
func (p *Pipeline) damagedOp(uid, file string, e *outbox.Entry) spool.Op {
	f := outbox.DamagedFile{Trail: uid, File: file + outbox.DamagedSuffix, At: p.Clock.Now().UTC(), Entry: e}
	return spool.Set(f.Key(), record.MustJSON(f))
}

// noteDamaged notes the damaged files in a trail's folder that nobody has noted: those
// of before there were notes, or of a crash.
func (p *Pipeline) noteDamaged(uid string) error {
	names, err := p.FS.List(p.folder(uid))
	if err != nil {
		return err
	}
	if names = slices.DeleteFunc(names, func(n string) bool { return !strings.HasSuffix(n, outbox.DamagedSuffix) }); len(names) == 0 {
		return nil
	}
	files, err := outbox.List[outbox.DamagedFile](p.Spool, outbox.DamagedFiles)
	if err != nil {
		return err
	}
	var ops []spool.Op
	for _, name := range names {
		if !slices.ContainsFunc(files, func(f outbox.DamagedFile) bool { return f.Trail == uid && f.File == name }) {
			ops = append(ops, p.damagedOp(uid, strings.TrimSuffix(name, outbox.DamagedSuffix), nil))
		}
	}
	if len(ops) == 0 {
		return nil
	}
	return p.Spool.Commit(ops...)
}

// size is that of a damaged file, as far as it is known.
func (p *Pipeline) size(f *outbox.DamagedFile) int64 {
	if f.Entry != nil {
		return f.Entry.Size
	}
	r, err := p.FS.Open(filepath.Join(p.folder(f.Trail), f.File))
	if err != nil {
		return 0
	}
	defer r.Close()
	n, err := r.Seek(0, 2)
	if err != nil {
		return 0
	}
	return n
}

// tidyFiles keeps damaged files within their bounds.
func (p *Pipeline) tidyFiles(ctx context.Context) error {
	files, err := outbox.List[outbox.DamagedFile](p.Spool, outbox.DamagedFiles)
	if err != nil {
		return err
	}
	known := map[string]bool{} // trails
	for _, t := range p.snapshot() {
		known[t.uid] = true
	}
	for _, uid := range p.abandonedTrails() {
		known[uid] = true
	}
	var now kept
	var errs []error
	for i, f := range slices.Backward(files) { // the newest first
		bytes := p.size(&f)
		if known[f.Trail] && now.files < maxDamaged && now.bytes+bytes <= maxDamagedBytes {
			now.add(1, bytes)
			continue
		}
		err := p.Record(ctx, keptRemoved(f.Key(), []string{f.Trail}, map[string]any{"kind": "file", "file": f.File, "bytes": bytes}, p.Clock.Now()))
		if err == nil {
			err = p.remove(f.Trail, f.File)
		}
		if err == nil {
			err = p.Spool.Commit(spool.Delete(files[i].Key()))
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("remove the oldest damaged files: %w", err))
			break
		}
		p.mu.Lock()
		p.removed.damaged++
		p.mu.Unlock()
	}
	p.mu.Lock()
	p.damagedFiles = now
	p.mu.Unlock()
	return errors.Join(errs...)
}

// tidyChunks keeps what the spool has put aside within its bounds.
func (p *Pipeline) tidyChunks(ctx context.Context) error {
	keeper, ok := p.Spool.(spool.Keeper)
	if !ok {
		return nil
	}
	chunks, err := keeper.Aside()
	if err != nil {
		return err
	}
	var now kept
	for _, c := range slices.Backward(chunks) {
		// The newest stays, however large it is: it is one of a kind.
		if now.files == 0 || now.files < maxDamaged && now.bytes+c.Bytes <= maxDamagedBytes {
			now.add(1, c.Bytes)
			continue
		}
		err := p.Record(ctx, keptRemoved(p.Spool.UUID()+"/"+c.Name, nil, map[string]any{"kind": "chunk", "file": c.Name, "bytes": c.Bytes}, p.Clock.Now()))
		if err == nil {
			err = keeper.RemoveAside(c.Name)
		}
		if err != nil {
			return fmt.Errorf("remove the oldest damaged chunks: %w", err)
		}
		p.mu.Lock()
		p.removed.damaged++
		p.mu.Unlock()
	}
	p.mu.Lock()
	p.damagedChunks = now
	p.mu.Unlock()
	return nil
}

// keptRemoved records that something damaged, whose loss was recorded when it
// was found, is not even kept aside any more.
func keptRemoved(subject string, trails []string, details map[string]any, now time.Time) record.OwnEvent {
	details["cause"] = "MakesRoom"
	return record.OwnEvent{
		ID: record.EventDamagedDataRemoved + "/" + subject, Name: record.EventDamagedDataRemoved, Time: now,
		Trails: trails, Details: record.MustJSON(details),
	}
}

// freeSpare makes room for so many bytes with files that nobody waits for: those
// that have expired, then those of trails that are gone, the oldest of each first.
func (p *Pipeline) freeSpare(ctx context.Context, n int64) error {
	type spare struct {
		uid string
		of  outbox.Entry
		at  time.Time
	}
	for _, abandoned := range []bool{false, true} {
		var list []spare
		uids := p.abandonedTrails()
		if !abandoned {
			for _, t := range p.snapshot() {
				uids = append(uids, t.uid)
			}
		}
		for _, uid := range uids {
			prefix := outbox.KeysOf(uid).AllExpired()
			if abandoned {
				prefix = outbox.KeysOf(uid).Logs()
			}
			if err := p.Spool.Scan(prefix, func(key string, value []byte) error {
				e, err := entryOf(key, value, !abandoned)
				list = append(list, spare{uid, e, e.Closed})
				return err
			}); err != nil {
				return err
			}
		}
		slices.SortFunc(list, func(a, b spare) int { return a.at.Compare(b.at) })
		gone := map[string]map[uint64]bool{}
		for _, s := range list {
			if n <= 0 {
				break
			}
			if gone[s.uid] == nil {
				gone[s.uid] = map[uint64]bool{}
			}
			gone[s.uid][s.of.Seq] = true
			n -= s.of.Size
		}
		for uid, seqs := range gone {
			var err error
			if abandoned {
				err = p.forgetAbandoned(ctx, uid, func(e outbox.Entry) bool { return seqs[e.Seq] })
			} else {
				err = p.forgetExpired(uid, func(x outbox.Expired) bool { return seqs[x.Entry.Seq] })
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}
