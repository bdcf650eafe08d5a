package pipeline

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/trail-operator/trail-operator/internal/outbox"
	"github.com/trail-operator/trail-operator/internal/record"
	"github.com/trail-operator/trail-operator/internal/spool"
)

// ownPrefix holds the IDs of events of our own that are in the spool, so that
// each is recorded once however often it is handed over.
const ownPrefix = "own/"

// rememberOwn is how long those IDs are kept.
const rememberOwn = 35 * 24 * time.Hour

// Record puts events of our own into the spool, behind everything that is
// there. It returns when they are durable. An event whose ID was recorded in
// the last 35 days is not recorded again.
func (p *Pipeline) Record(ctx context.Context, events ...record.OwnEvent) error {
	var chunks []spool.Chunk
	var ops []spool.Op
	now := p.Clock.Now()
	for i := range events {
		e := &events[i]
		if e.ID == "" || e.Name == "" || e.Time.IsZero() {
			return errors.New("an event of our own needs an ID, a name and a time")
		}
		sum := sha256.Sum256([]byte(e.ID))
		key := ownKey(e.ID)
		known, err := p.Spool.Get(key)
		if err != nil {
			return err
		}
		if known != nil {
			continue
		}
		ops = append(ops, spool.Set(key, strconv.AppendInt(nil, now.Unix(), 10)))
		chunks = append(chunks, spool.Chunk{
			ID: spool.ID(sum), Kind: spool.KindOwn, Source: "own", Received: now,
			Items: 1, Data: spool.AppendItem(nil, record.MustJSON(e)),
		})
	}
	if len(chunks) == 0 {
		return nil
	}
	_, err := p.Spool.Append(ctx, chunks, ops...)
	return err
}

// ownKey is the key under which the ID of an event of our own is remembered.
func ownKey(id string) string { return fmt.Sprintf("%s%x", ownPrefix, sha256.Sum256([]byte(id))) }

// forgetOwnEvents removes IDs that are older than rememberOwn.
func (p *Pipeline) forgetOwnEvents() error {
	var ops []spool.Op
	err := p.Spool.Scan(ownPrefix, func(key string, value []byte) error {
		at, err := strconv.ParseInt(string(value), 10, 64)
		if err != nil || p.Clock.Since(time.Unix(at, 0)) > rememberOwn {
			ops = append(ops, spool.Delete(key))
		}
		return nil
	})
	if err != nil || len(ops) == 0 {
		return err
	}
	return p.Spool.Commit(ops...)
}

// leaveOthers removes the files of a spool that is gone, and with it everything
// that was known of them, once that is recorded, for which there must be trails.
func (p *Pipeline) leaveOthers() error {
	names, err := outbox.Others(p.FS, p.Dir, p.Spool.UUID())
	if err != nil || len(names) == 0 || len(p.snapshot()) == 0 {
		return err
	}
	for _, name := range names {
		p.Log.Error(nil, "The files of a spool that is gone are removed from the outbox; what they held was not delivered", "spool", name)
		err := p.Record(context.Background(), record.OwnEvent{
			ID: "spool/" + name, Name: record.EventEventsLost, Time: p.Clock.Now(),
			Details: record.MustJSON(map[string]any{"cause": "SpoolGone", "spool": name}),
		})
		if err != nil {
			return fmt.Errorf("record that a spool is gone: %w", err)
		}
	}
	_, err = outbox.RemoveOthers(p.FS, p.Dir, p.Spool.UUID())
	return err
}
