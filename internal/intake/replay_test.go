package intake

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/trail-operator/trail-operator/internal/receiverstatus"
	"github.com/trail-operator/trail-operator/internal/spool"
)

// refused puts an item into quarantine as a version would that does not
// understand it.
func (r *running) refused(s *memorySpool, raw string, body ...string) (id string) {
	r.t.Helper()
	r.clock.SetTime(r.clock.Now().Add(time.Second))
	q := &r.handler.quarantine
	sum := sha256.Sum256([]byte(raw))
	bad := &badItems{count: 1, items: []badItem{{
		reason: "item is of a kind to come", length: int64(len(raw)), sum: sum, masked: mask([]byte(raw)), sealed: q.vault.seal([]byte(raw), &sum),
	}}}
	of := spool.ID(sha256.Sum256([]byte(raw + strings.Join(body, ""))))
	chunk, ops, done := q.prepare(of, "123456789012/cp-1", r.clock.Now(), bad)
	audit := spool.Chunk{ID: of, Kind: spool.KindAudit, Source: "123456789012/cp-1", Quarantined: 1}
	_, err := s.Append(r.t.Context(), []spool.Chunk{audit, chunk}, ops...)
	done(err)
	if err != nil {
		r.t.Fatal(err)
	}
	list := r.list()
	return list[len(list)-1].ID
}

func (r *running) list() (list []receiverstatus.Kept) {
	r.t.Helper()
	if err := r.handler.Quarantined("", func(k receiverstatus.Kept) error { list = append(list, k); return nil }); err != nil {
		r.t.Fatal(err)
	}
	return list
}

func (r *running) replay(id, want string) receiverstatus.KeptOutcome {
	r.t.Helper()
	got, err := r.handler.Replay(context.Background(), id)
	if err != nil || got.Outcome != want || got.ID != id {
		r.t.Fatalf("%+v, %v, want %q", got, err, want)
	}
	return got
}

func TestReplay(t *testing.T) {
	s := newMemorySpool()
	r := run(t, s)
	secret := event("a", `"objectRef":{"resource":"secrets"}`, `"requestObject":{"data":{"p":"`+canary+`"}}`)
	id := r.refused(s, secret)
	for key, value := range s.docs {
		if bytes.Contains(value, []byte(canary)) {
			t.Fatalf("%s holds the credential", key)
		}
	}
	if got := r.replay(id, receiverstatus.ReplayedNow); got.Records != 1 {
		t.Errorf("%+v", got)
	}
	r.replay(id, receiverstatus.ReplayedBefore)
	got := s.content(t)
	want := []string{event("a", `"objectRef":{"resource":"secrets"}`, `"requestObject":{"redacted":"<sensitiveDataRemoved>"}`)}
	if diff := cmp.Diff(want, got.Items); diff != "" || got.Quarantined != 0 {
		t.Errorf("%d in quarantine: %s", got.Quarantined, diff)
	}
	last := s.chunks[len(s.chunks)-1]
	if last.Kind != spool.KindReplayed || last.Source != "123456789012/cp-1" || last.Quarantined != 1 {
		t.Errorf("%+v", last)
	}
	if n := s.documents(sealedPrefix); n != 0 {
		t.Errorf("%d sealed copies are left", n)
	}
	item, err := r.handler.QuarantinedItem(id)
	if err != nil || item.Replayable || item.Replayed == nil || !item.Replayed.Equal(r.clock.Now()) || item.Copy == "" {
		t.Errorf("%+v, %v", item, err)
	}
	again := run(t, s) // a restart
	again.replay(id, receiverstatus.ReplayedBefore)
	again.replay("item-1-1", receiverstatus.KeptGone)
	again.replay("own/1", receiverstatus.KeptGone)
}

