// Package pipeline moves events from the spool to the buckets: one reader
// decodes and maps each chunk once for all trails, each trail writes what it
// selects into its own log files, and one deliverer per trail brings files and
// digests into the bucket. A trail's trouble stays its own.
package pipeline

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/utils/clock"

	"github.com/trail-operator/trail-operator/internal/auditevent"
	"github.com/trail-operator/trail-operator/internal/mapping"
	"github.com/trail-operator/trail-operator/internal/objectstore"
	"github.com/trail-operator/trail-operator/internal/outbox"
	"github.com/trail-operator/trail-operator/internal/record"
	"github.com/trail-operator/trail-operator/internal/signing"
	"github.com/trail-operator/trail-operator/internal/spool"
)

const (
	// pollInterval is how often files are looked at for their age.
	pollInterval = 500 * time.Millisecond
	// cursorInterval is how often cursors of trails without an open file are
	// stored, so that the spool can be trimmed.
	cursorInterval = 10 * time.Second
	// accountKey is the document that counts what intake has stored.
	accountKey = "intake/account"
)

// Options are what a Pipeline works with.
type Options struct {
	Spool spool.Spool
	FS    outbox.FS
	Dir   string // of the outbox; a folder per spool and trail is made in it
	Open  objectstore.Opener
	Clock clock.Clock
	Log   logr.Logger
	// TrailQuota is the most that the undelivered files of one trail may take
	// on the volume, in bytes; the oldest expire beyond it.
	TrailQuota int64
	// FreeBytes tells what is free on the volume; nil means that it is never
	// full. No log file is written while less than half of ReserveBytes is free,
	// and below ReserveBytes trails whose bucket is away give files up.
	FreeBytes    func() (int64, error)
	ReserveBytes int64
	// VolumeBytes is the size of the volume. The undelivered files of all trails
	// may take half of what it has above the reserve; 0 means that nothing bounds them.
	VolumeBytes int64
}

// Pipeline runs the trails of one receiver.
type Pipeline struct {
	Options
	wake         chan struct{}
	lookPatience time.Duration

	mu         sync.Mutex
	installed  installation
	trails     map[string]*trail
	generation int64
	configErr  string
	// unloaded: a trail of the configuration has a cursor and could not be put in
	// force, so that nobody knows what it still needs of the spool.
	unloaded bool
	started  time.Time
	stored   account // as last stored, for the status
	// What is kept of trails that are gone, by their UIDs, and what is known of
	// those that have just left.
	abandoned map[string]abandonedTrail
	leaving   map[string]outbox.Abandoned
	// What is damaged and kept aside, and what had to go.
	damagedFiles, damagedChunks kept
	removed                     removed

	spare atomic.Int64 // bytes of expired and abandoned files
	ahead ahead

	// reading is held while a step runs; applying counts those who wait for it,
	// for whom the reader ends its step early.
	reading  sync.Mutex
	applying atomic.Int64

	// Of the reader alone.
	parser     auditevent.Parser
	batch      mapping.Batch
	account    account
	accountRaw []byte
	lastStored time.Time
	lastTidy   time.Time
	tight      bool // no log file may be written
}

// installation is the part of the configuration that all trails share.
type installation struct {
	mapper *mapping.Mapper
	layout record.Layout
	key    *signing.PrivateKey
}

// New returns a pipeline without trails. Apply gives it some; Run works.
func New(o Options) (*Pipeline, error) {
	p := &Pipeline{Options: o, wake: make(chan struct{}, 1), lookPatience: lookPatience, trails: map[string]*trail{}, leaving: map[string]outbox.Abandoned{}, started: o.Clock.Now()}
	raw, err := o.Spool.Get(accountKey)
	if err != nil {
		return nil, fmt.Errorf("read the account of intake: %w", err)
	}
	if _, err := outbox.Load(o.Spool, accountKey, &p.account); err != nil {
		return nil, err
	}
	p.accountRaw, p.stored = raw, p.account.clone()
	return p, p.forgetOwnEvents()
}

