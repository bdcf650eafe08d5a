package pipeline

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/trail-operator/trail-operator/internal/failpoint"
	"github.com/trail-operator/trail-operator/internal/mapping"
	"github.com/trail-operator/trail-operator/internal/outbox"
	"github.com/trail-operator/trail-operator/internal/receiverconfig"
	"github.com/trail-operator/trail-operator/internal/record"
	"github.com/trail-operator/trail-operator/internal/selector"
	"github.com/trail-operator/trail-operator/internal/spool"
)

const (
	// firstFileAge makes a new trail show its first file soon.
	firstFileAge = 30 * time.Second
	// retryDisk is how long a trail rests after its volume refused a file.
	retryDisk = 5 * time.Second
)

// trail is one trail at run time. The fields under "reader" belong to the
// reader alone, those under mu are shared with configuration and deliverer.
type trail struct {
	p    *Pipeline
	uid  string
	keys outbox.Keys
	dir  string

	mu sync.Mutex
	// generations are ordered by Start. The first is in force, the others
	// come into force when the reader has passed their Start.
	generations []outbox.Generation
	config      receiverconfig.Trail // the newest
	layout      record.Layout
	stored      []byte        // generations as last stored; of Apply alone
	selection   string        // receiverconfig.SelectionSHA256 of the newest
	counts      outbox.Cursor // as last stored, for the status

	// drained is the ordinal of the generation in force, once the reader
	// has closed the last file.
	drained   atomic.Int64
	deliverer *deliverer
	cancel    context.CancelFunc
	stopped   sync.WaitGroup

	// reader
	position  spool.Position // the last chunk consumed, perhaps into the open file
	cursor    outbox.Cursor
	cursorRaw []byte
	span      outbox.Cursor // what was counted since cursor
	selector  *selector.Selector
	namespace string // of the tenant; empty for a trail of the whole cluster
	compiled  int64  // ordinal of the generation that selector and namespace are of
	file      *outbox.Writer
	first     bool // no file was closed in this generation yet
	restUntil time.Time
}

// current returns the generation in force; newest the last one applied.
func (t *trail) current() outbox.Generation {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.generations[0]
}

func (t *trail) newest() (outbox.Generation, receiverconfig.Trail, record.Layout) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.generations[len(t.generations)-1], t.config, t.layout
}

// wake ends a rest that is over. That happens between two reads only: one that
// is under way is ahead of what the trail has to read again.
func (t *trail) wake(now time.Time) {
	if left := t.restUntil.Sub(now); left <= 0 || left > retryDisk { // or the clock was set back
		t.restUntil = time.Time{}
	}
}

// resting reports whether the trail takes no chunks.
func (t *trail) resting() bool { return !t.restUntil.IsZero() }

// records reports whether the generation in force records anything.
func (t *trail) records() bool { return !t.current().Suspended }

// turn puts the generation in force that holds behind position at, and closes
// the open file where one ends.
func (t *trail) turn(at spool.Position, now time.Time) {
	for {
		t.mu.Lock()
		due := len(t.generations) > 1 && at >= t.generations[1].Start
		g := t.generations[0]
		t.mu.Unlock()
		if !due {
			if t.drained.Load() != g.Ordinal && t.file == nil {
				t.drained.Store(g.Ordinal)
				t.deliverer.poke()
			}
			t.compile(g)
			return
		}
		if !t.cut(now) {
			return // the volume refuses; the generation turns when the file is closed
		}
		t.mu.Lock()
		t.generations = t.generations[1:]
		t.mu.Unlock()
		t.first = true
	}
}

// compile takes over what each record needs of g: offer takes no lock. A
// selection that the API server accepted compiles; if it does not, nothing is
// selected and the status says why.
func (t *trail) compile(g outbox.Generation) {
	if t.compiled == g.Ordinal {
		return
	}
	s, err := selector.Compile(g.Selection, g.Namespace)
	if err != nil {
		t.p.Log.Error(err, "A selection does not compile", "trail", t.uid)
		s = nil
	}
	t.selector, t.namespace, t.compiled = s, g.Namespace, g.Ordinal
}

// offer adds the records that the trail selects to the open file: those that
// follow each other at once.
func (t *trail) offer(b *mapping.Batch, own bool) {
	begin := 0 // of the selected records that are not in the file yet
	for i := range b.Len() {
		if t.resting() {
			return // failed on an earlier record of this chunk
		}
		if t.selects(b.Facts(i), own) {
			continue
		}
		t.add(b, begin, i)
		begin = i + 1
	}
	t.add(b, begin, b.Len())
}

// selects reports whether the trail takes a record, and counts one that it
// leaves out.
func (t *trail) selects(f *record.Facts, own bool) bool {
	if own {
		// What concerns one trail is its tenant's and the cluster's business.
		return len(f.Trails) == 0 || t.namespace == "" || slices.Contains(f.Trails, t.uid)
	}
	if t.namespace != "" && f.Namespace != t.namespace {
		return false // not this tenant's business, not even as a number
	}
	if t.selector != nil && t.selector.Match(f) {
		return true
	}
	t.span.Accepted++
	t.span.SelectedOut++
	return false
}

