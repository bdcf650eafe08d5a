package verify

import (
	"fmt"
	"time"
)

const (
	// lateDigest is how long after its window a digest is stored at most, when
	// neither receiver nor bucket were away.
	lateDigest = time.Hour
	// overdue is how long after the newest digest the next must have come.
	overdue = 2 * time.Hour
)

// noteTimes tells of what proves nothing, and is worth a look: digests that
// were stored late, and ones that are due. Of a copy it says nothing: it may be
// old, and may have lost the objects' times.
func (v *verifier) noteTimes() {
	if v.DetachedSignatures {
		return
	}
	v.noteLate()
	if len(v.links) == 0 || !v.complete || !v.End.IsZero() {
		return
	}
	if l := v.newest(); l.ok && !l.d.Final && v.now.After(l.end.Add(overdue)) {
		v.notes = append(v.notes, "The newest digest ends at "+stamp(l.end)+", and no final one ends the trail: "+
			"the next ones were not delivered yet, or somebody has deleted them.")
	}
}

func (v *verifier) noteLate() {
	var first *link
	n := 0
	for _, l := range v.links {
		if l.ok && l.stored.After(l.end.Add(lateDigest)) {
			if n++; first == nil {
				first = l
			}
		}
	}
	if n > 0 {
		v.notes = append(v.notes, fmt.Sprintf("%d of the digests were stored more than an hour after their time, the first of them, of %s, at %s: "+
			"receiver or bucket were away then, or somebody who has a signing key has written them anew.", n, stamp(first.end), stamp(first.stored)))
	}
}