// folder is where the files of a trail are. It carries the spool's UUID, so
// that files never outlive the state that knows them.
func (p *Pipeline) folder(uid string) string {
	return filepath.Join(p.Dir, p.Spool.UUID(), uid)
}

// Run reads the spool until ctx ends. It then closes the open files, so that a
// restart has little to read again.
func (p *Pipeline) Run(ctx context.Context) error {
	done := make(chan struct{})
	go func() {
		defer close(done)
		p.watchTail(ctx)
	}()
	timer := p.Clock.NewTimer(pollInterval)
	defer timer.Stop()
	for ctx.Err() == nil {
		if err := p.step(ctx); err != nil && ctx.Err() == nil {
			p.Log.Error(err, "Reading the spool failed; trying again")
		}
		timer.Reset(pollInterval)
		select {
		case <-ctx.Done():
		case <-p.wake:
		case <-timer.C():
		}
	}
	<-done
	p.close()
	return nil
}

// watchTail wakes the reader when events have arrived.
func (p *Pipeline) watchTail(ctx context.Context) {
	for at := p.Spool.Tail(); ; at = p.Spool.Tail() {
		if p.Spool.Wait(ctx, at) != nil {
			return
		}
		p.poke()
	}
}

func (p *Pipeline) poke() {
	select {
	case p.wake <- struct{}{}:
	default: // the reader is awake
	}
}

// errReconfigured ends a read, since a configuration waits to be applied.
var errReconfigured = errors.New("a configuration waits")

// errRemapped ends a read at records that were made under another configuration:
// the next read makes them anew.
var errRemapped = errors.New("the configuration has changed")

// errResting ends a read that is of no use to any trail.
var errResting = errors.New("all trails rest")

// step reads what has come, turns configurations, closes old files, stores
// cursors and trims.
func (p *Pipeline) step(ctx context.Context) error {
	p.reading.Lock()
	defer p.reading.Unlock()
	trails := p.snapshot()
	now := p.Clock.Now()
	from := p.account.Position
	for _, t := range trails {
		if t.wake(now); !t.resting() {
			from = min(from, t.position)
		}
	}
	var unrecorded error // of a loss: nothing behind it is read
	err := p.Spool.Read(ctx, from, func(n spool.Position, c *spool.Chunk) error {
		if c.Attached != nil {
			defer c.Attached.Release()
		}
		if unrecorded != nil {
			return unrecorded
		}
		if p.applying.Load() > 0 {
			return errReconfigured
		}
		return p.consume(ctx, n, c, trails)
	}, func(d spool.Damaged) {
		if unrecorded == nil {
			unrecorded = p.damaged(ctx, d, trails)
		}
	})
	if err == nil {
		err = unrecorded
	}
	switch {
	case errors.Is(err, errReconfigured), errors.Is(err, errRemapped):
		p.poke()
		err = nil
	case errors.Is(err, errResting):
		err = nil
	}
	now = p.Clock.Now()
	p.measure()
	for _, t := range trails {
		t.turn(t.position, now)
		if p.tight || t.full(now) {
			t.cut(now)
		}
	}
	p.relieve()
	p.tidy(ctx, now)
	if now.Sub(p.lastStored) >= cursorInterval || p.Clock.Since(p.lastStored) < 0 {
		p.lastStored = now
		if serr := p.storeCursors(trails); serr != nil {
			return errors.Join(err, serr)
		}
		return errors.Join(err, p.trim(trails))
	}
	return err
}

// snapshot returns the present trails.
func (p *Pipeline) snapshot() []*trail {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Collect(maps.Values(p.trails))
}

// close ends the open files and stops the deliverers.
func (p *Pipeline) close() {
	trails := p.snapshot()
	now := p.Clock.Now()
	for _, t := range trails {
		t.cut(now)
	}
	if err := p.storeCursors(trails); err != nil {
		p.Log.Error(err, "Cursors could not be stored; the next start reads a little more")
	}
	for _, t := range trails {
		t.stop()
	}
}
