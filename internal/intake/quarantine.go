package intake

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/trail-operator/trail-operator/internal/auditevent"
	"github.com/trail-operator/trail-operator/internal/record"
	"github.com/trail-operator/trail-operator/internal/spool"
)

const (
	// quarantinePrefix begins the keys of the documents: prefix, milliseconds
	// since 1970, a dash, and the beginning of a hash. sealedPrefix begins those
	// of the sealed copies.
	quarantinePrefix = "quarantine/"
	sealedPrefix     = "quarantine-sealed/"
	// maxQuarantined items are kept, which take at most maxQuarantinedBytes,
	// for quarantinedFor; the oldest go first.
	maxQuarantined      = 1000
	maxQuarantinedBytes = 64 << 20
	quarantinedFor      = 30 * 24 * time.Hour
	// maxBadItems of a chunk are recorded one by one; the others together.
	maxBadItems = 100
)

// badItem is an item that cannot become a record.
type badItem struct {
	reason string
	length int64
	sum    [sha256.Size]byte
	masked string
	sealed []byte // the whole, nil when it is too long
}

// badItems are those of one chunk.
type badItems struct {
	items       []badItem // the first maxBadItems
	count       int
	otherLength int64 // of those that are not in items
}

func (b *badItems) add(it *auditevent.Item, v *vault) {
	b.count++
	if len(b.items) == maxBadItems {
		b.otherLength += it.Length
		return
	}
	bad := badItem{reason: it.Err.Error(), length: it.Length, sum: it.Sum, masked: mask(it.Head)}
	if it.Length == int64(len(it.Head)) {
		bad.sealed = v.seal(it.Head, &it.Sum)
	}
	b.items = append(b.items, bad)
}

func (b *badItems) reset() { *b = badItems{items: b.items[:0]} }

// quarantined is the document that describes one item.
type quarantined struct {
	Time   time.Time `json:"time"`
	Source string    `json:"source"`
	Reason string    `json:"reason"`
	Length int64     `json:"length"` // bytes
	SHA256 string    `json:"sha256"`
	// Copy is the item's beginning with all its values masked.
	Copy string `json:"copy"`
	// Sealed is the size of the sealed copy, 0 when there is none.
	Sealed int64 `json:"sealed,omitempty"`
	// Replayed is when the item became a record after all.
	Replayed *time.Time `json:"replayed,omitempty"`
}

// details of an EventQuarantined record.
type details struct {
	Source string `json:"source"`
	Reason string `json:"reason"`
	Length int64  `json:"length"`
	SHA256 string `json:"sha256,omitempty"`
	// Items is the number of items that one record stands for.
	Items int `json:"items,omitempty"`
	// QuarantineID is by what it is shown and replayed.
	QuarantineID string `json:"quarantineID,omitempty"`
}

// quarantine keeps the documents bounded.
type quarantine struct {
	vault     vault
	replaying sync.Mutex // is held while one is taken out

	mu      sync.Mutex
	kept    []keptItem      // oldest first
	bytes   int64           // of all kept
	known   map[string]bool // hashes of keys
	dropped func(int)       // counts those that had to go
}

// keptItem is one document, and its sealed copy.
type keptItem struct {
	key        string // without quarantinePrefix
	bytes      int64
	replayable bool
}

// at is when the item was received.
func (k keptItem) at() time.Time {
	at, _, _ := strings.Cut(k.key, "-")
	ms, _ := strconv.ParseInt(at, 10, 64) // one that is none is old
	return time.UnixMilli(ms)
}

// load reads which documents there are.
func (q *quarantine) load(s spool.Spool) error {
	q.known = map[string]bool{}
	return s.Scan(quarantinePrefix, func(key string, value []byte) error {
		var doc quarantined
		_ = json.Unmarshal(value, &doc) // one that is damaged is listed as such
		key = strings.TrimPrefix(key, quarantinePrefix)
		q.kept = append(q.kept, keptItem{key, int64(len(value)) + doc.Sealed, doc.Sealed > 0 && doc.Replayed == nil})
		q.bytes += int64(len(value)) + doc.Sealed
		q.known[hashOf(key)] = true
		return nil
	})
}

