package tail

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/klauspost/compress/gzip"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"k8s.io/utils/clock"
)

// fatal is what tests of both kinds have.
type fatal interface {
	Helper()
	Fatal(...any)
	Fatalf(string, ...any)
}

// instant is a clock whose timers do not wait.
type instant struct{ clock.RealClock }

// Since makes everything long ago.
func (instant) Since(time.Time) time.Duration { return time.Hour }

func (instant) NewTimer(time.Duration) clock.Timer { return firedTimer{} }

type firedTimer struct{}

func (firedTimer) C() <-chan time.Time {
	c := make(chan time.Time)
	close(c)
	return c
}
func (firedTimer) Stop() bool               { return true }
func (firedTimer) Reset(time.Duration) bool { return true }

// writer writes an audit log and rotates it in the steps of lumberjack, each of
// which may be the last one before somebody looks.
type writer struct {
	t      fatal
	dir    string
	active *os.File
	lines  int
	half   string   // the rest of a line that is written to its middle
	now    [][]byte // lines of the active file
	files  []*writtenFile
	all    []string // what was written, in order
	turns  int
}

// writtenFile is a rotated file.
type writtenFile struct {
	base           string
	content        []byte
	lines          []string
	plain, zipping bool
	gone           bool
}

func newWriter(t fatal, dir string) *writer {
	return &writer{t: t, dir: dir}
}

func (w *writer) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *writer) path(name string) string { return filepath.Join(w.dir, name) }

