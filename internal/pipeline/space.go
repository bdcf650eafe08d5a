package pipeline

import (
	"context"
	"errors"
	"math"
	"time"
)

// patience is how long the deliveries of a trail have to fail before its files
// expire to make room for others: a bucket that is away for a moment costs nothing.
const patience = time.Minute

// errTight is why a trail rests that may not open a file.
var errTight = errors.New("the volume has less than half of its reserve left")

// measure looks whether log files may be written. Half of the reserve is the
// spool's: Pebble ends the process when it cannot write its log.
func (p *Pipeline) measure() {
	free, err := p.free()
	tight := err != nil || free < p.ReserveBytes/2
	if tight && !p.tight {
		p.Log.Error(errors.Join(errTight, err), "Log files wait for space on the volume; their events stay in the spool")
	}
	p.tight = tight
}

func (p *Pipeline) free() (int64, error) {
	if p.FreeBytes == nil {
		return math.MaxInt64, nil
	}
	return p.FreeBytes()
}

// backlog is what one trail of a tenant has on the volume that is certainly not
// in its bucket yet.
type backlog struct {
	uid     string
	bytes   int64
	failing bool // for longer than patience
}

// overdue chooses the trail that has to give up n bytes of its oldest files,
// none when n is 0. All together may take share; of those that take more, and
// while less than reserve is free, the one with the most goes first, and one
// that cannot deliver before any that can. A trail that delivers makes room by
// itself when free space is short.
//
// Trails of the whole cluster are not among them: their files never expire. While
// their bucket is away for so long that the reserve is reached, the spool takes
// no more, and API servers are told to try again.
func overdue(trails []backlog, free, reserve, share int64) (uid string, n int64) {
	var total int64
	var worst backlog
	for _, t := range trails {
		total += t.bytes
		switch {
		case t.bytes == 0 || worst.failing && !t.failing:
		case worst.bytes == 0, t.failing && !worst.failing, t.bytes > worst.bytes,
			t.bytes == worst.bytes && t.uid < worst.uid:
			worst = t
		}
	}
	n = total - share
	if worst.failing {
		n = max(n, reserve-free)
	}
	if n <= 0 || worst.bytes == 0 {
		return "", 0
	}
	return worst.uid, min(n, worst.bytes)
}

// overdue applies the rule to the trails as they are.
func (p *Pipeline) overdue() (t *trail, n int64) {
	free, err := p.free()
	if err != nil {
		free = math.MaxInt64 // nothing expires because of what is not known
	}
	if spare := p.spare.Load(); free < math.MaxInt64-spare {
		free += spare // which goes first
	}
	now := p.Clock.Now()
	trails := map[string]*trail{}
	var backlogs []backlog
	for _, t := range p.snapshot() {
		if t.isCluster() {
			continue
		}
		d := t.deliverer
		d.mu.Lock()
		failing := d.failed != nil && now.Sub(d.failed.Since) >= patience
		backlogs = append(backlogs, backlog{uid: t.uid, bytes: d.pending.bytes - d.doubt.Size, failing: failing})
		d.mu.Unlock()
		trails[t.uid] = t
	}
	uid, n := overdue(backlogs, free, p.ReserveBytes, p.share())
	return trails[uid], n
}

// shortage is how many bytes too many are on the volume, with those that nobody
// waits for; 0 or less when there is room.
func (p *Pipeline) shortage() int64 {
	n := p.spare.Load()
	for _, t := range p.snapshot() {
		if t.isCluster() {
			continue
		}
		t.deliverer.mu.Lock()
		n += t.deliverer.pending.bytes
		t.deliverer.mu.Unlock()
	}
	n -= p.share()
	if free, err := p.free(); err == nil {
		n = max(n, p.ReserveBytes-free)
	}
	return n
}

// share is what undelivered files of tenants may take together.
func (p *Pipeline) share() int64 {
	if p.VolumeBytes <= p.ReserveBytes {
		return math.MaxInt64
	}
	return (p.VolumeBytes - p.ReserveBytes) / 2
}

// relieve wakes the deliverer that has to make room.
func (p *Pipeline) relieve() {
	if spare := p.spare.Load(); spare > 0 {
		if n := min(p.shortage(), spare); n > 0 {
			if err := p.freeSpare(context.Background(), n); err != nil {
				p.Log.Error(err, "No room could be made with files that nobody waits for; trying again")
			}
		}
	}
	if t, n := p.overdue(); n > 0 {
		t.deliverer.poke()
	}
}

// isCluster reports whether this is a trail of the whole cluster, not a tenant's.
func (t *trail) isCluster() bool {
	_, config, _ := t.newest()
	return config.Namespace == ""
}

// excess is how many bytes of its oldest files this trail has to give up: what
// is over its own quota, or what the volume needs.
func (d *deliverer) excess() int64 {
	if d.t.isCluster() {
		return 0
	}
	d.mu.Lock()
	n := d.pending.bytes - max(d.t.p.TrailQuota, d.doubt.Size)
	d.mu.Unlock()
	if t, more := d.t.p.overdue(); t == d.t {
		n = max(n, more)
	}
	return max(n, 0)
}
