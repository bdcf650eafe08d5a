package pipeline

import (
	"cmp"
	"slices"

	"github.com/trail-operator/trail-operator/internal/receiverstatus"
)

// Status describes the spool and the trails. Intake's duplicates and sources
// are the caller's to add.
func (p *Pipeline) Status() receiverstatus.Status {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := receiverstatus.Status{
		Started: p.started.UTC(), Generation: p.generation, ConfigError: p.configErr,
		Spool: receiverstatus.Spool{
			UUID: p.Spool.UUID(), Tail: uint64(p.Spool.Tail()), Bytes: p.Spool.Usage(), Damaged: p.stored.Damaged, LastDamage: p.stored.LastDamage,
		},
		Intake: receiverstatus.Intake{
			Received: p.stored.Accepted + p.stored.Skipped + p.stored.Quarantined,
			Accepted: p.stored.Accepted, Skipped: p.stored.Skipped, Quarantined: p.stored.Quarantined,
			Accounts: p.stored.Sources.list(), AccountedTo: uint64(p.stored.Position),
		},
		Trails: make([]receiverstatus.Trail, 0, len(p.trails)),
	}
	for _, t := range p.trails {
		s.Trails = append(s.Trails, t.status())
	}
	slices.SortFunc(s.Trails, func(a, b receiverstatus.Trail) int { return cmp.Compare(a.UID, b.UID) })
	return s
}

func (t *trail) status() receiverstatus.Trail {
	t.mu.Lock()
	g := t.generations[len(t.generations)-1]
	counts, selection := t.counts, t.selection
	t.mu.Unlock()
	d := t.deliverer
	hour := t.p.Clock.Now().Unix() / 3600
	d.mu.Lock()
	defer d.mu.Unlock()
	day := int64(0)
	for h, n := range d.state.Hours {
		if h > hour-24 && h <= hour {
			day += n
		}
	}
	return receiverstatus.Trail{
		UID: t.uid, Generation: g.Number, StartPosition: uint64(g.Start), SelectionSHA256: selection,
		Flushed: g.Suspended && t.drained.Load() == g.Ordinal && d.pending.files == 0 && d.pending.digests == 0 && d.state.Chain == nil,
		Counts: receiverstatus.Counts{
			Accepted: counts.Accepted, SelectedOut: counts.SelectedOut,
			Delivered: d.state.Delivered, Expired: d.state.Expired - d.state.Redelivered, Redelivered: d.state.Redelivered,
			Quarantined: d.state.Damaged,
			Pending:     counts.Filed - d.state.Delivered - (d.state.Expired - d.state.Redelivered) - d.state.Damaged,
		},
		ExpiredFiles: d.expired.files, ExpiredBytes: d.expired.bytes,
		DeliveredBytes: d.state.Bytes, DeliveredBytesDay: day, PendingFiles: d.pending.files,
		LastAttempt: d.lastAttempt(), LastDelivery: d.state.LastDelivery, LastObject: d.state.LastObject, DeliveryError: d.failed,
		LastDigest: d.state.LastDigest, DigestError: d.digest,
		ClockSkewSeconds: int64(d.skew.Seconds()), Head: d.state.Head, LastLoss: d.state.LastLoss,
	}
}
