package pipeline

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"

	"github.com/trail-operator/trail-operator/internal/mapping"
	"github.com/trail-operator/trail-operator/internal/outbox"
	"github.com/trail-operator/trail-operator/internal/receiverconfig"
	"github.com/trail-operator/trail-operator/internal/record"
	"github.com/trail-operator/trail-operator/internal/selector"
	"github.com/trail-operator/trail-operator/internal/signing"
	"github.com/trail-operator/trail-operator/internal/spool"
)

// Apply puts a configuration in force. A new trail, and a new generation of a
// known one, begin behind the present tail of the spool; that position is
// durable when Apply returns. A trail that cannot be put in force keeps its last
// configuration and nobody else's waits for it: the error names it, and Apply
// may be called again with the same configuration.
func (p *Pipeline) Apply(c *receiverconfig.Config, trails []receiverconfig.Trail, key *signing.PrivateKey) error {
	mapper, err := mapping.New(mapping.Config{Installation: c.Installation, TrustedProxies: c.TrustedProxies, Kinds: c.Kinds})
	if err != nil {
		return fmt.Errorf("apply the configuration: %w", err)
	}
	// The reader stands still meanwhile: what it holds of a trail that leaves
	// must not be stored when the trail is back.
	p.applying.Add(1)
	p.reading.Lock()
	defer p.reading.Unlock()
	p.applying.Add(-1)
	present := map[string]bool{}
	for i := range trails {
		present[trails[i].UID] = true
	}
	gone, refused := p.applyTrails(c, trails, present, mapper, key)
	for _, t := range gone { // without p.mu, which a deliverer may wait for
		t.stop()
		t.discard()
	}
	if err := p.removeAbandoned(present); err != nil {
		return err
	}
	if err := p.leaveOthers(); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.generation = max(c.Generation, 1)
	p.configErr = ""
	p.poke()
	return refused
}

// applyTrails returns the trails that are not in the configuration any more,
// and an error that names those that could not be put in force.
func (p *Pipeline) applyTrails(c *receiverconfig.Config, trails []receiverconfig.Trail, present map[string]bool, mapper *mapping.Mapper, key *signing.PrivateKey) ([]*trail, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.installed = installation{mapper: mapper, key: key, layout: record.Layout{
		Organization: c.Installation.Organization, Account: c.Installation.Account, Region: c.Installation.Region,
	}}
	var refused []error
	p.unloaded = false
	for i := range trails {
		if err := p.applyTrail(&trails[i]); err != nil {
			refused = append(refused, fmt.Errorf("apply trail %s: %w", trails[i].Name, err))
			p.unloaded = p.unloaded || p.trails[trails[i].UID] == nil && p.began(trails[i].UID)
		}
	}
	var gone []*trail
	for uid, t := range p.trails {
		if !present[uid] {
			gone = append(gone, t)
			delete(p.trails, uid)
			p.leaving[uid] = outbox.Abandoned{Name: t.config.Name, ARN: t.config.ARN}
		}
	}
	return gone, errors.Join(refused...)
}

// began reports whether a trail has come somewhere in the spool, or may have.
func (p *Pipeline) began(uid string) bool {
	cursor, err := p.Spool.Get(outbox.KeysOf(uid).Cursor())
	return err != nil || cursor != nil
}

// Refused notes why a newer configuration is not in force.
func (p *Pipeline) Refused(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.configErr = err.Error()
}

func (p *Pipeline) applyTrail(config *receiverconfig.Trail) error {
	layout := p.installed.layout
	layout.Prefix = strings.Trim(config.Destination.Prefix, "/")
	if config.Namespace != "" {
		layout.Organization = "" // only the trails of a whole cluster are the organization's
	}
	t, known := p.trails[config.UID]
	if !known {
		var err error
		if t, err = p.load(config); err != nil {
			return err
		}
	}
	t.mu.Lock()
	generations := slices.Clone(t.generations)
	t.mu.Unlock()
	want := outbox.Generation{
		Number: config.Generation, Namespace: config.Namespace,
		Suspended: config.Suspended || config.Deleting, Deleting: config.Deleting,
		Selection: config.Selection, Validation: config.LogFileValidation,
		MaxAge: time.Duration(config.MaxFileAgeSeconds) * time.Second, MaxSize: int64(config.MaxFileSizeMiB) << 20,
	}
	if n := len(generations); n == 0 || !same(generations[n-1], want) {
		if _, err := selector.Compile(want.Selection, want.Namespace); err != nil {
			if !known && n > 0 { // it goes on with what it had before the restart
				p.adopt(t, config, layout, generations)
			}
			return fmt.Errorf("its selection is refused: %w", err)
		}
		want.Start = p.Spool.Tail()
		want.Ordinal = 1
		if n > 0 {
			want.Ordinal = generations[n-1].Ordinal + 1
		}
		generations = append(generations, want)
	}
	generations = inForce(generations, t.storedPosition())
	raw := record.MustJSON(generations)
	ops := []spool.Op{spool.Set(t.keys.Generations(), raw), spool.Delete(t.keys.Abandoned())}
	if known && bytes.Equal(raw, t.stored) {
		ops = nil // every trail's head comes by here each hour; only changes are worth a sync
	}
	if !known && t.cursorRaw == nil {
		t.cursor.Position = want.Start
		t.cursorRaw = record.MustJSON(t.cursor)
		t.position, t.counts = want.Start, t.cursor
		ops = append(ops, spool.Expect(t.keys.Cursor(), nil), spool.Set(t.keys.Cursor(), t.cursorRaw))
	}
	if len(ops) > 0 {
		if err := p.Spool.Commit(ops...); err != nil {
			return err
		}
	}
	t.stored = raw
	p.adopt(t, config, layout, generations)
	return nil
}

