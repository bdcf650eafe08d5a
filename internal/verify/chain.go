package verify

import (
	"slices"
	"strings"
	"time"

	"github.com/trail-operator/trail-operator/internal/record"
)

// checkChain walks the digests from old to new. Only what a valid digest says
// about the one before it counts.
func (v *verifier) checkChain() {
	last := -1 // index of the newest valid digest so far
	key := ""  // that signs by now
	for i, l := range v.links {
		if !l.ok {
			continue
		}
		switch next := l.d.DigestPublicKeyFinger; {
		case next == key:
		case v.keys.replaced(next, key):
			v.findings.add(KeyRetired, l.key, "the digest is signed with a key that had been replaced before (fingerprint %s)", next)
		default:
			key = next
		}
		if i == 0 {
			v.checkFirst(l)
		} else {
			v.checkLink(i, last)
		}
		last = i
	}
}

// checkFirst looks at the oldest digest that was read.
func (v *verifier) checkFirst(l *link) {
	before := l.before()
	if before == nil {
		v.checkSequence(l, 1)
		if v.oldest.Before(l.end) {
			v.reportCut(l)
		}
		return
	}
	end, ok := v.digestEnd(before.Object)
	switch {
	case !ok:
		v.findings.add(ChainBroken, l.key, "the digest follows %q, which is no digest of the trail", before.Object)
	case v.Start.IsZero() && v.digestExpired(end):
		v.notices.add(DigestExpired, before.Object, "the digest, and every one before it, has expired")
		v.notes = append(v.notes, "The digests until "+stamp(end)+" are gone: they have expired, as a lifecycle rule says that later digests list.")
	case v.Start.IsZero():
		v.findings.add(DigestMissing, before.Object, "the oldest digests are missing: the first one left is number %d of its chain "+
			"(if a lifecycle rule expired them, validate from --start-time)", l.d.DigestSequence)
	case end.After(v.Start):
		v.reportMissing(v.Start, l, before)
	}
}

func (v *verifier) reportCut(l *link) {
	v.findings.add(ChainCut, l.key, "a new chain starts here without naming the chain before it, although there are older digests")
}

// checkLink compares the valid digest at index i with what lies before it.
// last is the index of the valid digest before it, or -1.
func (v *verifier) checkLink(i, last int) {
	l := v.links[i]
	since := v.links[max(last, 0)].end
	before := l.before()
	switch {
	case before == nil:
		v.checkSequence(l, 1)
		if last >= 0 { // what is not valid may never have been a digest
			v.reportCut(l)
		}
	case v.byKey[before.Object] != nil:
		target := v.byKey[before.Object]
		if last >= 0 && v.links[last].end.After(target.end) {
			v.findings.add(ChainBroken, l.key, "the digest follows %q, but %q lies between them", target.key, v.links[last].key)
			return
		}
		v.compare(target, l)
		if last >= 0 && v.links[last].d.ChainID == l.d.ChainID && l.d.DigestSequence-v.links[last].d.DigestSequence > int64(i-last) {
			v.reportMissing(since, l, before)
		}
	default:
		if _, ok := v.digestEnd(before.Object); !ok {
			v.findings.add(ChainBroken, l.key, "the digest follows %q, which is no digest of the trail", before.Object)
			return
		}
		v.reportMissing(since, l, before)
	}
}

// compare checks that l is the digest after a, as l says.
func (v *verifier) compare(a, l *link) {
	if a.d == nil {
		return // reported when it was read
	}
	before := l.before()
	hash := l.d.PreviousDigestHashValue
	switch {
	case before.HashValue != "" && before.HashValue != a.hash:
		v.findings.add(ChainBroken, a.key, "the digest was replaced: its hash value is not the one that %q names", l.key)
	case a.signature != "" && !strings.EqualFold(before.Signature, a.signature):
		v.findings.add(ChainBroken, a.key, "the digest was replaced: its signature is not the one that %q names", l.key)
	}
	if !a.ok {
		return
	}
	if before.Bucket != a.d.DigestS3Bucket {
		v.findings.add(ChainBroken, l.key, "the digest follows one in the bucket %q", before.Bucket)
	}
	if l.start.Before(a.end) {
		v.findings.add(ChainBroken, l.key, "the digest overlaps the one before it, which ends at %s", stamp(a.end))
	}
	if hash == nil {
		v.compareChains(a, l)
		return
	}
	v.checkSequence(l, a.d.DigestSequence+1)
	switch {
	case l.d.ChainID != a.d.ChainID:
		v.findings.add(ChainBroken, l.key, "the digest belongs to another chain than the one before it")
	case a.d.Final:
		v.findings.add(ChainBroken, l.key, "the digest follows the final digest of its chain")
	case l.start.After(a.end):
		v.findings.add(ChainBroken, l.key, "nothing covers the time between %s and %s", stamp(a.end), stamp(l.start))
	}
}

