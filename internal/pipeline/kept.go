package pipeline

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/trail-operator/trail-operator/internal/outbox"
	"github.com/trail-operator/trail-operator/internal/receiverstatus"
	"github.com/trail-operator/trail-operator/internal/spool"
)

// What an abandoned file was, in the order of their IDs.
const (
	abandonedDigest  = "d"
	abandonedExpired = "e"
	abandonedLog     = "l"
)

// Kept calls fn for everything of a kind that is kept, behind the one with the ID
// after, in the order of IDs. trail, unless it is empty, is the UID of the only one.
func (p *Pipeline) Kept(kind, trail, after string, fn func(receiverstatus.Kept) error) error {
	next := func(k receiverstatus.Kept) error {
		if k.ID <= after || trail != "" && k.Trail != trail {
			return nil
		}
		return fn(k)
	}
	switch kind {
	case receiverstatus.KeptAbandoned:
		for _, uid := range p.abandonedTrails() {
			if trail != "" && uid != trail {
				continue
			}
			for _, what := range []string{abandonedDigest, abandonedExpired, abandonedLog} {
				if err := p.listAbandoned(uid, what, next); err != nil {
					return err
				}
			}
		}
	case receiverstatus.KeptExpired:
		for _, uid := range p.uids() {
			if trail != "" && uid != trail {
				continue
			}
			list, err := outbox.List[outbox.Expired](p.Spool, outbox.KeysOf(uid).AllExpired())
			if err != nil {
				return err
			}
			for i := range list {
				if err := next(describeExpired(uid, &list[i])); err != nil {
					return err
				}
			}
		}
	case receiverstatus.KeptFile:
		files, err := outbox.List[outbox.DamagedFile](p.Spool, outbox.DamagedFiles)
		if err != nil {
			return err
		}
		for i := range files {
			if err := next(p.describeDamaged(&files[i])); err != nil {
				return err
			}
		}
	case receiverstatus.KeptChunk:
		return p.listChunks(next)
	}
	return nil
}

// uids are those of the trails, in order.
func (p *Pipeline) uids() []string {
	trails := p.snapshot()
	uids := make([]string, 0, len(trails))
	for _, t := range trails {
		uids = append(uids, t.uid)
	}
	slices.Sort(uids)
	return uids
}

func (p *Pipeline) listAbandoned(uid, what string, fn func(receiverstatus.Kept) error) error {
	return p.Spool.Scan(abandonedPrefix(uid, what), func(key string, value []byte) error {
		e, err := entryOf(key, value, what == abandonedExpired)
		if err != nil {
			return err
		}
		return fn(p.describeAbandoned(uid, what, &e))
	})
}

func abandonedPrefix(uid, what string) string {
	keys := outbox.KeysOf(uid)
	switch what {
	case abandonedDigest:
		return keys.Digests()
	case abandonedExpired:
		return keys.AllExpired()
	}
	return keys.Logs()
}

func (p *Pipeline) describeAbandoned(uid, what string, e *outbox.Entry) receiverstatus.Kept {
	p.mu.Lock()
	left := p.abandoned[uid]
	p.mu.Unlock()
	k := describe(uid, e)
	k.ID = fmt.Sprintf("%s-%s-%s%016x", receiverstatus.KeptAbandoned, uid, what, e.Seq)
	k.Kind, k.Time, k.Until, k.TrailName = receiverstatus.KeptAbandoned, left.Since, untilOf(left.Since), left.Name
	switch k.Reason = "the trail was deleted before it was delivered"; what {
	case abandonedExpired:
		k.Reason = "the trail gave it up over its quota, and was deleted"
	case abandonedDigest:
		k.Reason = "a digest of a trail that was deleted before it was delivered"
	}
	return k
}

func describeExpired(uid string, x *outbox.Expired) receiverstatus.Kept {
	k := describe(uid, &x.Entry)
	k.ID = fmt.Sprintf("%s-%s-%016x", receiverstatus.KeptExpired, uid, x.Entry.Seq)
	k.Kind, k.Time, k.Until, k.Asked = receiverstatus.KeptExpired, x.At, untilOf(x.At), x.Asked
	k.Reason = "given up to make room: the bucket was away for too long"
	return k
}

func (p *Pipeline) describeDamaged(f *outbox.DamagedFile) receiverstatus.Kept {
	k := receiverstatus.Kept{Trail: f.Trail, Bytes: p.size(f)}
	k.Reason = "found damaged on the volume; nothing else is known of it"
	if f.Entry != nil {
		k = describe(f.Trail, f.Entry)
		k.Reason = "the volume has damaged it; SHA-256 and size are those that it should have"
	}
	k.ID = receiverstatus.KeptFile + "-" + strings.TrimPrefix(f.Key(), outbox.DamagedFiles)
	k.Kind, k.Time = receiverstatus.KeptFile, f.At
	return k
}

// describe says what an entry tells of its file.
func describe(uid string, e *outbox.Entry) receiverstatus.Kept {
	k := receiverstatus.Kept{Trail: uid, Bytes: e.Size, SHA256: e.SHA256, Key: e.Key, Records: e.Count}
	if e.Count > 0 {
		k.Oldest, k.Newest = &e.Oldest, &e.Newest
	}
	return k
}