// add adds the records from the i-th up to the j-th to the open file.
func (t *trail) add(b *mapping.Batch, i, j int) {
	if i == j || t.resting() || t.file == nil && !t.open(t.p.Clock.Now()) {
		return
	}
	oldest, newest := b.Facts(i).EventTime, b.Facts(i).EventTime
	for k := i + 1; k < j; k++ {
		oldest, newest = min(oldest, b.Facts(k).EventTime), max(newest, b.Facts(k).EventTime)
	}
	if err := t.file.Add(b.Records(i, j), j-i, oldest, newest); err != nil {
		t.rest(err, t.p.Clock.Now())
		return
	}
	t.span.Accepted += int64(j - i)
	t.span.Filed += int64(j - i)
}

// open begins a file. It reports false where there can be none; then the trail
// rests.
func (t *trail) open(now time.Time) bool {
	if t.p.tight {
		t.rest(errTight, now)
		return false
	}
	w, err := outbox.Create(t.p.FS, t.dir, now)
	if err != nil {
		t.rest(err, now)
		return false
	}
	t.file = w
	return true
}

// full reports whether the open file has to be closed.
func (t *trail) full(now time.Time) bool {
	if t.file == nil {
		return false
	}
	g := t.current()
	age := g.MaxAge
	if t.first {
		age = min(age, firstFileAge)
	}
	since := now.Sub(t.file.Opened())
	// now may have been read a moment before the file was opened; a clock that
	// was set back would keep the file open for as long.
	return since >= age || since < -maxSkew || t.file.RawSize() >= g.MaxSize || t.file.Size() >= outbox.MaxCompressed
}

// cut closes the open file, if there is one: its entry and the cursor are
// stored in one write. It reports whether no file is open any more.
func (t *trail) cut(now time.Time) bool {
	if t.file == nil {
		return true
	}
	g := t.current()
	entry, err := t.file.Close(now)
	if err != nil {
		t.rest(err, now)
		return false
	}
	t.file = nil
	next, _ := t.advanced()
	next.NextSeq++
	raw := record.MustJSON(next)
	entry.Seq, entry.Generation, entry.MappingVersion = t.cursor.NextSeq, g.Number, mapping.Version
	t.mu.Lock()
	entry.Key = t.layout.LogFile(now, outbox.Unique())
	t.mu.Unlock()
	failpoint.Hit("outbox/before-commit")
	err = t.p.Spool.Commit(
		spool.Expect(t.keys.Cursor(), t.cursorRaw),
		spool.Set(t.keys.Cursor(), raw),
		spool.Set(t.keys.Log(entry.Seq), record.MustJSON(entry)),
	)
	if err != nil {
		// Where it is not certain that the entry is not stored, an orphan may
		// stay until the next start. A full volume must not fill with them.
		if errors.Is(err, spool.ErrFull) || errors.Is(err, spool.ErrConflict) {
			if rerr := t.p.FS.Remove(filepath.Join(t.dir, entry.File)); rerr != nil {
				t.p.Log.Error(rerr, "An orphan stays on the volume until the next start", "trail", t.uid)
			}
		}
		t.rest(err, now)
		return false
	}
	failpoint.Hit("outbox/after-commit")
	t.advance(next, raw)
	t.first = false
	t.deliverer.added(&entry)
	return true
}

// advanced returns the cursor as it is when everything up to position is filed.
func (t *trail) advanced() (outbox.Cursor, []byte) {
	next := t.cursor
	next.Position = t.position
	next.Accepted += t.span.Accepted
	next.SelectedOut += t.span.SelectedOut
	next.Filed += t.span.Filed
	return next, record.MustJSON(next)
}

func (t *trail) advance(next outbox.Cursor, raw []byte) {
	t.cursor, t.cursorRaw, t.span = next, raw, outbox.Cursor{}
	t.mu.Lock()
	t.counts = next
	t.mu.Unlock()
}

// rest gives the open file up after an error of the volume. Its records are
// read again from the spool, which keeps them until the cursor has passed.
func (t *trail) rest(err error, now time.Time) {
	if !errors.Is(err, errTight) { // which was logged for all trails
		t.p.Log.Error(err, "A log file could not be written; its events stay in the spool", "trail", t.uid)
	}
	t.discard()
	t.restUntil = now.Add(retryDisk)
}

// discard gives the open file up.
func (t *trail) discard() {
	if t.file != nil {
		t.file.Discard()
		t.file = nil
	}
	t.span = outbox.Cursor{}
	t.position = t.cursor.Position
}

// stop ends the deliverer and waits for it.
func (t *trail) stop() {
	t.cancel()
	t.stopped.Wait()
}
