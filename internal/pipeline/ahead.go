package pipeline

import (
	"sync"
	"sync/atomic"

	"github.com/trail-operator/trail-operator/internal/auditevent"
	"github.com/trail-operator/trail-operator/internal/mapping"
)

const (
	// maxAhead bounds the memory of all records that are made and not yet in a
	// file, in bytes. Beyond it the reader makes them, when it comes to their chunk.
	maxAhead = 24 << 20
	// aheadStep is in what steps memory is asked for.
	aheadStep = 128 << 10
	// aheadKept is the largest batch whose memory is used again, aheadFree how
	// many wait for that.
	aheadKept = 4 << 20
	aheadFree = 6
)

// ahead is what all of Ahead share.
type ahead struct {
	bytes atomic.Int64

	// Memory that was just read is still in the processor's cache, which a
	// sync.Pool would not see to: the last one released is the next one used.
	mu   sync.Mutex
	free []*Ahead
}

func (s *ahead) get() *Ahead {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := len(s.free) - 1
	if n < 0 {
		return nil
	}
	a := s.free[n]
	s.free[n], s.free = nil, s.free[:n]
	return a
}

func (s *ahead) put(a *Ahead) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.free) < aheadFree {
		s.free = append(s.free, a)
	}
}

// Ahead makes the records of a chunk while intake has its events in hand, so
// that the reader needs neither read the chunk back nor parse it a second time.
// Nothing depends on it: it gives up when memory is short, and what it holds is
// gone with the process, as if it had never been.
type Ahead struct {
	p        *Pipeline
	of       *mapping.Mapper // in force when the first record was made
	mapper   *mapping.Mapper // a clone of it
	source   mapping.Source
	parser   auditevent.Parser // of what is stored in another form
	batch    mapping.Batch
	reserved int64
	gaveUp   bool
}

// Ahead begins a chunk of a source. It returns nil when there is nobody to make records for, or no room.
func (p *Pipeline) Ahead(source string) *Ahead {
	if p.ahead.bytes.Load()+aheadStep > maxAhead {
		return nil
	}
	p.mu.Lock()
	of, wanted := p.installed.mapper, len(p.trails) > 0
	p.mu.Unlock()
	if !wanted {
		return nil
	}
	a := p.ahead.get()
	if a == nil {
		a = &Ahead{p: p}
	}
	if a.of != of {
		a.of, a.mapper = of, of.Clone()
	}
	a.source = sourceOf(source)
	a.reserve(0)
	return a
}

// Add makes the record of an event. stored is what the spool gets of it, and
// same says that these are the bytes that the event was parsed from.
func (a *Ahead) Add(e *auditevent.Event, stored []byte, same bool) {
	if a.gaveUp {
		return
	}
	if !same {
		var err error
		if e, err = a.parser.Parse(stored); err != nil {
			a.gaveUp = true // the reader says what is wrong
			return
		}
	}
	a.batch.Add(a.mapper, e, a.source)
	if int64(a.batch.Size()) > a.reserved {
		a.reserve(int64(a.batch.Size()))
	}
}

// Whole reports whether n events were added, and none was given up. Who does not
// hand it on releases it.
func (a *Ahead) Whole(n int) bool { return !a.gaveUp && a.batch.Len() == n }

// reserve asks for memory.
func (a *Ahead) reserve(size int64) {
	size += aheadStep
	if a.p.ahead.bytes.Add(size-a.reserved) > maxAhead {
		a.gaveUp = true
	}
	a.reserved = size
}

// Release gives the memory back. a must not be used any more.
func (a *Ahead) Release() {
	a.p.ahead.bytes.Add(-a.reserved)
	a.reserved, a.gaveUp = 0, false
	if a.batch.Size() > aheadKept {
		a.batch = mapping.Batch{}
	}
	a.batch.Reset()
	a.p.ahead.put(a)
}