func (w *writer) open() {
	w.t.Helper()
	if w.active != nil {
		return
	}
	f, err := os.OpenFile(w.path("audit.log"), os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	w.must(err)
	w.active = f
}

// event is a line without its end.
func (w *writer) event(size int) string {
	w.lines++
	return fmt.Sprintf(`{"kind":"Event","auditID":"id-%06d","pad":"%s","stageTimestamp":%q}`, w.lines, strings.Repeat("x", size), time.Now().UTC().Format(time.RFC3339Nano))
}

func (w *writer) put(s string) {
	w.t.Helper()
	w.open()
	_, err := io.WriteString(w.active, s)
	w.must(err)
}

// write writes a whole line.
func (w *writer) write(size int) {
	w.t.Helper()
	w.endLine()
	line := w.event(size)
	w.put(line + "\n")
	w.wrote(line)
}

func (w *writer) wrote(line string) {
	w.now = append(w.now, []byte(line))
	w.all = append(w.all, line)
}

// begin writes a line to its middle; endLine the rest of it.
func (w *writer) begin(size int) {
	w.t.Helper()
	w.endLine()
	line := w.event(size)
	w.put(line[:len(line)/2])
	w.wrote(line[:len(line)/2])
	w.half = line[len(line)/2:]
}

func (w *writer) endLine() {
	w.t.Helper()
	if w.half == "" {
		return
	}
	w.put(w.half + "\n")
	last := w.all[len(w.all)-1] + w.half
	w.all[len(w.all)-1] = last
	w.now[len(w.now)-1] = []byte(last)
	w.half = ""
}

// rotate renames the active file; create makes the next one.
func (w *writer) rotate() {
	w.t.Helper()
	if w.active == nil {
		return
	}
	w.must(w.active.Close())
	w.active = nil
	w.turns++
	f := &writtenFile{base: "audit-" + time.Date(2026, 11, 21, 10, 0, w.turns, 0, time.UTC).Format(timeFormat) + ".log", plain: true}
	w.must(os.Rename(w.path("audit.log"), w.path(f.base)))
	content, err := os.ReadFile(w.path(f.base))
	w.must(err)
	f.content = content
	for _, l := range w.now {
		f.lines = append(f.lines, string(l))
	}
	w.now, w.half = nil, "" // what was cut off stays so
	w.files = append(w.files, f)
}

// compress does the next step of compression of the oldest file that needs one.
func (w *writer) compress() {
	w.t.Helper()
	for _, f := range w.files {
		if f.gone || !f.plain {
			continue
		}
		zipped := gzipped(f.content)
		if !f.zipping {
			w.must(os.WriteFile(w.path(f.base+compressed), zipped[:len(zipped)/2], 0o600))
			f.zipping = true
			return
		}
		w.must(os.WriteFile(w.path(f.base+compressed), zipped, 0o600))
		w.must(os.Remove(w.path(f.base)))
		f.plain = false
		return
	}
}

// remove deletes the oldest file.
func (w *writer) remove() *writtenFile {
	w.t.Helper()
	for _, f := range w.files {
		if f.gone {
			continue
		}
		f.gone = true
		if f.plain {
			w.must(os.Remove(w.path(f.base)))
		}
		if !f.plain || f.zipping {
			w.must(os.Remove(w.path(f.base + compressed)))
		}
		return f
	}
	return nil
}

func gzipped(b []byte) []byte {
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	_, _ = z.Write(b)
	_ = z.Close()
	return out.Bytes()
}

// inbox is a receiver that keeps the contract with tails.
type inbox struct {
	t      fatal
	marks  map[string]int64
	sums   map[string][32]byte
	lines  []string // items in order
	broken int
	// answers are given before others: 0 for none, 1 for none although the POST
	// was stored, or a status.
	answers func() int
}

func newInbox(t fatal) *inbox {
	return &inbox{t: t, marks: map[string]int64{}, sums: map[string][32]byte{}, answers: func() int { return http.StatusOK }}
}

var errAway = errors.New("away")

func (in *inbox) post(_ context.Context, source string, sequence int64, b body) answer {
	in.t.Helper()
	how := in.answers()
	if how == 0 {
		return answer{err: errAway}
	}
	if how != 1 && how != http.StatusOK {
		return answer{code: how, err: errAway}
	}
	r, err := b.open()
	if err != nil {
		return answer{err: err}
	}
	raw, err := io.ReadAll(r)
	if err != nil || int64(len(raw)) != b.length {
		in.t.Fatalf("a body of %d bytes, announced were %d: %v", len(raw), b.length, err)
	}
	key := fmt.Sprintf("%s/%d", source, sequence)
	switch mark := in.marks[source]; {
	case sequence > mark+1:
		return answer{code: http.StatusConflict, mark: mark, err: errors.New("gap")}
	case sequence <= mark:
		if in.sums[key] != sha256.Sum256(raw) {
			in.t.Fatalf("%s came again with other bytes", key)
		}
	default:
		in.marks[source], in.sums[key] = sequence, sha256.Sum256(raw)
		if sequence > 1 || string(raw) != listBegin+listEnd { // else a tail asks whether it is let in
			in.store(raw)
		}
	}
	if how == 1 {
		return answer{err: errAway}
	}
	return answer{code: http.StatusOK}
}

func (in *inbox) store(raw []byte) {
	in.t.Helper()
	var list struct {
		Kind  string            `json:"kind"`
		Items []json.RawMessage `json:"items"`
	}
	if json.Unmarshal(raw, &list) == nil {
		if list.Kind != "EventList" || len(list.Items) == 0 {
			in.t.Fatalf("not a list of events: %.200s", raw)
		}
		for _, item := range list.Items {
			in.lines = append(in.lines, string(item))
		}
		return
	}
	item, ok := strings.CutPrefix(string(raw), listBegin)
	item, ok2 := strings.CutSuffix(item, listEnd)
	if !ok || !ok2 {
		in.t.Fatalf("not a list: %.200s", raw)
	}
	in.broken++
	in.lines = append(in.lines, strings.TrimSuffix(item, "\n"))
}

// place is where a tail runs.
type place struct {
	log, state string
	receiver   string
	in         *inbox
	backfill   bool
	hit        func(string)
	metrics    *prometheus.Registry
	t          *Tail
}

func newPlace(log, state string, in *inbox) *place {
	return &place{log: log, state: state, in: in, backfill: true, hit: func(string) {}, metrics: prometheus.NewRegistry()}
}

func (p *place) start() error {
	t, err := New(Options{
		Path: filepath.Join(p.log, "audit.log"), StateDir: p.state, ReceiverDir: p.receiver, Backfill: p.backfill, Interval: time.Minute,
		Clock: instant{}, Log: logr.Discard(), APIServer: "node-1",
	})
	if err != nil {
		return err
	}
	t.quiet, t.send, t.hit = 0, p.in.post, func(name string) { p.hit(name) }
	if p.t != nil {
		t.metrics = p.t.metrics // they go on
	}
	p.t = t
	return nil
}

// killed is what hit panics with.
type killed struct{}

// step runs a tail for a step, and reports whether it has read everything, or
// was killed.
func (p *place) step(ctx context.Context) (idle, dead bool, err error) {
	defer func() {
		if r := recover(); r != nil {
			if _, ok := r.(killed); !ok {
				panic(r)
			}
			dead = true
			p.crash()
		}
	}()
	wait, err := p.t.step(ctx)
	return wait > 0, false, err
}

// crash takes from a tail what a killed process loses.
func (p *place) crash() {
	p.t.leave()
	_ = p.t.store.close()
}

// drain runs a tail until there is nothing more.
func (p *place) drain(t fatal) {
	t.Helper()
	for quiet, n := 0, 0; quiet < 3; n++ {
		idle, dead, err := p.step(context.Background())
		if err != nil || dead || n > 100_000 {
			t.Fatalf("step %d: %v, killed: %v", n, err, dead)
		}
		if quiet++; !idle {
			quiet = 0
		}
	}
}

func (p *place) lost(reason string) int {
	return int(testutil.ToFloat64(p.t.metrics.lost.WithLabelValues(reason)))
}

// testPlace is a tail with a writer and a receiver.
func testPlace(t *testing.T) (*place, *writer) {
	t.Helper()
	log := t.TempDir()
	p := newPlace(log, t.TempDir(), newInbox(t))
	if err := p.start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.crash() })
	return p, newWriter(t, log)
}

func wantLines(t fatal, got, want []string) {
	t.Helper()
	if slices.Equal(got, want) {
		return
	}
	for i := range min(len(got), len(want)) {
		if got[i] != want[i] {
			t.Fatalf("line %d of %d is\n%.120s\nwant, of %d,\n%.120s", i, len(got), got[i], len(want), want[i])
		}
	}
	t.Fatalf("%d lines arrived, want %d", len(got), len(want))
}
