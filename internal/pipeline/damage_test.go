package pipeline

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"

	"github.com/trail-operator/trail-operator/internal/outbox"
	"github.com/trail-operator/trail-operator/internal/record"
	"github.com/trail-operator/trail-operator/internal/spool"
)

// muteSpool refuses events of our own while it is mute.
type muteSpool struct {
	hookedSpool
	mute bool
}

func (s *muteSpool) Append(ctx context.Context, chunks []spool.Chunk, ops ...spool.Op) ([]spool.Appended, error) {
	if s.mute && chunks[0].Kind == spool.KindOwn {
		return nil, spool.ErrFull
	}
	return s.Spool.Append(ctx, chunks, ops...)
}

// TestLossIsRecordedBeforeItIsPassed: nothing is read behind a loss that could
// not be recorded. It is tried again, and counted once however often it is read.
func TestLossIsRecordedBeforeItIsPassed(t *testing.T) {
	for name, damage := range map[string]func(b *bench, s *muteSpool){
		"a chunk": func(b *bench, s *muteSpool) {
			b.post("red", 1)
			s.damaged[2] = true
		},
		"two items of a chunk": func(b *bench, _ *muteSpool) {
			c := spool.Chunk{ID: spool.ID{31: 1}, Kind: spool.KindAudit, Source: "1/a", Received: b.clock.Now(), Items: 2}
			c.Data = spool.AppendItem(spool.AppendItem(nil, []byte("{")), []byte("["))
			b.send(c)
			b.events++
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			s := &muteSpool{mute: true, hookedSpool: hookedSpool{Spool: b.spool, damaged: map[spool.Position]bool{}, before: func(spool.Position) {}}}
			p, err := New(Options{
				Spool: s, FS: outbox.OS{}, Dir: b.dir + "/outbox", Clock: steppedClock{b.clock}, Log: logr.Discard(), TrailQuota: 1 << 30,
				Open: b.p.Open,
			})
			if err != nil {
				t.Fatal(err)
			}
			b.trail("red")
			if err := p.Apply(&b.config, b.trails, b.key); err != nil {
				t.Fatal(err)
			}
			b.post("red", 1)
			damage(b, s)
			b.post("red", 1)
			for range 3 {
				if err := p.step(t.Context()); !errors.Is(err, spool.ErrFull) {
					t.Errorf("error %v, want the one of the record", err)
				}
				if got := p.account.Position; got != 1 {
					t.Fatalf("the reader has passed position %d without a record", got)
				}
				b.clock.Step(retryDisk)
			}
			s.mute = false
			for range 3 {
				if err := p.step(t.Context()); err != nil {
					t.Fatal(err)
				}
				p.trails["uid-red"].discard() // and read everything again
			}
			if err := p.step(t.Context()); err != nil {
				t.Fatal(err)
			}
			p.close()
			p.stored = p.account // the other pipeline on this spool is ahead of us in storing it
			if got := p.Status().Spool.Damaged; got != 1 {
				t.Errorf("%d chunks are counted as damaged, want 1", got)
			}
			b.trails[0].Generation++
			b.apply()
			b.until("delivery", func() bool { return b.status("red").Counts.Pending == 0 && b.status("red").Counts.Delivered > 2 })
			got := slices.DeleteFunc(b.delivered("red"), func(id string) bool { return id == "" })
			if diff := cmp.Diff([]string{"e-1", "e-3"}, got); diff != "" {
				t.Error(diff)
			}
			if n := b.recorded("red", record.EventEventsLost); n == 0 {
				t.Error("the loss is not recorded")
			}
		})
	}
}

// recorded counts the records of a bucket that have a name.
func (b *bench) recorded(namespace, name string) (n int) {
	for key, o := range b.bucket(namespace).Objects() {
		if record.IsLogFileKey(key) {
			var f record.LogFile
			gunzip(b.t, o.Body, &f)
			for _, r := range f.Records {
				if r.EventName == name {
					n++
				}
			}
		}
	}
	return n
}