// compareChains checks the first digest of a chain against the last of the
// chain before.
func (v *verifier) compareChains(a, l *link) {
	v.checkSequence(l, 1)
	if l.d.PreviousChain.ChainID != a.d.ChainID || l.d.ChainID == a.d.ChainID {
		v.findings.add(ChainBroken, l.key, "the digest names the wrong chain as the one before it")
	}
	if l.start.After(a.end) {
		v.gaps = append(v.gaps, Gap{From: a.end, To: l.start, Closed: a.d.Final})
	}
}

func (v *verifier) checkSequence(l *link, want int64) {
	if l.d.DigestSequence != want {
		v.findings.add(ChainBroken, l.key, "the digest is number %d of its chain; it should be number %d", l.d.DigestSequence, want)
	}
}

// reportMissing reports the digests between since and l, of which l names the
// last one.
func (v *verifier) reportMissing(since time.Time, l *link, before *record.ChainEnd) {
	end, _ := v.digestEnd(before.Object)
	if v.byKey[before.Object] == nil {
		v.reportAbsent(before.Object, end, "the digest is missing; %q follows it", l.key)
	}
	v.reportHours(since, end)
}

// reportHours reports the digests that are missing after since and before end,
// by the hours on which they must have ended.
func (v *verifier) reportHours(since, end time.Time) {
	// since may be the name of a forged digest.
	if earliest := end.Add(-time.Duration(maxDigests) * time.Hour); since.Before(earliest) {
		since = earliest
	}
	for t := since.Truncate(time.Hour).Add(time.Hour); t.Before(end); t = t.Add(time.Hour) {
		if key := v.Layout.Digest(v.Trail, t); v.byKey[key] == nil {
			v.reportAbsent(key, t, "the digest of the hour before %s is missing", stamp(t))
		}
	}
}

// checkHeads compares the digests with those that must exist.
func (v *verifier) checkHeads() {
	if len(v.Heads) == 0 {
		v.notes = append(v.notes, "No head was given: digests that were deleted after "+stamp(v.newest().end)+
			" would not be noticed. Save `kubectl trail head` outside the bucket and pass it with --head.")
	}
	for i := range v.Heads {
		v.checkHead(&v.Heads[i])
	}
}

func (v *verifier) checkHead(h *record.Head) {
	end, _ := v.digestEnd(h.Object)
	if key, ok := v.keys.known[h.Fingerprint]; ok && key.Trust() != h.Trust {
		v.findings.add(KeyUntrusted, key.where, "the head names another public key with this fingerprint")
	}
	l := v.byKey[h.Object]
	switch {
	case l != nil:
		if l.d != nil && (l.hash != h.HashValue || l.d.ChainID != h.ChainID || l.d.DigestSequence != h.Sequence) {
			v.findings.add(HeadMismatch, l.key, "the digest is not the one that the head names")
		}
	case !end.After(v.Start) || (!v.complete && end.After(v.links[len(v.links)-1].end)):
		v.notes = append(v.notes, "The head, of "+stamp(end)+", lies outside the time that was validated.")
	default:
		v.reportAbsent(h.Object, end, "the digest is missing; the head names it as the newest one of its time")
		since := v.Start
		// What lies between two digests is for the chain to tell.
		if i, _ := slices.BinarySearchFunc(v.links, end, func(l *link, t time.Time) int { return l.end.Compare(t) }); i == len(v.links) {
			if i > 0 {
				since = v.links[i-1].end
			}
			if !since.IsZero() {
				v.reportHours(since, end)
			}
		}
	}
}

// newest returns the newest valid digest, or the newest at all if none is valid.
func (v *verifier) newest() *link {
	for _, l := range slices.Backward(v.links) {
		if l.ok {
			return l
		}
	}
	return v.links[len(v.links)-1]
}

func stamp(t time.Time) string { return t.UTC().Format(record.TimeFormat) }
