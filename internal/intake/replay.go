package intake

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/trail-operator/trail-operator/internal/auditevent"
	"github.com/trail-operator/trail-operator/internal/failpoint"
	"github.com/trail-operator/trail-operator/internal/receiverstatus"
	"github.com/trail-operator/trail-operator/internal/record"
	"github.com/trail-operator/trail-operator/internal/spool"
)

const itemPrefix = receiverstatus.KeptItem + "-"

// itemID is the name of a document for users.
func itemID(key string) string { return itemPrefix + key }

// Unlock opens the sealed copies in quarantine with the installation's key, which
// must be known before the first POST. It is called again when that has changed.
func (h *Handler) Unlock(master []byte) error {
	lost, err := h.quarantine.vault.unlock(h.o.Spool, master)
	if lost {
		h.o.Log.Error(nil, "The signing key has changed while the receiver was away: what was in quarantine before can be shown, and cannot be replayed")
	}
	return err
}

// Quarantined calls fn for the items in quarantine behind the one with the ID
// after, oldest first.
func (h *Handler) Quarantined(after string, fn func(receiverstatus.Kept) error) error {
	h.quarantine.mu.Lock()
	kept := slices.Clone(h.quarantine.kept)
	h.quarantine.mu.Unlock()
	slices.SortFunc(kept, func(a, b keptItem) int { return strings.Compare(a.key, b.key) })
	for _, k := range kept {
		if itemID(k.key) <= after {
			continue
		}
		item, err := h.QuarantinedItem(itemID(k.key))
		if err != nil {
			return err
		}
		if item == nil { // it has just gone
			continue
		}
		item.Copy = ""
		if err := fn(*item); err != nil {
			return err
		}
	}
	return nil
}

// QuarantinedItem describes one item, nil when there is none.
func (h *Handler) QuarantinedItem(id string) (*receiverstatus.Kept, error) {
	doc, _, err := h.document(id)
	if doc == nil || err != nil {
		return nil, err
	}
	until := doc.Time.Add(quarantinedFor)
	return &receiverstatus.Kept{
		ID: id, Kind: receiverstatus.KeptItem, Time: doc.Time, Source: doc.Source, Reason: doc.Reason, Bytes: doc.Length, SHA256: doc.SHA256,
		Until: &until, Replayable: doc.Sealed > 0 && doc.Replayed == nil, Replayed: doc.Replayed, Copy: doc.Copy,
	}, nil
}

func (h *Handler) document(id string) (doc *quarantined, key string, err error) {
	key, ok := strings.CutPrefix(id, itemPrefix)
	if !ok {
		return nil, "", nil
	}
	raw, err := h.o.Spool.Get(quarantinePrefix + key)
	if raw == nil || err != nil {
		return nil, "", err
	}
	doc = &quarantined{}
	if json.Unmarshal(raw, doc) != nil {
		doc = &quarantined{Reason: "its description is damaged"}
	}
	return doc, key, nil
}

// CountQuarantined says how many items are in quarantine.
func (h *Handler) CountQuarantined(s *receiverstatus.KeptStatus) {
	h.quarantine.mu.Lock()
	defer h.quarantine.mu.Unlock()
	s.Items, s.ItemBytes, s.Replayable = len(h.quarantine.kept), h.quarantine.bytes, 0
	for _, k := range h.quarantine.kept {
		if k.replayable {
			s.Replayable++
		}
	}
}

// ForgetQuarantined removes what has been in quarantine for too long.
func (h *Handler) ForgetQuarantined() error {
	q := &h.quarantine
	q.mu.Lock()
	old := q.overdue(h.o.Clock.Now())
	q.mu.Unlock()
	if len(old) == 0 {
		return nil
	}
	err := h.o.Spool.Commit(forget(old)...)
	q.done(err, nil, old)
	if err != nil {
		return fmt.Errorf("remove what was in quarantine for 30 days: %w", err)
	}
	h.o.Log.Info("Items that were in quarantine for 30 days are removed", "items", len(old))
	return nil
}

// Replay treats an item in quarantine as if it had just come. When it has become
// one that can be recorded, it is in the spool, marked as replayed, together with
// the note that it was: neither a second call nor a crash gives a second record.
func (h *Handler) Replay(ctx context.Context, id string) (receiverstatus.KeptOutcome, error) {
	q := &h.quarantine
	q.replaying.Lock()
	defer q.replaying.Unlock()
	out := receiverstatus.KeptOutcome{ID: id, Outcome: receiverstatus.KeptGone}
	doc, key, err := h.document(id)
	switch {
	case err != nil:
		return out, err
	case doc == nil:
		return out, nil
	case doc.Replayed != nil:
		out.Outcome = receiverstatus.ReplayedBefore
		return out, nil
	}
	r, err := h.understand(doc, key)
	if err != nil {
		out.Outcome, out.Reason = receiverstatus.KeptRefused, err.Error()
		return out, nil
	}
	now := h.o.Clock.Now()
	// It may have come in another way, too, or twice.
	chunk := &post{h: h, data: r.data, items: r.items, known: r.known}
	if same, err := h.sameReplayed(doc, id); err != nil {
		return out, err
	} else if same {
		chunk.data, chunk.items, chunk.duplicates, chunk.known = nil, 0, r.items, nil
	}
	if chunk.known != nil {
		if err := chunk.leaveOut(ctx); err != nil {
			return out, err
		}
		defer h.index.release(chunk.known.holds)
	}
	at := now.UTC()
	doc.Replayed, doc.Sealed = &at, 0
	raw := record.MustJSON(doc)
	c := spool.Chunk{
		ID: sha256.Sum256([]byte("replayed\x00" + key)), Kind: spool.KindReplayed, Source: doc.Source, Received: now,
		Items: chunk.items, Data: chunk.data, Skipped: r.skipped, Quarantined: 1, Duplicates: chunk.duplicates, Events: chunk.known.fresh(),
	}
	failpoint.Hit("replay/before-append")
	if _, err := h.o.Spool.Append(ctx, []spool.Chunk{c}, spool.Set(quarantinePrefix+key, raw), spool.Delete(sealedPrefix+key)); err != nil {
		return out, fmt.Errorf("store what was replayed: %w", err)
	}
	failpoint.Hit("replay/after-append")
	if chunk.known != nil {
		h.index.noted(chunk.known.keys)
	}
	h.metrics.replayed.Inc()
	h.metrics.duplicates.Add(int64(chunk.duplicates))
	out.Outcome, out.Records = receiverstatus.ReplayedNow, int64(chunk.items)
	if chunk.items == 0 {
		out.Reason = nothingToRecord
	}
	return out, q.replayed(h.o.Spool, key, int64(len(raw)))
}

