package installation

import (
	"bytes"
	"context"
	"maps"
	"slices"

	"github.com/trail-operator/trail-operator/internal/manifests"
	"github.com/trail-operator/trail-operator/internal/receiverconfig"
	"github.com/trail-operator/trail-operator/internal/record"
)

// entrySize is more than one file adds to receiver.json, which holds its name
// and its hash.
const entrySize = 128

// change is the file of one trail that is to be written.
type change struct {
	uid          string
	organization bool   // of an OrganizationTrail
	raw          []byte // nil: the file goes
	done         bool
	err          error
}

// Put renders a trail. It returns ErrTooLarge when the trail, or one more
// trail, does not fit. To stop a trail that is rendered always fits.
func (p *Publisher) Put(ctx context.Context, t receiverconfig.Trail) error {
	raw := record.MustJSON(t)
	if len(raw) > receiverconfig.MaxTrailSize {
		return ErrTooLarge
	}
	return p.change(ctx, &change{uid: t.UID, organization: t.Namespace == "", raw: raw})
}

// Remove takes a trail out. It is no error when there is none.
func (p *Publisher) Remove(ctx context.Context, uid string) error {
	return p.change(ctx, &change{uid: uid})
}

// change writes one file of a trail, or removes it, together with the changes
// that came while others were written.
func (p *Publisher) change(ctx context.Context, c *change) error {
	p.mu.Lock()
	delete(p.later, c.uid)
	p.mu.Unlock()
	if p.unchanged(c.uid, c.raw) {
		return nil
	}
	p.mu.Lock()
	p.waiting = append(p.waiting, c)
	p.mu.Unlock()
	p.writing.Lock()
	defer p.writing.Unlock()
	if c.done { // by the one before
		return c.err
	}
	p.mu.Lock()
	batch := slices.Concat(p.waiting, p.takeLater())
	p.waiting = nil
	p.mu.Unlock()
	err := p.commit(ctx, batch)
	for _, other := range batch {
		if other.done = true; other.err == nil {
			other.err = err
		}
	}
	return c.err
}

// file returns the file of a trail as it was last rendered.
func (p *Publisher) file(uid string) (raw []byte, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.rendered(uid)
}

// rendered is file, with mu held.
func (p *Publisher) rendered(uid string) (raw []byte, ok bool) {
	for i := range p.shards {
		if raw, ok = p.shards[i].files[receiverconfig.TrailFile(uid)]; ok {
			return raw, true
		}
	}
	return nil, false
}

// unchanged reports whether everything is rendered as it is to be, which it is
// nearly always.
func (p *Publisher) unchanged(uid string, raw []byte) bool {
	present, ok := p.file(uid)
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.loaded && p.listed && ok == (raw != nil) && bytes.Equal(present, raw)
}

// commit writes the shards of all changes, then receiver.json. Those that do
// not fit fail alone; when a Secret cannot be written, all do.
func (p *Publisher) commit(ctx context.Context, batch []*change) error {
	if err := p.load(ctx); err != nil {
		return err
	}
	if !p.sound && p.installed == nil {
		return errNoBase
	}
	room := manifests.MaxSecretData - manifests.DataSize(p.base.files)
	var next [manifests.ReceiverShards]map[string][]byte // nil: no change
	for _, c := range batch {
		n, files := p.place(c, &next)
		file := receiverconfig.TrailFile(c.uid)
		present, ok := files[file]
		if ok == (c.raw != nil) && bytes.Equal(present, c.raw) {
			continue
		}
		if c.raw != nil && (!fits(files, c) || !ok && room < entrySize) {
			c.err = ErrTooLarge
			continue
		}
		if next[n] == nil {
			files = maps.Clone(files)
			next[n] = files
		}
		switch {
		case c.raw == nil:
			delete(files, file)
			continue
		case !ok:
			room -= entrySize
		}
		files[file] = c.raw
	}
	changed := false
	for n, files := range next {
		if files != nil {
			changed = true
			if err := p.apply(ctx, &p.shards[n], manifests.ReceiverShardName(n), files); err != nil {
				return err
			}
		}
	}
	if p.listed && !changed {
		return nil
	}
	config, pem, err := p.draft()
	if err != nil {
		return err
	}
	if p.sound && maps.Equal(config.Files, p.config.Files) {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.listed = true
		return nil
	}
	return p.write(ctx, config, pem)
}

// renew renders the files of trails anew that another version has written: the
// receiver refuses them, and with them the files of all others. It does not wait
// for the trails to be reconciled, as some of them may have a problem.
func (p *Publisher) renew(ctx context.Context) error {
	if err := p.load(ctx); err != nil || p.renewed {
		return err
	}
	var batch []*change
	for i := range p.shards {
		for name, raw := range p.shards[i].files {
			uid, ok := receiverconfig.TrailUID(name)
			if _, err := receiverconfig.ParseTrail(raw); err == nil || !ok {
				continue
			}
			t, ok := receiverconfig.RecoverTrail(raw)
			renewed := record.MustJSON(t)
			if _, err := receiverconfig.ParseTrail(renewed); ok && err == nil && t.UID == uid {
				batch = append(batch, &change{uid: uid, raw: renewed})
			}
		}
	}
	if len(batch) > 0 {
		if err := p.commit(ctx, batch); err != nil {
			return err
		}
	}
	p.renewed = true
	return nil
}