func (p *Pipeline) listChunks(fn func(receiverstatus.Kept) error) error {
	keeper, ok := p.Spool.(spool.Keeper)
	if !ok {
		return nil
	}
	chunks, err := keeper.Aside()
	if err != nil {
		return err
	}
	slices.SortFunc(chunks, func(a, b spool.Aside) int { return strings.Compare(a.Name, b.Name) })
	for _, c := range chunks {
		err := fn(receiverstatus.Kept{
			ID: receiverstatus.KeptChunk + "-" + c.Name, Kind: receiverstatus.KeptChunk, Time: c.At.UTC(), Bytes: c.Bytes,
			Reason: "the spool could not read it back; it is kept as " + c.Name + " in the folder spool/damaged",
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// KeptOne describes one, nil when there is none with the ID.
func (p *Pipeline) KeptOne(id string) (*receiverstatus.Kept, error) {
	kind, _, _ := strings.Cut(id, "-")
	var found *receiverstatus.Kept
	if kind == receiverstatus.KeptAbandoned || kind == receiverstatus.KeptExpired {
		_, k, err := p.entry(id)
		return k, err
	}
	err := p.Kept(kind, "", "", func(k receiverstatus.Kept) error {
		if k.ID == id {
			found = &k
			return errStop
		}
		return nil
	})
	if errors.Is(err, errStop) {
		err = nil
	}
	return found, err
}

// entry finds the entry of an expired or abandoned file.
func (p *Pipeline) entry(id string) (*outbox.Entry, *receiverstatus.Kept, error) {
	kind, rest, _ := strings.Cut(id, "-")
	i := strings.LastIndexByte(rest, '-')
	if i < 0 {
		return nil, nil, nil
	}
	uid, number := rest[:i], rest[i+1:]
	what := ""
	if kind == receiverstatus.KeptAbandoned && number != "" {
		what, number = number[:1], number[1:]
	}
	seq, err := strconv.ParseUint(number, 16, 64)
	if err != nil || len(number) != 16 {
		return nil, nil, nil //nolint:nilerr // no such ID
	}
	p.mu.Lock()
	_, gone := p.abandoned[uid]
	_, present := p.trails[uid]
	p.mu.Unlock()
	keys := outbox.KeysOf(uid)
	switch {
	case kind == receiverstatus.KeptExpired && present:
		raw, err := p.Spool.Get(keys.Expired(seq))
		if raw == nil || err != nil {
			return nil, nil, err
		}
		var x outbox.Expired
		if err := json.Unmarshal(raw, &x); err != nil {
			return nil, nil, fmt.Errorf("state document %s is damaged: %w", keys.Expired(seq), err)
		}
		k := describeExpired(uid, &x)
		return &x.Entry, &k, nil
	case kind == receiverstatus.KeptAbandoned && gone && strings.Contains(abandonedDigest+abandonedExpired+abandonedLog, what):
		key := abandonedPrefix(uid, what) + number
		raw, err := p.Spool.Get(key)
		if raw == nil || err != nil {
			return nil, nil, err
		}
		e, err := entryOf(key, raw, what == abandonedExpired)
		if err != nil {
			return nil, nil, err
		}
		k := p.describeAbandoned(uid, what, &e)
		return &e, &k, nil
	}
	return nil, nil, nil
}

// Content opens an expired or abandoned file; nil when there is none with the ID.
func (p *Pipeline) Content(id string) (io.ReadSeekCloser, *receiverstatus.Kept, error) {
	e, k, err := p.entry(id)
	if e == nil || err != nil {
		return nil, nil, err
	}
	f, err := p.FS.Open(filepath.Join(p.folder(k.Trail), e.File))
	if err != nil {
		return nil, nil, fmt.Errorf("open a kept file: %w", err)
	}
	return f, k, nil
}

// Redeliver asks for the delivery of an expired file. It goes where its trail
// delivers to now, as soon as that bucket answers.
func (p *Pipeline) Redeliver(id string) (receiverstatus.KeptOutcome, error) {
	out := receiverstatus.KeptOutcome{ID: id, Outcome: receiverstatus.KeptGone}
	e, k, err := p.entry(id)
	if e == nil || err != nil {
		return out, err
	}
	if k.Kind == receiverstatus.KeptAbandoned {
		out.Outcome, out.Reason = receiverstatus.KeptRefused, "its trail is gone, and with it the credentials: save it with --to-dir"
		return out, nil
	}
	p.mu.Lock()
	t := p.trails[k.Trail]
	p.mu.Unlock()
	if t == nil {
		return out, nil
	}
	g, _, _ := t.newest()
	if g.Deleting {
		out.Outcome, out.Reason = receiverstatus.KeptRefused, "its trail is being deleted: save it with --to-dir"
		return out, nil
	}
	x, ok, err := p.ask(t, e.Seq)
	if !ok || err != nil {
		return out, err
	}
	out.Outcome, out.Records = receiverstatus.DeliveryAsked, x.Entry.Count
	t.deliverer.mu.Lock()
	failed := t.deliverer.failed
	t.deliverer.mu.Unlock()
	switch {
	case g.Suspended:
		out.Reason = "its trail is suspended: it is delivered when the trail records again"
	case failed != nil:
		out.Reason = "deliveries of its trail fail: " + failed.Reason
	}
	return out, nil
}

// CountKept says how much is kept, and had to go since the start.
func (p *Pipeline) CountKept(s *receiverstatus.KeptStatus) {
	for _, t := range p.snapshot() {
		t.deliverer.mu.Lock()
		s.ExpiredFiles += t.deliverer.expired.files
		s.ExpiredBytes += t.deliverer.expired.bytes
		t.deliverer.mu.Unlock()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, left := range p.abandoned {
		s.AbandonedFiles += left.files
		s.AbandonedBytes += left.bytes
	}
	s.Damaged = p.damagedFiles.files + p.damagedChunks.files
	s.DamagedBytes = p.damagedFiles.bytes + p.damagedChunks.bytes
	s.Removed = map[string]int64{
		receiverstatus.KeptExpired: p.removed.expired, receiverstatus.KeptAbandoned: p.removed.abandoned, "damaged": p.removed.damaged,
	}
}
