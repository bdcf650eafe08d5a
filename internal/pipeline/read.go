package pipeline

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/trail-operator/trail-operator/internal/mapping"
	"github.com/trail-operator/trail-operator/internal/record"
	"github.com/trail-operator/trail-operator/internal/spool"
)

// consume gives one chunk to every trail that has not had it.
func (p *Pipeline) consume(ctx context.Context, n spool.Position, c *spool.Chunk, trails []*trail) error {
	if n <= p.account.Position && !slices.ContainsFunc(trails, func(t *trail) bool { return !t.resting() }) {
		return errResting
	}
	if a, ok := c.Attached.(*Ahead); ok && a.of != p.mapper() {
		return errRemapped
	}
	now := p.Clock.Now()
	p.measure()
	var due, recording []*trail
	for _, t := range trails {
		if n <= t.position || t.resting() {
			continue
		}
		due = append(due, t)
		t.turn(n-1, now)
		if p.tight {
			t.cut(now) // a closed file makes room in the bucket and in the spool
		}
		if t.records() {
			recording = append(recording, t)
		}
	}
	damaged, err := p.offer(ctx, n, c, recording)
	if err != nil {
		return err
	}
	p.account.take(n, c, damaged, now)
	for _, t := range due {
		if t.resting() {
			continue // it failed on this chunk and starts again from its cursor
		}
		t.position = n
		if t.full(now) {
			t.cut(now)
		}
	}
	return nil
}

// batchSize is how many bytes of records are offered together.
const batchSize = 1 << 20

// offer gives the records of a chunk to the trails. It reports whether some of
// the chunk could not be read. After an error no trail keeps anything of the chunk.
func (p *Pipeline) offer(ctx context.Context, n spool.Position, c *spool.Chunk, trails []*trail) (damaged bool, err error) {
	if len(trails) == 0 {
		return false, nil
	}
	if a, ok := c.Attached.(*Ahead); ok {
		for _, t := range trails {
			t.offer(&a.batch, false)
		}
		return false, nil
	}
	defer func() {
		if err != nil {
			for _, t := range trails {
				t.rest(err, p.Clock.Now())
			}
		}
	}()
	mapper := p.mapper()
	source := sourceOf(c.Source)
	source.Replayed = c.Kind == spool.KindReplayed
	own := c.Kind == spool.KindOwn
	index := 0
	p.batch.Reset()
	for item, err := range spool.Items(c.Data) {
		if err != nil {
			return true, p.lose(ctx, spool.Damaged{Position: n, Reason: err.Error()})
		}
		if err := p.decode(mapper, item, source, own); err != nil {
			// Intake parsed this item before it was stored, so the stored bytes are not those.
			damaged = true
			if err := p.lose(ctx, spool.Damaged{Position: n, Reason: fmt.Sprintf("item %d cannot be decoded", index)}); err != nil {
				return true, err
			}
		}
		index++
		if p.batch.Size() >= batchSize {
			p.give(trails, own)
		}
	}
	p.give(trails, own)
	return damaged, nil
}

// decode adds the record of an item to the batch.
func (p *Pipeline) decode(mapper *mapping.Mapper, item []byte, source mapping.Source, own bool) error {
	if own {
		var e record.OwnEvent
		if err := json.Unmarshal(item, &e); err != nil {
			return err
		}
		p.batch.AddOwn(mapper, &e)
		return nil
	}
	e, err := p.parser.Parse(item)
	if err != nil {
		return err
	}
	p.batch.Add(mapper, e, source)
	return nil
}

// give offers the batch to the trails and empties it.
func (p *Pipeline) give(trails []*trail, own bool) {
	for _, t := range trails {
		t.offer(&p.batch, own)
	}
	p.batch.Reset()
}

// mapper is that of the configuration in force.
func (p *Pipeline) mapper() *mapping.Mapper {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.installed.mapper
}

