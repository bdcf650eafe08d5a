package spooltest

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/trail-operator/trail-operator/internal/spool"
)

// model is what a spool should hold, and the spool that should hold it.
type model struct {
	v *Volume
	s spool.Spool

	chunks  []spool.Chunk // at position i+1
	trimmed spool.Position
	uptime  time.Duration
	seen    map[spool.ID]sighting
	state   map[string]string
}

type sighting struct {
	at       spool.Position
	lastSeen time.Duration
}

func testModel(t *testing.T, newVolume func(t *testing.T) *Volume) {
	rapid.Check(t, func(rt *rapid.T) {
		m := &model{v: newVolume(t), seen: map[spool.ID]sighting{}, state: map[string]string{}}
		var err error
		if m.s, err = m.v.Open(); err != nil {
			rt.Fatal(err)
		}
		defer func() { _ = m.s.Close() }()
		rt.Repeat(map[string]func(*rapid.T){
			"append": m.append,
			"commit": m.commit,
			"trim":   m.trim,
			"step":   m.step,
			"reopen": func(rt *rapid.T) { m.reopen(rt, false) },
			"crash":  func(rt *rapid.T) { m.reopen(rt, true) },
			"":       m.check,
		})
	})
}

var (
	names = rapid.SampledFrom([]string{"a", "b", "c", "d", "e", "f", "g", "h"})
	keys  = rapid.SampledFrom([]string{"x", "x/1", "x/2", "y"})
)

func (m *model) append(rt *rapid.T) {
	var chunks []spool.Chunk
	var want []spool.Appended
	for _, name := range rapid.SliceOfN(names, 0, 4).Draw(rt, "names") {
		c := chunk(name)
		chunks = append(chunks, c)
		old, known := m.seen[c.ID]
		if known && m.uptime-old.lastSeen < m.v.Window {
			m.seen[c.ID] = sighting{old.at, m.uptime}
			if old.at <= m.trimmed {
				old.at = 0
			}
			want = append(want, duplicate(old.at))
			continue
		}
		m.chunks = append(m.chunks, c)
		at := spool.Position(len(m.chunks))
		m.seen[c.ID] = sighting{at, m.uptime}
		want = append(want, spool.Appended{Position: at})
	}
	var ops []spool.Op
	if rapid.Bool().Draw(rt, "with state") {
		key, value := keys.Draw(rt, "key"), rapid.StringN(1, 5, -1).Draw(rt, "value")
		ops, m.state[key] = append(ops, spool.Set(key, []byte(value))), value
	}
	got, err := m.s.Append(rt.Context(), chunks, ops...)
	if err != nil {
		rt.Fatal(err)
	}
	if diff := cmp.Diff(want, got, cmp.Transformer("list", func(a []spool.Appended) string { return fmt.Sprint(a) })); diff != "" {
		rt.Fatal(diff)
	}
}

func (m *model) commit(rt *rapid.T) {
	after := maps.Clone(m.state)
	holds := true
	var ops []spool.Op
	for range rapid.IntRange(0, 3).Draw(rt, "operations") {
		key := keys.Draw(rt, "key")
		switch rapid.IntRange(0, 3).Draw(rt, "what") {
		case 0:
			value := rapid.StringN(0, 5, -1).Draw(rt, "value")
			ops, after[key] = append(ops, spool.Set(key, []byte(value))), value
		case 1:
			ops = append(ops, spool.Delete(key))
			delete(after, key)
		case 2: // holds
			op := spool.Expect(key, nil)
			if value, ok := m.state[key]; ok {
				op.Value = []byte(value)
			}
			ops = append(ops, op)
		case 3:
			value := rapid.StringN(0, 5, -1).Draw(rt, "value")
			ops = append(ops, spool.Expect(key, []byte(value)))
			if present, ok := m.state[key]; !ok || present != value {
				holds = false
			}
		}
	}
	err := m.s.Commit(ops...)
	switch {
	case holds && err == nil:
		m.state = after
	case holds || !errors.Is(err, spool.ErrConflict):
		rt.Fatalf("commit that should hold (%v): %v", holds, err)
	}
}

func (m *model) trim(rt *rapid.T) {
	upTo := spool.Position(rapid.IntRange(0, len(m.chunks)).Draw(rt, "up to"))
	if err := m.s.Trim(upTo); err != nil {
		rt.Fatal(err)
	}
	m.trimmed = max(m.trimmed, upTo)
}

func (m *model) step(rt *rapid.T) {
	d := time.Duration(rapid.Int64Range(0, int64(m.v.Window)*3/2).Draw(rt, "time"))
	m.v.Clock.Step(d)
	m.uptime += d
	// Uptime is made durable by the next append. Idle time before a crash does
	// not count, so that the model ends each step with a write.
	if err := m.s.Commit(spool.Delete("unused")); err != nil {
		rt.Fatal(err)
	}
}

func (m *model) reopen(rt *rapid.T, crash bool) {
	trimmed := m.trimmed
	if crash {
		if m.v.Crash == nil {
			rt.Skip("this volume cannot lose its power")
		}
		m.v.Crash()
		m.trimmed = 0 // a trim may be lost with the power; see below
	}
	if err := m.s.Close(); err != nil {
		rt.Fatal(err)
	}
	m.v.Clock.Step(time.Duration(rapid.IntRange(0, 3).Draw(rt, "away")) * m.v.Window)
	var err error
	if m.s, err = m.v.Open(); err != nil {
		rt.Fatal(err)
	}
	if crash && trimmed > 0 {
		// The reader's cursor is durable, so it trims again.
		if err := m.s.Trim(trimmed); err != nil {
			rt.Fatal(err)
		}
		m.trimmed = trimmed
	}
}

func (m *model) check(rt *rapid.T) {
	if tail := m.s.Tail(); tail != spool.Position(len(m.chunks)) {
		rt.Fatalf("the tail is at %d, want %d", tail, len(m.chunks))
	}
	want := map[spool.Position]spool.Chunk{}
	for i := int(m.trimmed); i < len(m.chunks); i++ {
		want[spool.Position(i+1)] = m.chunks[i]
	}
	got, err := collect(rt.Context(), m.s, 0)
	if err != nil {
		rt.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		rt.Fatal(diff)
	}
	for _, prefix := range []string{"", "x", "x/", "y"} {
		var wantState, gotState []string
		for _, key := range slices.Sorted(maps.Keys(m.state)) {
			if strings.HasPrefix(key, prefix) {
				wantState = append(wantState, key+"="+m.state[key])
			}
		}
		err := m.s.Scan(prefix, func(key string, value []byte) error {
			gotState = append(gotState, key+"="+string(value))
			return nil
		})
		if err != nil {
			rt.Fatal(err)
		}
		if diff := cmp.Diff(wantState, gotState); diff != "" {
			rt.Fatal(diff)
		}
	}
}
