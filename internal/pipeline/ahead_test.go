package pipeline

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/gzip"

	"github.com/trail-operator/trail-operator/internal/auditevent"
	"github.com/trail-operator/trail-operator/internal/receiverconfig"
	"github.com/trail-operator/trail-operator/internal/record"
	"github.com/trail-operator/trail-operator/internal/spool"
	"github.com/trail-operator/trail-operator/test/testenv"
)

// ahead makes the records of a chunk as intake does.
func (b *bench) ahead(c spool.Chunk) *Ahead {
	b.t.Helper()
	a := b.p.Ahead(c.Source)
	if a == nil {
		return nil
	}
	var p auditevent.Parser
	for item, err := range spool.Items(c.Data) {
		if err != nil {
			b.t.Fatal(err)
		}
		e, err := p.Parse(item)
		if err != nil {
			b.t.Fatal(err)
		}
		a.Add(e, item, true)
	}
	if !a.Whole(c.Items) {
		a.Release()
		return nil
	}
	return a
}

// splitting makes chunks of a body as intake does, and all records ahead.
type splitting struct {
	b      *bench
	buffer []byte
	a      *Ahead
	chunk  spool.Chunk
	chunks []spool.Chunk
}

func (s *splitting) Item(it *auditevent.Item) error {
	stored, same := it.Event.Stored(s.buffer, false)
	s.chunk.Data = spool.AppendItem(s.chunk.Data, stored)
	s.chunk.Items++
	s.a.Add(it.Event, stored, same)
	return nil
}

func (s *splitting) Cut(id [32]byte) error {
	s.chunk.ID, s.chunk.Attached = id, s.a
	s.chunks = append(s.chunks, s.chunk)
	return nil
}

// What is made ahead is, to the byte, what the reader makes of the stored chunk:
// of events as they come, with bodies, with secrets, and with what is not UTF-8.
func TestAheadIsWhatTheReaderMakes(t *testing.T) {
	b := newBench(t)
	trail := b.trail("a")
	trail.Namespace = "" // of the whole cluster
	b.apply()
	secret := `{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"Request","auditID":"s","stage":"ResponseComplete","requestURI":"/api/v1/namespaces/d/secrets?token=abc",` +
		`"verb":"create","user":{"username":"ann"},"sourceIPs":["10.0.0.1"],"objectRef":{"resource":"secrets","namespace":"d","name":"s","apiVersion":"v1"},` +
		`"responseStatus":{"code":201},"requestObject":{"kind":"Secret","data":{"p":"c2VjcmV0"}},"requestReceivedTimestamp":"2026-11-21T10:20:00.000000Z","stageTimestamp":"2026-11-21T10:20:00.100000Z"}`
	broken := strings.NewReplacer("secrets?token=abc", "x?a=\xff\xfe", `"secrets"`, `"pods"`, "c2VjcmV0", "b3Blbg", `"Secret"`, "\"Pod\xff\"").Replace(secret)
	events := testenv.NewEvents(3)
	lists := [][]byte{events.List(nil, 50), []byte(`{"kind":"EventList","apiVersion":"audit.k8s.io/v1","metadata":{},"items":[` + secret + "," + broken + `]}`)}
	events.Body = 5000
	lists = append(lists, events.List(nil, 20))
	n := 0
	for _, l := range lists {
		s := splitting{b: b, a: b.p.Ahead("123456789012/api-1"), chunk: spool.Chunk{Kind: spool.KindAudit, Source: "123456789012/api-1", Received: b.clock.Now()}}
		var splitter auditevent.Splitter
		if err := splitter.Split("123456789012/api-1", bytes.NewReader(l), &s); err != nil || len(s.chunks) != 1 || !s.a.Whole(s.chunk.Items) {
			t.Fatal(err, len(s.chunks))
		}
		n += s.chunk.Items
		again := s.chunks[0]
		again.Attached, again.ID[0] = nil, again.ID[0]+1
		if _, err := b.spool.Append(t.Context(), []spool.Chunk{s.chunks[0], again}); err != nil {
			t.Fatal(err)
		}
	}
	b.until("everything is delivered", func() bool { return b.status("a").Counts.Delivered >= int64(2*n) })
	var records []string
	for key, o := range b.bucket("a").Objects() {
		if record.IsLogFileKey(key) {
			for _, r := range rawRecords(t, o.Body) {
				if strings.Contains(r, `"requestID"`) { // none of our own
					records = append(records, r)
				}
			}
		}
	}
	slices.Sort(records)
	if len(records) != 2*n {
		t.Fatalf("%d records, want %d", len(records), 2*n)
	}
	for i := 0; i < len(records); i += 2 {
		if diff := cmp.Diff(records[i], records[i+1]); diff != "" {
			t.Error(diff)
		}
	}
	if text := strings.Join(records, "\n"); strings.Contains(text, "c2VjcmV0") || strings.Contains(text, "token=abc") {
		t.Error("a secret is in the records")
	}
	if got := b.p.ahead.bytes.Load(); got != 0 {
		t.Errorf("%d bytes are not given back", got)
	}
}

