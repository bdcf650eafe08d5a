package intake

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/trail-operator/trail-operator/internal/auditevent"
	"github.com/trail-operator/trail-operator/internal/record"
	"github.com/trail-operator/trail-operator/internal/spool"
)

const (
	// quarantinePrefix begins the keys of the documents: prefix, milliseconds
	// since 1970, a dash, and the beginning of a hash.
	quarantinePrefix = "quarantine/"
	// maxQuarantined is how many masked copies are kept; the oldest go first.
	maxQuarantined = 1000
	// maxBadItems of a chunk are recorded one by one; the others together.
	maxBadItems = 100
)

// badItem is an item that cannot become a record.
type badItem struct {
	reason string
	length int64
	sum    [sha256.Size]byte
	masked string
}

// badItems are those of one chunk.
type badItems struct {
	items       []badItem // the first maxBadItems
	count       int
	otherLength int64 // of those that are not in items
}

func (b *badItems) add(it *auditevent.Item) {
	b.count++
	if len(b.items) == maxBadItems {
		b.otherLength += it.Length
		return
	}
	b.items = append(b.items, badItem{it.Err.Error(), it.Length, it.Sum, mask(it.Head)})
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
}

// details of an EventQuarantined record.
type details struct {
	Source string `json:"source"`
	Reason string `json:"reason"`
	Length int64  `json:"length"`
	SHA256 string `json:"sha256,omitempty"`
	// Items is the number of items that one record stands for.
	Items int `json:"items,omitempty"`
}

// quarantine keeps the documents bounded.
type quarantine struct {
	mu      sync.Mutex
	keys    []string        // oldest first
	known   map[string]bool // hashes of keys
	dropped func(int)       // counts those that made room
}

// load reads which documents there are.
func (q *quarantine) load(s spool.Spool) error {
	q.known = map[string]bool{}
	return s.Scan(quarantinePrefix, func(key string, _ []byte) error {
		q.keys = append(q.keys, key)
		q.known[hashOf(key)] = true
		return nil
	})
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
	documents := map[string][]byte{}
	var keys []string
	for i, b := range bad.items {
		sum := hex.EncodeToString(b.sum[:])
		add(fmt.Sprint(i), details{Source: source, Reason: b.reason, Length: b.length, SHA256: sum})
		hash := sha256.Sum256(fmt.Appendf(id[:len(id):len(id)], "/%d", i))
		key := fmt.Sprintf("%s%013d-%x", quarantinePrefix, now.UnixMilli(), hash[:8])
		keys = append(keys, key)
		documents[key] = record.MustJSON(quarantined{now.UTC(), source, b.reason, b.length, sum, b.masked})
	}
	if others := bad.count - len(bad.items); others > 0 {
		add("others", details{Source: source, Reason: "more items of the same body", Length: bad.otherLength, Items: others})
	}

	q.mu.Lock()
	defer q.mu.Unlock()
	var ops []spool.Op
	var added []string
	for _, key := range keys {
		if hash := hashOf(key); !q.known[hash] {
			q.known[hash] = true
			added = append(added, key)
			ops = append(ops, spool.Set(key, documents[key]))
		}
	}
	q.keys = append(q.keys, added...)
	old := append([]string(nil), q.keys[:max(0, len(q.keys)-maxQuarantined)]...)
	q.keys = q.keys[len(old):]
	for _, key := range old {
		delete(q.known, hashOf(key))
		ops = append(ops, spool.Delete(key))
	}
	return c, ops, func(err error) { q.done(err, added, old) }
}

// done undoes what prepare noted, if the spool did not take it.
func (q *quarantine) done(err error, added, old []string) {
	if err == nil {
		q.dropped(len(old))
		return
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	gone := map[string]bool{}
	for _, key := range added {
		gone[key] = true
		delete(q.known, hashOf(key))
	}
	keys := append([]string(nil), old...)
	for _, key := range old {
		q.known[hashOf(key)] = true
	}
	for _, key := range q.keys {
		if !gone[key] {
			keys = append(keys, key)
		}
	}
	q.keys = keys
}