// adopt puts generations in force that are durable, and starts the trail if it
// is new here.
func (p *Pipeline) adopt(t *trail, config *receiverconfig.Trail, layout record.Layout, generations []outbox.Generation) {
	t.mu.Lock()
	t.generations, t.config, t.layout = generations, *config, layout
	t.selection = receiverconfig.SelectionSHA256(generations[len(generations)-1].Selection)
	t.mu.Unlock()
	if p.trails[t.uid] == nil {
		p.trails[t.uid] = t
		t.start()
	}
	t.deliverer.poke()
}

// same compares what a generation decides, not when it began.
func same(a, b outbox.Generation) bool {
	a.Start, a.Ordinal = b.Start, b.Ordinal
	return equality.Semantic.DeepEqual(a, b)
}

// inForce drops the generations that ended before the stored cursor: nothing
// will be read under them again.
func inForce(list []outbox.Generation, cursor spool.Position) []outbox.Generation {
	for len(list) > 1 && cursor >= list[1].Start {
		list = list[1:]
	}
	return list
}

// load makes the run-time form of a trail from its state documents.
func (p *Pipeline) load(config *receiverconfig.Trail) (*trail, error) {
	t := &trail{p: p, uid: config.UID, keys: outbox.KeysOf(config.UID), dir: p.folder(config.UID), first: true}
	if _, err := outbox.Load(p.Spool, t.keys.Generations(), &t.generations); err != nil {
		return nil, err
	}
	raw, err := p.Spool.Get(t.keys.Cursor())
	if err != nil {
		return nil, err
	}
	if _, err := outbox.Load(p.Spool, t.keys.Cursor(), &t.cursor); err != nil {
		return nil, err
	}
	t.cursorRaw, t.position, t.counts = raw, t.cursor.Position, t.cursor
	d, err := newDeliverer(t)
	if err != nil {
		return nil, err
	}
	t.deliverer = d
	// After damage the cursor may be older than entries: their numbers are not
	// given out again, and they count.
	t.cursor.NextSeq = max(t.cursor.NextSeq, d.nextSeq)
	if d.missing < 0 {
		t.cursor.Filed -= d.missing
		t.cursor.Accepted -= d.missing
		t.counts = t.cursor
	}
	// A file that no entry names may be one of those that are missing. A trail
	// without a cursor is new, and has no files, or has lost all its state.
	if d.missing != 0 || raw == nil {
		if err := p.FS.MkdirAll(t.dir); err != nil {
			return nil, err
		}
		if err := outbox.KeepOrphans(p.FS, t.dir, d.owns); err != nil {
			return nil, err
		}
	}
	if err := outbox.Prepare(p.FS, t.dir, d.owns); err != nil {
		return nil, err
	}
	return t, p.noteDamaged(t.uid)
}

func (t *trail) storedPosition() spool.Position {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.counts.Position
}

// start runs the deliverer until the trail goes.
func (t *trail) start() {
	ctx, cancel := context.WithCancel(context.Background())
	t.cancel = cancel
	t.stopped.Go(func() { t.deliverer.run(ctx) })
}

// removeAbandoned forgets trails that left the configuration: at once when
// everything was delivered, after abandonedFor otherwise.
func (p *Pipeline) removeAbandoned(present map[string]bool) error {
	uids := map[string]bool{}
	err := p.Spool.Scan("trail/", func(key string, _ []byte) error {
		uid, _, _ := strings.Cut(strings.TrimPrefix(key, "trail/"), "/")
		if !present[uid] {
			uids[uid] = true
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("look for abandoned trails: %w", err)
	}
	p.mu.Lock()
	p.abandoned = map[string]abandonedTrail{}
	p.mu.Unlock()
	defer p.countSpare()
	for uid := range uids {
		if err := p.abandon(uid); err != nil {
			return fmt.Errorf("abandon trail %s: %w", uid, err)
		}
	}
	return nil
}

var errStop = errors.New("stop")
