package pipeline

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"

	"github.com/trail-operator/trail-operator/internal/outbox"
	"github.com/trail-operator/trail-operator/internal/spool"
)

// badFolder is a volume on which one trail's folder refuses new files.
type badFolder struct {
	outbox.FS
	uid string
	bad atomic.Bool
}

func (f *badFolder) Create(path string) (outbox.File, error) {
	if f.bad.Load() && filepath.Base(filepath.Dir(path)) == f.uid {
		return nil, errors.New("input/output error")
	}
	return f.FS.Create(path)
}

// hookedSpool calls before with each position that it is about to read, and
// shows the chunks in damaged as such.
type hookedSpool struct {
	spool.Spool
	before  func(spool.Position)
	damaged map[spool.Position]bool
	full    atomic.Bool // no state can be written
}

func (s *hookedSpool) Commit(ops ...spool.Op) error {
	if s.full.Load() {
		return spool.ErrFull
	}
	return s.Spool.Commit(ops...)
}

func (s *hookedSpool) Read(ctx context.Context, after spool.Position, fn func(spool.Position, *spool.Chunk) error, onDamage func(spool.Damaged)) error {
	return s.Spool.Read(ctx, after, func(n spool.Position, c *spool.Chunk) error {
		s.before(n)
		if s.damaged[n] {
			onDamage(spool.Damaged{Position: n, Reason: "the chunk is damaged"})
			return nil
		}
		return fn(n, c)
	}, onDamage)
}

// TestRestingTrailMissesNothing lets the volume refuse a file of one of two
// trails. Its rest ends, or a chunk turns out to be damaged, while the reader
// is far behind what the trail has to read again.
func TestRestingTrailMissesNothing(t *testing.T) {
	const chunks = 6
	for name, damaged := range map[string]spool.Position{"rest ends within a read": 0, "a damaged chunk while it rests": 4} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			red := &badFolder{FS: outbox.OS{}, uid: "uid-red"}
			red.bad.Store(true)
			s := &hookedSpool{Spool: b.spool, damaged: map[spool.Position]bool{damaged: true}, before: func(n spool.Position) {
				if n == 3 {
					red.bad.Store(false)
				}
				if n == 5 {
					b.clock.Step(retryDisk)
				}
			}}
			p, err := New(Options{
				Spool: s, FS: red, Dir: b.dir + "/outbox", Clock: steppedClock{b.clock}, Log: logr.Discard(), TrailQuota: 1 << 30,
				Open: b.p.Open,
			})
			if err != nil {
				t.Fatal(err)
			}
			b.trail("red")
			b.trail("blue")
			if err := p.Apply(&b.config, b.trails, b.key); err != nil {
				t.Fatal(err)
			}
			var want []string
			for i := range chunks {
				b.post("red", 1)
				if spool.Position(i+1) != damaged {
					want = append(want, fmt.Sprintf("e-%d", i+1))
				}
			}
			for range 3 {
				if err := p.step(t.Context()); err != nil && !errors.Is(err, spool.ErrConflict) {
					t.Fatal(err)
				}
				b.clock.Step(retryDisk)
			}
			p.close()
			b.trails[0].Generation++
			b.apply()
			b.until("delivery", func() bool { return b.status("red").PendingFiles == 0 && b.status("red").Counts.Pending == 0 })
			got := b.delivered("red")
			got = slices.DeleteFunc(got, func(id string) bool { return !strings.HasPrefix(id, "e-") })
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("red, which the volume refused a file: %s", diff)
			}
		})
	}
}

// TestFullVolumeGetsNoOrphans: a file whose entry cannot be stored goes at once,
// since another takes its place.
func TestFullVolumeGetsNoOrphans(t *testing.T) {
	b := newBench(t)
	s := &hookedSpool{Spool: b.spool, before: func(spool.Position) {}}
	p, err := New(Options{
		Spool: s, FS: outbox.OS{}, Dir: b.dir + "/outbox", Clock: steppedClock{b.clock}, Log: logr.Discard(), TrailQuota: 1 << 30,
		Open: b.p.Open,
	})
	if err != nil {
		t.Fatal(err)
	}
	b.trail("red")
	if err := p.Apply(&b.config, b.trails, b.key); err != nil {
		t.Fatal(err)
	}
	b.post("red", 3)
	s.full.Store(true)
	for range 5 {
		_ = p.step(t.Context()) // a full volume is an error
		b.clock.Step(firstFileAge)
		_ = p.step(t.Context())
	}
	names, err := outbox.OS{}.List(p.folder("uid-red"))
	if err != nil || len(names) > 1 {
		t.Errorf("%d files are on the volume (%v), want at most the open one", len(names), err)
	}
	s.full.Store(false)
	p.close()
	b.apply()
	b.until("delivery", func() bool { return b.status("red").Counts.Delivered == 3 })
}