// sameReplayed reports whether the same bytes of the same cluster were replayed
// under another ID.
func (h *Handler) sameReplayed(doc *quarantined, id string) (same bool, err error) {
	cluster, _, _ := strings.Cut(doc.Source, "/")
	err = h.o.Spool.Scan(quarantinePrefix, func(key string, value []byte) error {
		var other quarantined
		if json.Unmarshal(value, &other) != nil || other.Replayed == nil || other.SHA256 != doc.SHA256 {
			return nil
		}
		of, _, _ := strings.Cut(other.Source, "/")
		same = same || of == cluster && itemID(strings.TrimPrefix(key, quarantinePrefix)) != id
		return nil
	})
	return same, err
}

// replayed notes that an item has no sealed copy any more.
func (q *quarantine) replayed(s spool.Spool, key string, bytes int64) error {
	q.mu.Lock()
	i := slices.IndexFunc(q.kept, func(k keptItem) bool { return k.key == key })
	if i >= 0 {
		q.bytes += bytes - q.kept[i].bytes
		q.kept[i].bytes, q.kept[i].replayable = bytes, false
	}
	q.mu.Unlock()
	if i >= 0 {
		return nil
	}
	return s.Commit(spool.Delete(quarantinePrefix + key)) // newer items have taken its place meanwhile
}

// replay collects what an item has become.
type replay struct {
	keepBodies bool
	known      *known // nil when nobody looks for events that came before
	item, data []byte
	items      int
	skipped    int
	err        error
}

// Item implements auditevent.Visitor.
func (r *replay) Item(it *auditevent.Item) error {
	switch e := it.Event; {
	case e == nil:
		r.err = it.Err
	case e.MakesRecord():
		r.item = e.AppendStored(r.item[:0], r.keepBodies)
		r.data = spool.AppendItem(r.data, r.item)
		if r.known != nil {
			r.known.add(e, len(r.data))
		}
		r.items++
	default:
		r.skipped++
	}
	return nil
}

// Cut implements auditevent.Visitor.
func (*replay) Cut([32]byte) error { return nil }

// understand reads an item anew: as one, as a whole body, or as the rest of a
// body that broke. The error is that of the first.
func (h *Handler) understand(doc *quarantined, key string) (*replay, error) {
	var sum [sha256.Size]byte
	if b, err := hex.DecodeString(doc.SHA256); err != nil || copy(sum[:], b) != len(sum) || doc.Sealed == 0 {
		return nil, errIncomplete
	}
	sealed, err := h.o.Spool.Get(sealedPrefix + key)
	if err != nil {
		return nil, err
	}
	raw, err := h.quarantine.vault.open(sealed, &sum)
	if err != nil {
		return nil, err
	}
	if sha256.Sum256(raw) != sum {
		return nil, errUnsealed
	}
	settings := h.settings.Load()
	var first error
	for _, around := range [...][2]string{{bodyHead, bodyTail}, {"", ""}, {bodyHead, ""}} {
		r := &replay{keepBodies: settings != nil && settings.keepBodies}
		if h.index.active() {
			cluster, _, _ := strings.Cut(doc.Source, "/")
			r.known = &known{cluster: cluster}
		}
		body := io.MultiReader(strings.NewReader(around[0]), bytes.NewReader(raw), strings.NewReader(around[1]))
		if err := (&auditevent.Splitter{}).Split(doc.Source, body, r); err != nil {
			return nil, err
		}
		if r.err == nil && r.items+r.skipped > 0 {
			return r, nil
		}
		if first == nil {
			first = r.err
		}
	}
	if first == nil {
		first = errIncomplete
	}
	return nil, first
}

const nothingToRecord = "there was nothing to record of it: another stage of the call is its record, or it was recorded before"

var errIncomplete = fmt.Errorf("only its beginning is kept, masked; items over %d KiB, and all but the first %d of a body, are not kept as a whole", sealedMost>>10, maxBadItems)

// sealedMost is the most of an item that the splitter shows.
const sealedMost = 256 << 10

// What stands around the items of a body.
const (
	bodyHead = `{"kind":"EventList","apiVersion":"audit.k8s.io/v1","items":[`
	bodyTail = `]}`
)
