package main

import (
	"bytes"
	"os"
	"testing"
	"time"

	"github.com/trail-operator/trail-operator/internal/auditevent"
	"github.com/trail-operator/trail-operator/internal/mapping"
	"github.com/trail-operator/trail-operator/internal/outbox"
	"github.com/trail-operator/trail-operator/internal/receiverconfig"
	"github.com/trail-operator/trail-operator/internal/record"
	"github.com/trail-operator/trail-operator/test/testenv"
)

// stored keeps the items of a body as intake stores them.
type stored struct{ items [][]byte }

func (s *stored) Item(it *auditevent.Item) error {
	s.items = append(s.items, it.Event.AppendStored(nil, false))
	return nil
}

func (*stored) Cut([32]byte) error { return nil }

// count takes items and forgets them.
type count struct{ n int }

func (c *count) Item(*auditevent.Item) error { c.n++; return nil }
func (*count) Cut([32]byte) error            { return nil }

func lists(n int) [][]byte {
	g := testenv.NewEvents(7)
	list := make([][]byte, n)
	for i := range list {
		list[i] = g.List(nil, perPost)
	}
	return list
}

func items(b *testing.B, n int) [][]byte {
	b.Helper()
	var v stored
	var s auditevent.Splitter
	for _, l := range lists(n) {
		if err := s.Split("a/b", bytes.NewReader(l), &v); err != nil {
			b.Fatal(err)
		}
	}
	return v.items
}

// cpu reports the CPU time of one event: other than the time on the clock it
// says something on a busy machine too.
func cpu(b *testing.B, perOp int, run func(i int)) {
	before := cpuOf(os.Getpid())
	for i := 0; b.Loop(); i++ {
		run(i)
	}
	b.ReportMetric(float64((cpuOf(os.Getpid())-before).Nanoseconds())/float64(b.N*perOp), "cpu-ns/event")
}

// BenchmarkSplit is what intake does before it appends.
func BenchmarkSplit(b *testing.B) {
	list := lists(8)
	var s auditevent.Splitter
	var c count
	cpu(b, perPost, func(i int) {
		if err := s.Split("a/b", bytes.NewReader(list[i%len(list)]), &c); err != nil {
			b.Fatal(err)
		}
	})
}

func mapper(b *testing.B) *mapping.Mapper {
	b.Helper()
	m, err := mapping.New(mapping.Config{Installation: receiverconfig.Installation{UID: "u", Account: testenv.Account, Region: "test-1"}})
	if err != nil {
		b.Fatal(err)
	}
	return m
}

var source = mapping.Source{Cluster: testenv.Account, APIServer: testenv.APIServer, Via: "webhook"}

// BenchmarkParse reads items as the pipeline does.
func BenchmarkParse(b *testing.B) {
	list := items(b, 2)
	var p auditevent.Parser
	cpu(b, 1, func(i int) {
		if _, err := p.Parse(list[i%len(list)]); err != nil {
			b.Fatal(err)
		}
	})
}

// BenchmarkMap parses items and makes records of them.
func BenchmarkMap(b *testing.B) {
	list := items(b, 2)
	m := mapper(b)
	var p auditevent.Parser
	var f record.Facts
	var rec []byte
	size := 0
	cpu(b, 1, func(i int) {
		e, err := p.Parse(list[i%len(list)])
		if err != nil {
			b.Fatal(err)
		}
		rec = m.Append(rec[:0], e, source, &f)
		size += len(rec)
	})
	b.ReportMetric(float64(size)/float64(b.N), "bytes/record")
}

// nowhere is an outbox volume that keeps nothing.
type nowhere struct{ outbox.FS }

func (nowhere) Create(string) (outbox.File, error) { return nothing{}, nil }
func (nowhere) Remove(string) error                { return nil }

type nothing struct{}

func (nothing) Write(b []byte) (int, error) { return len(b), nil }
func (nothing) Sync() error                 { return nil }
func (nothing) Close() error                { return nil }

// BenchmarkWrite compresses and hashes records.
func BenchmarkWrite(b *testing.B) {
	m := mapper(b)
	var p auditevent.Parser
	var f record.Facts
	var records [][]byte
	for _, item := range items(b, 8) {
		e, err := p.Parse(item)
		if err != nil {
			b.Fatal(err)
		}
		records = append(records, m.Append(nil, e, source, &f))
	}
	w, err := outbox.Create(nowhere{}, "", time.Now())
	if err != nil {
		b.Fatal(err)
	}
	cpu(b, 1, func(i int) {
		if err := w.Add(records[i%len(records)], 1, 1, 1); err != nil {
			b.Fatal(err)
		}
	})
	b.ReportMetric(float64(w.Size())/float64(b.N), "bytes/record")
	w.Discard()
}
