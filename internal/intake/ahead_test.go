package intake

import (
	"errors"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/trail-operator/trail-operator/internal/auditevent"
)

// counting counts what is made ahead.
type counting struct {
	added, same int
	released    *atomic.Int64
}

func (c *counting) Add(e *auditevent.Event, stored []byte, same bool) {
	c.added++
	if same {
		c.same++
	}
	if !same && strings.Contains(string(stored), "c2VjcmV0") {
		c.added = -1000
	}
	_ = e.Key("c")
}
func (c *counting) Whole(n int) bool { return c.added == n }
func (c *counting) Release()         { c.released.Add(1) }

// Records are made ahead of what is stored, and attached to the chunk; where a
// body breaks off, or cannot be stored, they are released.
func TestAhead(t *testing.T) {
	s := newMemorySpool()
	var released atomic.Int64
	r := run(t, s, func(o *Options) {
		o.Ahead = func(source string) Ahead {
			if source != account+"/cp-1" {
				t.Errorf("source %q", source)
			}
			return &counting{released: &released}
		}
	})
	secret := event("b", `"objectRef":{"resource":"secrets","namespace":"d","name":"n"}`, `"requestObject":{"data":{"p":"c2VjcmV0"}}`)
	r.send(list(event("a"), secret, `{"auditID":1}`), 200)
	if len(s.chunks) == 0 || s.chunks[0].Attached == nil {
		t.Fatal("nothing is attached")
	}
	if got := s.chunks[0].Attached.(*counting); got.added != 2 || got.same != 1 || released.Load() != 0 {
		t.Errorf("%d added, %d as they came, %d released", got.added, got.same, released.Load())
	}
	s.err = errors.New("no space")
	r.send(list(event("c")), 503)
	s.err = nil
	if released.Load() != 1 {
		t.Errorf("of a chunk that is not stored: released %d times", released.Load())
	}
	r.send(strings.TrimSuffix(list(event("d"), event("e")), listTail)+`,{"broken`, 200)
	if last := s.chunks[len(s.chunks)-1]; len(s.chunks) < 2 || last.Items != 2 && s.chunks[len(s.chunks)-2].Items != 2 {
		t.Errorf("%+v", last)
	}
}