// TestReplayForms: what was refused may be an item, a body, or the rest of one.
func TestReplayForms(t *testing.T) {
	good := event("a")
	skipped := strings.Replace(good, "ResponseComplete", "RequestReceived", 1)
	for name, c := range map[string]struct {
		raw     string
		outcome string
		records int64
		reason  string
	}{
		"item":            {good, receiverstatus.ReplayedNow, 1, ""},
		"stage":           {skipped, receiverstatus.ReplayedNow, 0, nothingToRecord},
		"body":            {list(good, good), receiverstatus.ReplayedNow, 2, ""},
		"rest":            {good + "," + good + "]}", receiverstatus.ReplayedNow, 2, ""},
		"still bad":       {`{"auditID":5}`, receiverstatus.KeptRefused, 0, "item has a member of the wrong type"},
		"one is bad":      {list(good, "5"), receiverstatus.KeptRefused, 0, "item has no auditID"},
		"empty":           {"", receiverstatus.KeptRefused, 0, "body ends in the middle of its JSON"},
		"ends in between": {good + ",", receiverstatus.KeptRefused, 0, "body is not valid JSON"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newMemorySpool()
			r := run(t, s)
			before := s.content(t)
			id := r.refused(s, c.raw)
			quarantined := s.content(t)
			got := r.replay(id, c.outcome)
			if got.Records != c.records || got.Reason != c.reason {
				t.Errorf("%+v", got)
			}
			if c.outcome == receiverstatus.KeptRefused {
				if diff := cmp.Diff(quarantined, s.content(t)); diff != "" {
					t.Error(diff)
				}
			} else if n := len(s.content(t).Items) - len(before.Items); int64(n) != c.records {
				t.Errorf("%d items are stored", n)
			}
		})
	}
}

// TestReplayOfWhatCame: real items, of which none has become one that is understood.
func TestReplayOfWhatCame(t *testing.T) {
	s := newMemorySpool()
	r := run(t, s)
	r.send(list(event("a"), `{"auditID":5}`, `{"auditID":"b","stage":"To come","stageTimestamp":"2026-11-21T03:39:02.498580Z","verb":"get"}`,
		`"`+strings.Repeat("x", 300<<10)+`"`, `{"broken":nope}`), 200)
	kept := r.list()
	if len(kept) != 4 {
		t.Fatalf("%d are kept", len(kept))
	}
	for i, k := range kept {
		if k.Copy != "" || k.SHA256 == "" || k.Source != "123456789012/cp-1" || k.Reason == "" || k.Until == nil {
			t.Errorf("%+v", k)
		}
		got := r.replay(k.ID, receiverstatus.KeptRefused)
		if large := k.Bytes > 256<<10; large == k.Replayable || large != (got.Reason == errIncomplete.Error()) {
			t.Errorf("%d: %+v, %+v", i, k, got)
		}
	}
	if got := r.list(); len(got) != 4 || len(s.content(t).Items) != 1 {
		t.Errorf("%d are kept, %d recorded", len(got), len(s.content(t).Items))
	}
	var rest []receiverstatus.Kept
	if err := r.handler.Quarantined(kept[1].ID, func(k receiverstatus.Kept) error { rest = append(rest, k); return nil }); err != nil || len(rest) != 2 {
		t.Errorf("%d behind the second, %v", len(rest), err)
	}
	shown, err := r.handler.QuarantinedItem(kept[0].ID)
	if err != nil || shown.Copy == "" {
		t.Errorf("%+v, %v", shown, err)
	}
	// The record of the quarantine names the item as it is shown.
	own := s.content(t).Own
	ids := map[string]bool{}
	for _, e := range own {
		var d details
		if err := json.Unmarshal(e.Details, &d); err != nil {
			t.Fatal(err)
		}
		ids[d.QuarantineID] = true
	}
	for _, k := range kept {
		if !ids[k.ID] {
			t.Errorf("no record names %s", k.ID)
		}
	}
}

// TestReplayOfTheSame: what came twice is recorded once.
func TestReplayOfTheSame(t *testing.T) {
	s := newMemorySpool()
	r := run(t, s)
	first := r.refused(s, event("a"))
	// In another body, under another ID.
	second := r.refused(s, event("a"), "again")
	if first == second {
		t.Fatal("it was put into quarantine once")
	}
	if got := r.replay(first, receiverstatus.ReplayedNow); got.Records != 1 {
		t.Errorf("%+v", got)
	}
	if got := r.replay(second, receiverstatus.ReplayedNow); got.Records != 0 || got.Reason == "" {
		t.Errorf("%+v", got)
	}
	if got := s.content(t); len(got.Items) != 1 || got.Quarantined != 0 {
		t.Errorf("%d items, %d in quarantine", len(got.Items), got.Quarantined)
	}
}

// TestReplayFails: nothing is noted when the spool takes nothing.
func TestReplayFails(t *testing.T) {
	s := newMemorySpool()
	r := run(t, s)
	id := r.refused(s, event("a"))
	s.fail(errors.New("no"))
	if _, err := r.handler.Replay(t.Context(), id); err == nil {
		t.Fatal("it was replayed")
	}
	s.fail(nil)
	if got := r.list(); !got[0].Replayable {
		t.Error("it cannot be replayed any more")
	}
	r.replay(id, receiverstatus.ReplayedNow)
}

