package installation

import (
	"bytes"

	"github.com/trail-operator/trail-operator/internal/manifests"
	"github.com/trail-operator/trail-operator/internal/receiverconfig"
	"github.com/trail-operator/trail-operator/internal/record"
)

const (
	// ownRoom is what every file of a trail may have, however full its shard is:
	// others can keep a trail from coming, never one that is there from changing.
	ownRoom = 4 << 10
	// maxTenantTrail bounds the file of a tenant's trail.
	maxTenantTrail = 128 << 10
	// stopRoom is kept for trails that stop.
	stopRoom = 16 << 10
)

// place is the shard of a change with its files, as they are or will be: the one
// where the trail's file is, else the one where it begins.
func (p *Publisher) place(c *change, next *[manifests.ReceiverShards]map[string][]byte) (n int, files map[string][]byte) {
	of := func(n int) map[string][]byte {
		if next[n] != nil {
			return next[n]
		}
		return p.shards[n].files
	}
	for n := range next {
		if _, ok := of(n)[receiverconfig.TrailFile(c.uid)]; ok {
			return n, of(n)
		}
	}
	n = manifests.ReceiverShard(c.uid, c.organization)
	return n, of(n)
}

// fits reports whether there is room for a change among the files of its shard.
func fits(files map[string][]byte, c *change) bool {
	name := receiverconfig.TrailFile(c.uid)
	present, there := files[name]
	switch size := manifests.DataSize(files) - len(present) + len(c.raw); {
	case there && len(c.raw) <= len(present):
		return true
	case size > manifests.MaxSecretData+stopRoom:
		return false
	case there && (len(c.raw) <= ownRoom || stops(present, c.raw)):
		return true
	case !c.organization && len(c.raw) > maxTenantTrail:
		return false
	}
	total := max(len(c.raw), ownRoom)
	for other, raw := range files {
		if total += len(other); other != name {
			total += max(len(raw), ownRoom)
		}
	}
	if !there {
		total += len(name)
	}
	return total <= manifests.MaxSecretData
}

// stops reports whether a trail is stopped, and nothing else of it changes.
func stops(present, raw []byte) bool {
	was, _ := receiverconfig.RecoverTrail(present)
	is, ok := receiverconfig.RecoverTrail(raw)
	was.Generation, was.Suspended, was.Deleting = is.Generation, is.Suspended, is.Deleting
	was.Destination.Ambient = is.Destination.Ambient
	return ok && is.Suspended && bytes.Equal(record.MustJSON(was), raw)
}