// sourceOf reads the source of a chunk: <cluster>/<apiserver>, and where its
// audit log was read, /tail behind it.
func sourceOf(chunk string) mapping.Source {
	cluster, apiServer, _ := strings.Cut(chunk, "/")
	via := "webhook"
	if name, ok := strings.CutSuffix(apiServer, "/tail"); ok {
		apiServer, via = name, "tail"
	}
	return mapping.Source{Cluster: cluster, APIServer: apiServer, Via: via}
}

// damaged goes on behind a chunk that the volume lost, once that is recorded.
func (p *Pipeline) damaged(ctx context.Context, d spool.Damaged, trails []*trail) error {
	p.mu.Lock()
	configured := p.generation > 0
	p.mu.Unlock()
	if !configured {
		return errResting // a trail that begins anew, its cursor lost too, begins before the record
	}
	told, err := p.Spool.Get(ownKey(p.lossID(d)))
	if err != nil {
		return err
	}
	if err := p.lose(ctx, d); err != nil {
		return err
	}
	for _, t := range trails {
		if !t.resting() { // one that rests has not read what is before either
			t.position = max(t.position, d.Position)
		}
	}
	if told == nil && d.Position <= p.account.Position { // it was whole when it was counted
		p.account.damage(p.Clock.Now())
	}
	p.account.lose(d.Position, p.Clock.Now())
	return nil
}

// lossID is that of the record of a loss.
func (p *Pipeline) lossID(d spool.Damaged) string {
	return fmt.Sprintf("damaged/%s/%d/%s", p.Spool.UUID(), d.Position, d.Reason)
}

// lose records, once, what the volume lost.
func (p *Pipeline) lose(ctx context.Context, d spool.Damaged) error {
	p.Log.Error(nil, "A stored chunk cannot be read; it is kept aside", "position", d.Position, "reason", d.Reason)
	err := p.Record(ctx, record.OwnEvent{
		ID:      p.lossID(d),
		Name:    record.EventEventsLost,
		Time:    p.Clock.Now(),
		Details: record.MustJSON(map[string]any{"cause": "SpoolDamaged", "position": d.Position, "reason": d.Reason}),
	})
	if err != nil {
		return fmt.Errorf("record the loss of position %d: %w", d.Position, err)
	}
	return nil
}

// storeCursors persists how far trails have come that have no open file.
func (p *Pipeline) storeCursors(trails []*trail) error {
	ops, done := []spool.Op{}, []func(){}
	for _, t := range trails {
		if t.file != nil || t.position <= t.cursor.Position {
			continue
		}
		next, raw := t.advanced()
		ops = append(ops, spool.Expect(t.keys.Cursor(), t.cursorRaw), spool.Set(t.keys.Cursor(), raw))
		done = append(done, func() { t.advance(next, raw) })
	}
	raw := record.MustJSON(p.account)
	if string(raw) != string(p.accountRaw) {
		ops = append(ops, spool.Expect(accountKey, p.accountRaw), spool.Set(accountKey, raw))
		done = append(done, func() {
			p.accountRaw = raw
			p.mu.Lock()
			p.stored = p.account.clone()
			p.mu.Unlock()
		})
	}
	if len(ops) == 0 {
		return nil
	}
	if err := p.Spool.Commit(ops...); err != nil {
		return fmt.Errorf("store cursors: %w", err)
	}
	for _, f := range done {
		f()
	}
	return nil
}

// trim lets the spool drop what every trail has in its own files.
func (p *Pipeline) trim(trails []*trail) error {
	var stored account
	if len(p.accountRaw) > 0 {
		if err := json.Unmarshal(p.accountRaw, &stored); err != nil {
			return fmt.Errorf("read the account of intake: %w", err)
		}
	}
	upTo := stored.Position
	for _, t := range trails {
		upTo = min(upTo, t.cursor.Position)
	}
	if upTo == 0 || !p.applied() {
		return nil
	}
	if err := p.Spool.Trim(upTo); err != nil {
		return fmt.Errorf("trim the spool: %w", err)
	}
	return nil
}

// applied reports whether it is known of all trails what they still need: not
// until there is a configuration, and not while a trail of it could not be loaded.
func (p *Pipeline) applied() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.generation > 0 && !p.unloaded
}
