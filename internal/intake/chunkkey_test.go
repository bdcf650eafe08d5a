package intake

import (
	"encoding/hex"
	"strings"
	"testing"

	"github.com/trail-operator/trail-operator/internal/spool"
)

// ids sends a body to a new receiver with this spool, and returns the IDs of all
// chunks in it.
func ids(t *testing.T, s *memorySpool, body string) (all []spool.ID, log string) {
	t.Helper()
	r := run(t, s)
	r.send(body, 200)
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.chunks {
		all = append(all, c.ID)
	}
	return all, r.log.String()
}

// TestChunkKey: a receiver that starts anew recognizes what it had, and another
// installation gives the same bytes another ID.
func TestChunkKey(t *testing.T) {
	body := list(event("a"), `{"bad":true}`) // the bad item is logged and recorded, with the ID
	s := newMemorySpool()
	first, log := ids(t, s, body)
	if len(first) != 2 {
		t.Fatalf("%d chunks", len(first))
	}
	key := s.docs[chunkKeyDocument]
	if len(key) != 32 || string(key) == string(make([]byte, 32)) {
		t.Fatalf("key %x", key)
	}
	if again, _ := ids(t, s, body); len(again) != len(first) {
		t.Errorf("%d chunks after the same body was sent to a new receiver", len(again))
	}
	if string(s.docs[chunkKeyDocument]) != string(key) {
		t.Error("the key has changed")
	}
	if other, _ := ids(t, newMemorySpool(), body); other[0] == first[0] || other[1] == first[1] {
		t.Error("two spools have one key")
	}
	for name, b := range s.docs {
		if name != chunkKeyDocument && strings.Contains(string(b), hex.EncodeToString(key[:8])) {
			t.Errorf("%s holds the key", name)
		}
	}
	if strings.Contains(log, hex.EncodeToString(key[:8])) || strings.Contains(log, string(key[:8])) {
		t.Error("the log holds the key")
	}
}

// TestChunkKeyOnAFullVolume: without a key nothing is stored, and the client
// comes again.
func TestChunkKeyOnAFullVolume(t *testing.T) {
	s := newMemorySpool()
	r := run(t, s)
	s.fail(spool.ErrFull)
	if resp := r.send(list(event("a")), 503); resp.Header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	if s.docs[chunkKeyDocument] != nil {
		t.Error("there is a key")
	}
	s.fail(nil)
	r.send(list(event("a")), 200)
	if got := s.content(t); len(got.Items) != 1 {
		t.Errorf("%+v", got)
	}
}
