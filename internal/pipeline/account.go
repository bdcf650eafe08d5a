package pipeline

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/trail-operator/trail-operator/internal/receiverstatus"
	"github.com/trail-operator/trail-operator/internal/spool"
)

// account counts the items of chunks up to Position, each chunk once: it is
// stored in the same write as the position.
type account struct {
	Position    spool.Position `json:"position"`
	Accepted    int64          `json:"accepted"`
	Skipped     int64          `json:"skipped"`
	Quarantined int64          `json:"quarantined"`
	Damaged     int64          `json:"damaged"` // chunks
	LastDamage  *time.Time     `json:"lastDamage,omitempty"`
	Sources     sources        `json:"sources,omitempty"`
}

// sources are the accounts by spool.Chunk.Source.
type sources map[string]sourceAccount

type sourceAccount struct {
	Received int64          `json:"received"` // accepted, skipped, quarantined, and stored before in another chunk
	Last     spool.Position `json:"last"`
}

// take counts the chunk at position n, if it was not counted before. damaged:
// a part of it could not be read.
func (a *account) take(n spool.Position, c *spool.Chunk, damaged bool, now time.Time) {
	if n <= a.Position {
		return
	}
	if damaged {
		a.lose(n, now)
	}
	a.Position = n
	a.Skipped += int64(c.Skipped)
	if c.Kind == spool.KindReplayed { // its source has counted it when it went into quarantine
		a.Accepted += int64(c.Items)
		a.Quarantined -= int64(c.Quarantined)
		return
	}
	a.Quarantined += int64(c.Quarantined)
	if c.Kind != spool.KindAudit {
		return
	}
	a.Accepted += int64(c.Items)
	if a.Sources == nil {
		a.Sources = sources{}
	}
	of, known := a.Sources[c.Source]
	if !known && len(a.Sources) >= receiverstatus.MaxSourceAccounts {
		delete(a.Sources, a.Sources.silent())
	}
	of.Received += int64(c.Items) + int64(c.Skipped) + int64(c.Quarantined) + int64(c.Duplicates)
	of.Last = n
	a.Sources[c.Source] = of
}

// lose counts the chunk at position n as one that could not be read.
func (a *account) lose(n spool.Position, now time.Time) {
	if n <= a.Position {
		return
	}
	a.Position = n
	a.damage(now)
}

// damage counts a chunk that cannot be read.
func (a *account) damage(now time.Time) {
	now = now.UTC()
	a.LastDamage = &now
	a.Damaged++
}

func (a *account) clone() account {
	c := *a
	c.Sources = maps.Clone(a.Sources)
	return c
}

// silent is the source that has been silent longest.
func (s sources) silent() (name string) {
	last := ^spool.Position(0)
	for n, of := range s {
		if of.Last < last {
			name, last = n, of.Last
		}
	}
	return name
}

func (s sources) list() []receiverstatus.SourceAccount {
	list := make([]receiverstatus.SourceAccount, 0, len(s))
	for name, of := range s {
		list = append(list, receiverstatus.SourceAccount{Source: name, Received: of.Received})
	}
	slices.SortFunc(list, func(a, b receiverstatus.SourceAccount) int { return cmp.Compare(a.Source, b.Source) })
	return list
}
