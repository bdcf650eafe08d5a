// Package pebble is the spool on a volume of its own, with Pebble as its log
// and its key-value store.
//
// One goroutine, the appender, applies all writes in order; Pebble's log makes
// them durable in the same order. Several batches may wait for their sync at
// once, and one sync serves all that are waiting. Nothing is answered, and
// nothing becomes visible to readers, before its sync has returned.
package pebble

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/semaphore"
	"k8s.io/utils/clock"

	"github.com/trail-operator/trail-operator/internal/spool"
)

// Defaults of Options.
const (
	DefaultReserveBytes = 512 << 20
	DefaultDedupeWindow = 15 * time.Minute
)

// Options of a spool. The zero value is ready for use.
type Options struct {
	// FS holds the files, by default the operating system's.
	FS vfs.FS
	// ReserveBytes of the volume are kept free by Append, by default
	// DefaultReserveBytes. Trim, Commit and Pebble's own work may use them.
	ReserveBytes int64
	// DedupeWindow is how long, in receiver uptime, a chunk ID is remembered.
	DedupeWindow time.Duration
	Clock        clock.PassiveClock
	Logger       logr.Logger
	// Registerer receives the metrics; nil for none.
	Registerer prometheus.Registerer
	// FreeBytes tells what is free on the volume, by default as FS says.
	FreeBytes func() (int64, error)
	// Fatal ends the process, by default with os.Exit: Pebble cannot go on, and
	// does not expect it to return.
	Fatal func(why string)
}

// store implements spool.Spool.
type store struct {
	opts    Options
	dir     string
	db      *pebble.DB
	cache   *pebble.Cache
	uuid    string
	metrics *metrics
	aside   *aside
	note    *noteFile

	compactions   *scheduler
	backgroundLog logLimit

	// Uptime goes on where the last write of the receiver before left it.
	opened       time.Time
	uptimeBefore time.Duration

	admission *semaphore.Weighted // bytes of chunks inside Append
	requests  chan *request
	applied   chan *group
	inFlight  atomic.Int64 // bytes applied and not yet synced

	// Owned by the appender.
	next    spool.Position
	groups  uint64        // batches since the spool was made
	now     time.Duration // uptime, which never goes back
	expired uint64        // generations of chunk IDs below are deleted
	filter  idFilter

	tail watermark
	// State documents may be read when the last group that wrote one is durable.
	stateApplied atomic.Uint64
	durable      watermark

	attached attached

	trim trimmer

	mu       sync.Mutex
	closed   bool
	users    sync.WaitGroup // calls that are using db
	closing  chan struct{}  // closed by Close, ends those who wait for more
	failed   chan struct{}  // closed when a sync has failed
	failOnce sync.Once
	workers  sync.WaitGroup
}

// Open opens the spool in dir, and creates it there when there is none. It
// refuses what it cannot read; it never deletes it.
func Open(dir string, opts Options) (spool.Spool, error) {
	if opts.FS == nil {
		opts.FS = vfs.Default
	}
	if opts.ReserveBytes == 0 {
		opts.ReserveBytes = DefaultReserveBytes
	}
	if opts.DedupeWindow <= 0 {
		opts.DedupeWindow = DefaultDedupeWindow
	}
	if opts.Clock == nil {
		opts.Clock = clock.RealClock{}
	}
	if opts.Logger.GetSink() == nil {
		opts.Logger = logr.Discard()
	}
	if opts.FreeBytes == nil {
		opts.FreeBytes = func() (int64, error) { return freeBytes(opts.FS, dir) }
	}
	if opts.Fatal == nil {
		opts.Fatal = func(string) { os.Exit(1) }
	}
	s := &store{
		opts:      opts,
		dir:       dir,
		cache:     pebble.NewCache(cacheSize),
		metrics:   newMetrics(opts.Registerer),
		opened:    opts.Clock.Now(),
		admission: semaphore.NewWeighted(maxAdmitted),
		requests:  make(chan *request, maxQueued),
		applied:   make(chan *group, maxSyncs),
		closing:   make(chan struct{}),
		failed:    make(chan struct{}),
	}
	if err := s.open(); err != nil {
		s.cache.Unref()
		return nil, fmt.Errorf("spool: cannot open %s: %w", dir, err)
	}
	return s, nil
}

func (s *store) open() (err error) {
	if err := s.openOrRepair(); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.db.Close())
			if s.note != nil {
				err = errors.Join(err, s.note.close())
			}
		}
	}()
	if s.note, err = openNote(s.opts.FS, s.dir, s.opts.Logger); err != nil {
		return err
	}
	s.note.write(s.acknowledged(s.groups, s.next-1))
	if err := s.metrics.register(s); err != nil {
		return err
	}
	s.trim.wake = make(chan struct{}, 1)
	s.workers.Add(4)
	go s.syncNotes()
	go s.appendAll()
	go s.answerAll()
	go s.trimAll()
	return nil
}

// uptime is for how long receivers have used this spool.
func (s *store) uptime() time.Duration {
	return s.uptimeBefore + max(0, s.opts.Clock.Since(s.opened))
}

func (s *store) UUID() string { return s.uuid }

// Usage counts what Pebble holds and what was kept aside.
func (s *store) Usage() int64 {
	if !s.enter() {
		return 0
	}
	defer s.users.Done()
	return int64(s.db.Metrics().DiskSpaceUsage()) + s.aside.usage()
}

// enter registers a user of db, so that Close waits for it. It is false after Close.
func (s *store) enter() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.users.Add(1)
	return true
}

// Close waits for the calls that are under way.
func (s *store) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return spool.ErrClosed
	}
	s.closed = true
	s.mu.Unlock()
	close(s.closing)
	s.users.Wait()
	close(s.requests)
	s.workers.Wait()
	s.metrics.unregister()
	err := errors.Join(s.db.Close(), s.note.close())
	s.cache.Unref()
	return err
}

// get returns a copy of a value, nil when there is none.
func (s *store) get(key []byte) ([]byte, error) {
	value, closer, err := s.db.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer func() { _ = closer.Close() }()
	return append([]byte{}, value...), nil
}
