package intake

import (
	"bytes"
	"context"
	"encoding/json"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/trail-operator/trail-operator/internal/record"
	"github.com/trail-operator/trail-operator/internal/spool"
)

// memorySpool is the part of a spool that intake uses, without a disk.
type memorySpool struct {
	spool.Spool // what intake must not call panics

	mu     sync.Mutex
	chunks []spool.Chunk
	known  map[spool.ID]spool.Position
	docs   map[string][]byte
	err    error // of Append
	// entered gets a value when Append begins, which then waits for hold.
	entered, hold chan struct{}
	forget        bool // do not keep Data
}

func newMemorySpool() *memorySpool {
	return &memorySpool{known: map[spool.ID]spool.Position{}, docs: map[string][]byte{}}
}

func (m *memorySpool) Append(_ context.Context, chunks []spool.Chunk, ops ...spool.Op) ([]spool.Appended, error) {
	if m.hold != nil {
		m.entered <- struct{}{}
		<-m.hold
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.err != nil {
		for _, c := range chunks {
			if c.Attached != nil {
				c.Attached.Release()
			}
		}
		return nil, m.err
	}
	var out []spool.Appended
	for _, c := range chunks {
		if at, ok := m.known[c.ID]; ok {
			out = append(out, spool.Appended{Position: at, Duplicate: true})
			continue
		}
		c.Data = bytes.Clone(c.Data)
		if m.forget {
			c.Data = nil
		}
		m.chunks = append(m.chunks, c)
		at := spool.Position(len(m.chunks))
		m.known[c.ID] = at
		out = append(out, spool.Appended{Position: at})
	}
	for _, op := range ops {
		if op.Value == nil {
			delete(m.docs, op.Key)
		} else {
			m.docs[op.Key] = bytes.Clone(op.Value)
		}
	}
	return out, nil
}

func (m *memorySpool) Get(key string) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return bytes.Clone(m.docs[key]), nil
}

func (m *memorySpool) Commit(ops ...spool.Op) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.err != nil {
		return m.err
	}
	for _, op := range ops {
		switch have := m.docs[op.Key]; {
		case !op.Expect && op.Value == nil:
			delete(m.docs, op.Key)
		case !op.Expect:
			m.docs[op.Key] = bytes.Clone(op.Value)
		case !bytes.Equal(have, op.Value) || (have == nil) != (op.Value == nil):
			return spool.ErrConflict
		}
	}
	return nil
}

func (m *memorySpool) Scan(prefix string, fn func(string, []byte) error) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	var keys []string
	for k := range m.docs {
		if strings.HasPrefix(k, prefix) {
			keys = append(keys, k)
		}
	}
	slices.Sort(keys)
	for _, k := range keys {
		if err := fn(k, m.docs[k]); err != nil {
			return err
		}
	}
	return nil
}

func (m *memorySpool) fail(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.err = err
}

// documents is the number of those whose keys have a prefix.
func (m *memorySpool) documents(prefix string) (n int) {
	_ = m.Scan(prefix, func(string, []byte) error { n++; return nil })
	return n
}

// content is what a spool holds.
type content struct {
	Items                        []string // of audit chunks
	Own                          []record.OwnEvent
	Skipped, Quarantined, Chunks int
	Docs                         []quarantined
}

func (m *memorySpool) content(t testing.TB) content {
	t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	var c content
	for _, chunk := range m.chunks {
		n := 0
		for item, err := range spool.Items(chunk.Data) {
			if err != nil {
				t.Fatal(err)
			}
			n++
			if chunk.Kind != spool.KindOwn {
				c.Items = append(c.Items, string(item))
				continue
			}
			var own record.OwnEvent
			if err := json.Unmarshal(item, &own); err != nil {
				t.Fatal(err)
			}
			c.Own = append(c.Own, own)
		}
		if n != chunk.Items && !m.forget {
			t.Errorf("a chunk says %d items and has %d", chunk.Items, n)
		}
		c.Chunks++
		c.Skipped += chunk.Skipped
		if chunk.Kind == spool.KindReplayed {
			c.Quarantined -= chunk.Quarantined
		} else {
			c.Quarantined += chunk.Quarantined
		}
	}
	var keys []string
	for k := range m.docs {
		if strings.HasPrefix(k, quarantinePrefix) {
			keys = append(keys, k)
		}
	}
	slices.Sort(keys)
	for _, k := range keys {
		var q quarantined
		if err := json.Unmarshal(m.docs[k], &q); err != nil {
			t.Fatal(err)
		}
		c.Docs = append(c.Docs, q)
	}
	return c
}