// TestVault: a rotation of the installation's key keeps what is sealed; one that
// happened while the receiver was away loses it, and says so.
func TestVault(t *testing.T) {
	s := newMemorySpool()
	r := run(t, s)
	id, lost := r.refused(s, event("a")), r.refused(s, event("b"))
	if err := r.handler.Unlock([]byte("another key")); err != nil {
		t.Fatal(err)
	}
	h, err := New(Options{Spool: s, Clock: r.clock, Log: r.log.logger()})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := h.Replay(t.Context(), id); err != nil || got.Reason != errLocked.Error() {
		t.Errorf("%+v, %v", got, err)
	}
	if err := h.Unlock([]byte("another key")); err != nil || strings.Contains(r.log.String(), "signing key has changed") {
		t.Fatal(err)
	}
	if got, err := h.Replay(t.Context(), id); err != nil || got.Outcome != receiverstatus.ReplayedNow {
		t.Errorf("%+v, %v", got, err)
	}
	h, err = New(Options{Spool: s, Clock: r.clock, Log: r.log.logger()})
	if err != nil {
		t.Fatal(err)
	}
	if err := h.Unlock([]byte("a third key")); err != nil || !strings.Contains(r.log.String(), "signing key has changed") {
		t.Fatal(err)
	}
	if got, err := h.Replay(t.Context(), lost); err != nil || got.Reason != errOtherKey.Error() {
		t.Errorf("%+v, %v", got, err)
	}
}

// TestSealedIsBound: a copy opens as that of its own item only.
func TestSealedIsBound(t *testing.T) {
	s := newMemorySpool()
	r := run(t, s)
	a, b := r.refused(s, event("a")), r.refused(s, event("b"))
	keyOf := func(id string) string { return sealedPrefix + strings.TrimPrefix(id, itemPrefix) }
	s.docs[keyOf(a)] = s.docs[keyOf(b)]
	if got := r.replay(a, receiverstatus.KeptRefused); got.Reason != errUnsealed.Error() {
		t.Errorf("%+v", got)
	}
	s.docs[keyOf(b)][30] ^= 1
	if got := r.replay(b, receiverstatus.KeptRefused); got.Reason != errUnsealed.Error() {
		t.Errorf("%+v", got)
	}
}

// FuzzQuarantineShowsNoCredential: whatever becomes of an event about a Secret
// or a token, nothing that is shown or stored holds the credential.
func FuzzQuarantineShowsNoCredential(f *testing.F) {
	for _, body := range canaries() {
		if len(body) < 64<<10 {
			f.Add([]byte(body), uint16(3), byte(0), uint16(20))
		}
	}
	s := newMemorySpool()
	h, err := New(Options{Spool: s, Clock: fixedClock})
	if err != nil {
		f.Fatal(err)
	}
	if err := h.Unlock([]byte("k")); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, body []byte, at uint16, put byte, cut uint16) {
		// The credential itself stays whole: each change is beside it.
		broken := bytes.Clone(body)
		if i := int(at) % (len(broken) + 1); i < len(broken) && !inside(broken, i) {
			broken[i] = put
		}
		if i := int(cut) % (len(broken) + 1); !inside(broken, i) {
			broken = broken[i:]
		}
		if shown := mask(broken); strings.Contains(shown, "hunter2") || strings.Contains(shown, "c4n4ry") {
			t.Fatalf("%q shows %q", broken, shown)
		}
		sum := sha256.Sum256(broken)
		if sealed := h.quarantine.vault.seal(broken, &sum); bytes.Contains(sealed, []byte(canary)) {
			t.Fatal("the sealed copy holds the credential")
		}
	})
}

var fixedClock = passiveClock{}

type passiveClock struct{}

func (passiveClock) Now() time.Time                  { return time.Unix(1800000000, 0) }
func (passiveClock) Since(t time.Time) time.Duration { return time.Unix(1800000000, 0).Sub(t) }

// inside reports whether i is in the middle of a canary.
func inside(b []byte, i int) bool {
	from := max(0, i-len(canary))
	j := bytes.Index(b[from:min(len(b), i+len(canary))], []byte(canary))
	return j >= 0 && from+j < i+1 && i < from+j+len(canary)
}