// rawRecords divides a log file.
func rawRecords(t *testing.T, body []byte) []string {
	t.Helper()
	zip, err := gzip.NewReader(bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	var raw bytes.Buffer
	if _, err := raw.ReadFrom(zip); err != nil {
		t.Fatal(err)
	}
	text := strings.TrimSuffix(strings.TrimPrefix(raw.String(), record.LogFileHead), record.LogFileTail)
	return strings.Split(strings.ReplaceAll(text, `},{"eventVersion"`, "}\n{\"eventVersion\""), "\n")
}

// Records that were made under a configuration that is not in force any more are
// made anew.
func TestAheadOfAConfiguration(t *testing.T) {
	b := newBench(t)
	b.trail("a")
	b.apply()
	c := b.chunk("a", 3)
	c.Attached = b.ahead(c)
	b.config.Kinds = receiverconfig.Kinds{List: []receiverconfig.Kind{{Group: "", Resource: "configmaps", Kind: "Renamed"}}}
	b.config.Installation.Region = "lab-2"
	b.apply()
	if _, err := b.spool.Append(t.Context(), []spool.Chunk{c}); err != nil {
		t.Fatal(err)
	}
	b.until("it is delivered", func() bool { return len(b.delivered("a")) >= 3 })
	for key, o := range b.bucket("a").Objects() {
		if record.IsLogFileKey(key) {
			if r := strings.Join(rawRecords(t, o.Body), ""); strings.Contains(r, "lab-1") || !strings.Contains(r, "lab-2") {
				t.Error(r)
			}
		}
	}
	if got := b.p.ahead.bytes.Load(); got != 0 {
		t.Errorf("%d bytes are not given back", got)
	}
}

// When memory is short nothing is made ahead, and the reader does it.
func TestAheadIsBounded(t *testing.T) {
	b := newBench(t)
	if b.p.Ahead("123456789012/api-1") != nil {
		t.Error("records are made for nobody")
	}
	b.trail("a")
	b.apply()
	var held []*Ahead
	for range maxAhead / aheadStep {
		if a := b.p.Ahead("123456789012/api-1"); a != nil {
			held = append(held, a)
		}
	}
	if a := b.p.Ahead("123456789012/api-1"); a != nil || len(held) == 0 {
		t.Fatalf("%d are held, and one more is given", len(held))
	}
	c := b.chunk("a", 400)
	held[0].Release()
	last := b.p.Ahead(c.Source)
	for item, err := range spool.Items(c.Data) {
		var p auditevent.Parser
		e, perr := p.Parse(item)
		if err != nil || perr != nil {
			t.Fatal(err, perr)
		}
		last.Add(e, item, true)
	}
	if last.Whole(c.Items) {
		t.Error("it takes more memory than there is")
	}
	last.Release()
	b.send(c)
	b.until("it is delivered", func() bool { return len(b.delivered("a")) >= 400 })
	for _, a := range held[1:] {
		a.Release()
	}
	if got := b.p.ahead.bytes.Load(); got != 0 {
		t.Errorf("%d bytes are not given back", got)
	}
	if len(b.p.ahead.free) > aheadFree {
		t.Errorf("%d are kept", len(b.p.ahead.free))
	}
}

// A read that ends before it has used what was made ahead gives the memory back,
// and the reader makes the records from the spool.
func TestAheadIsGivenBackUnused(t *testing.T) {
	b := newBench(t)
	b.trail("a")
	b.apply()
	b.p.applying.Add(1) // ends each read
	c := b.chunk("a", 3)
	c.Attached = b.ahead(c)
	if _, err := b.spool.Append(t.Context(), []spool.Chunk{c}); err != nil {
		t.Fatal(err)
	}
	b.until("the memory is free", func() bool { return b.p.ahead.bytes.Load() == 0 })
	b.p.applying.Add(-1)
	b.p.poke()
	b.until("it is delivered", func() bool { return len(b.delivered("a")) == 3 })
}
