package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/trail-operator/trail-operator/internal/auditevent"
	"github.com/trail-operator/trail-operator/internal/mapping"
	"github.com/trail-operator/trail-operator/internal/outbox"
	"github.com/trail-operator/trail-operator/internal/receiverconfig"
	"github.com/trail-operator/trail-operator/internal/spool"
	"github.com/trail-operator/trail-operator/internal/spool/pebble"
	"github.com/trail-operator/trail-operator/test/testenv"
)

// steps measures the steps of the whole job, each alone and in this process.
func (b *bench) steps(ctx context.Context) error {
	for _, kind := range []struct {
		name string
		body int
	}{{"Metadata", 0}, {"Request", 5000}} {
		fmt.Printf("\nsteps alone, %s events\n%-38s %14s %14s %14s\n", kind.name, "", "µs CPU/event", "bytes in", "bytes out")
		if err := b.stepsOf(ctx, kind.body); err != nil {
			return err
		}
	}
	return nil
}

// stepsOf runs all steps on the same events, one after the other.
func (b *bench) stepsOf(ctx context.Context, body int) error {
	posts, _ := b.lists(max(b.posts/10, 1), body)
	const rounds = 10
	events := len(posts) * perPost
	step := func(name string, in, out int, run func() error) error {
		before := cpuOf(os.Getpid())
		for range rounds {
			if err := run(); err != nil {
				return err
			}
		}
		cpu := cpuOf(os.Getpid()) - before
		fmt.Printf("%-38s %14.2f %14d %14d\n", name, cpu.Seconds()*1e6/float64(rounds*events), in/events, out/events)
		return nil
	}

	var all taken
	var splitter auditevent.Splitter
	raw := 0
	for _, p := range posts {
		raw += len(p)
		if err := splitter.Split("a/b", bytes.NewReader(p), &all); err != nil {
			return err
		}
	}
	if err := step("split and check (intake)", raw, raw, func() error {
		for _, p := range posts {
			if err := splitter.Split("a/b", bytes.NewReader(p), nobody{}); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		return err
	}

	mapper, err := mapping.New(mapping.Config{Installation: receiverconfig.Installation{UID: "u", Account: testenv.Account, Region: testenv.Region}})
	if err != nil {
		return err
	}
	source := mapping.Source{Cluster: testenv.Account, APIServer: testenv.APIServer, Via: "webhook"}
	var parser auditevent.Parser
	batches := make([]mapping.Batch, len(all.chunks))
	records := 0
	fill := func() error {
		records = 0
		for i, c := range all.chunks {
			batches[i].Reset()
			for item, err := range spool.Items(c.Data) {
				if err != nil {
					return err
				}
				e, err := parser.Parse(item)
				if err != nil {
					return err
				}
				batches[i].Add(mapper, e, source)
			}
			records += len(batches[i].Records(0, batches[i].Len()))
		}
		return nil
	}
	if err := fill(); err != nil {
		return err
	}
	if err := step("parse and map (pipeline)", raw, records, fill); err != nil {
		return err
	}

	w, err := outbox.Create(nowhere{}, "", time.Now())
	if err != nil {
		return err
	}
	for i := range batches {
		if err := w.Add(batches[i].Records(0, batches[i].Len()), batches[i].Len(), 1, 1); err != nil {
			return err
		}
	}
	compressed := int(w.Size())
	if err := step("hash and compress (log file)", records, compressed, func() error {
		for i := range batches {
			if err := w.Add(batches[i].Records(0, batches[i].Len()), batches[i].Len(), 1, 1); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		return err
	}
	w.Discard()
	return b.stepSpool(ctx, step, &all, raw)
}

// stepSpool measures what makes events durable, on the disk, and reading them back.
func (b *bench) stepSpool(ctx context.Context, step func(string, int, int, func() error) error, all *taken, raw int) error {
	dir, err := b.folder("spool")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	registry := prometheus.NewRegistry()
	s, err := pebble.Open(filepath.Join(dir, "spool"), pebble.Options{ReserveBytes: 1, Registerer: registry})
	if err != nil {
		return err
	}
	defer func() { _ = s.Close() }()
	n := byte(0)
	appendAll := func() error {
		n++
		for i := range all.chunks {
			c := all.chunks[i]
			c.ID[0], c.ID[1], c.ID[2] = n, byte(i), byte(i>>8)
			if _, err := s.Append(ctx, []spool.Chunk{c}); err != nil {
				return err
			}
		}
		return nil
	}
	if err := appendAll(); err != nil {
		return err
	}
	stored, err := counted(registry, "trail_spool_appended_bytes_total")
	if err != nil {
		return err
	}
	if err := step("append to the spool, with syncs", raw, stored, appendAll); err != nil {
		return err
	}
	var after spool.Position
	return step("read the spool", stored, raw, func() error {
		k := 0
		err := s.Read(ctx, after, func(p spool.Position, _ *spool.Chunk) error {
			if after, k = p, k+1; k > len(all.chunks) {
				return io.EOF
			}
			return nil
		}, func(spool.Damaged) {})
		if err == io.EOF { //nolint:errorlint // our own, from above
			err = nil
		}
		return err
	})
}

// counted returns the value of a counter.
func counted(from prometheus.Gatherer, name string) (int, error) {
	families, err := from.Gather()
	if err != nil {
		return 0, err
	}
	for _, f := range families {
		if f.GetName() == name {
			return int(f.GetMetric()[0].GetCounter().GetValue()), nil
		}
	}
	return 0, fmt.Errorf("there is no metric %s", name)
}

// taken keeps chunks as intake stores them.
type taken struct {
	chunk  spool.Chunk
	chunks []spool.Chunk
}

func (t *taken) Item(it *auditevent.Item) error {
	t.chunk.Data = spool.AppendItem(t.chunk.Data, it.Event.AppendStored(nil, false))
	t.chunk.Items++
	return nil
}

func (t *taken) Cut(id [32]byte) error {
	t.chunk.ID, t.chunk.Kind, t.chunk.Source = id, spool.KindAudit, testenv.Account+"/"+testenv.APIServer
	t.chunks = append(t.chunks, t.chunk)
	t.chunk = spool.Chunk{}
	return nil
}

// nobody takes items and forgets them.
type nobody struct{}

func (nobody) Item(*auditevent.Item) error { return nil }
func (nobody) Cut([32]byte) error          { return nil }

// nowhere is an outbox volume that keeps nothing.
type nowhere struct{ outbox.FS }

func (nowhere) Create(string) (outbox.File, error) { return nothing{}, nil }
func (nowhere) Remove(string) error                { return nil }

type nothing struct{}

func (nothing) Write(b []byte) (int, error) { return len(b), nil }
func (nothing) Sync() error                 { return nil }
func (nothing) Close() error                { return nil }