// overdue takes what has to go out of the list. q.mu is held.
func (q *quarantine) overdue(now time.Time) (old []keptItem) {
	n := 0
	for bytes := q.bytes; n < len(q.kept) && (len(q.kept)-n > maxQuarantined || bytes > maxQuarantinedBytes ||
		now.Sub(q.kept[n].at()) > quarantinedFor); n++ {
		bytes -= q.kept[n].bytes
	}
	old = slices.Clone(q.kept[:n])
	q.kept = q.kept[n:]
	for _, k := range old {
		q.bytes -= k.bytes
		delete(q.known, hashOf(k.key))
	}
	return old
}

// forget are the operations that remove documents.
func forget(old []keptItem) (ops []spool.Op) {
	for _, k := range old {
		ops = append(ops, spool.Delete(quarantinePrefix+k.key), spool.Delete(sealedPrefix+k.key))
	}
	return ops
}

func hashOf(key string) string { return key[strings.LastIndexByte(key, '-')+1:] }

// prepare returns what goes into the spool together with the chunk id: a chunk
// with an EventQuarantined for each bad item, and the documents. A body that
// is sent again gives the same events, and no second document. done must be
// told how the append ended.
func (q *quarantine) prepare(id spool.ID, source string, now time.Time, bad *badItems) (spool.Chunk, []spool.Op, func(error)) {
	c := spool.Chunk{ID: sha256.Sum256(append([]byte("quarantine\x00"), id[:]...)), Kind: spool.KindOwn, Source: "own", Received: now}
	add := func(index string, d details) {
		c.Items++
		c.Data = spool.AppendItem(c.Data, record.MustJSON(record.OwnEvent{
			ID: "quarantined/" + hex.EncodeToString(id[:]) + "/" + index, Name: record.EventEventQuarantined,
			Time: now, Details: record.MustJSON(d),
		}))
	}
	var fresh []keptItem
	documents := map[string][2][]byte{} // and sealed copies
	for i, b := range bad.items {
		hash := sha256.Sum256(fmt.Appendf(id[:len(id):len(id)], "/%d", i))
		key := fmt.Sprintf("%013d-%x", now.UnixMilli(), hash[:8])
		sum := hex.EncodeToString(b.sum[:])
		add(fmt.Sprint(i), details{Source: source, Reason: b.reason, Length: b.length, SHA256: sum, QuarantineID: itemID(key)})
		document := record.MustJSON(quarantined{
			Time: now.UTC(), Source: source, Reason: b.reason, Length: b.length, SHA256: sum, Copy: b.masked, Sealed: int64(len(b.sealed)),
		})
		documents[key] = [2][]byte{document, b.sealed}
		fresh = append(fresh, keptItem{key, int64(len(document) + len(b.sealed)), len(b.sealed) > 0})
	}
	if others := bad.count - len(bad.items); others > 0 {
		add("others", details{Source: source, Reason: "more items of the same body", Length: bad.otherLength, Items: others})
	}

	q.mu.Lock()
	defer q.mu.Unlock()
	var ops []spool.Op
	var added []keptItem
	for _, k := range fresh {
		hash := hashOf(k.key)
		if q.known[hash] {
			continue
		}
		q.known[hash] = true
		q.bytes += k.bytes
		added = append(added, k)
		document := documents[k.key]
		ops = append(ops, spool.Set(quarantinePrefix+k.key, document[0]))
		if k.replayable {
			ops = append(ops, spool.Set(sealedPrefix+k.key, document[1]))
		}
	}
	q.kept = append(q.kept, added...)
	old := q.overdue(now)
	return c, append(ops, forget(old)...), func(err error) { q.done(err, added, old) }
}

// done undoes what prepare noted, if the spool did not take it.
func (q *quarantine) done(err error, added, old []keptItem) {
	if err == nil {
		q.dropped(len(old))
		return
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	gone := map[string]bool{}
	for _, k := range added {
		gone[k.key] = true
	}
	kept := slices.Concat(old, q.kept)
	q.kept, q.bytes = nil, 0
	for _, k := range kept {
		if gone[k.key] {
			delete(q.known, hashOf(k.key))
			continue
		}
		q.kept = append(q.kept, k)
		q.bytes += k.bytes
		q.known[hashOf(k.key)] = true
	}
}
