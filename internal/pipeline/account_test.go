package pipeline

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/trail-operator/trail-operator/internal/receiverstatus"
	"github.com/trail-operator/trail-operator/internal/spool"
)

// TestAccountCountsEachChunkOnce: a chunk that is read again changes nothing.
func TestAccountCountsEachChunkOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		type stored struct {
			chunk         spool.Chunk
			damaged, lost bool
		}
		chunks := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) stored {
			return stored{
				spool.Chunk{
					Kind:   rapid.SampledFrom([]spool.Kind{spool.KindAudit, spool.KindOwn}).Draw(t, "kind"),
					Source: rapid.SampledFrom([]string{"1/a", "1/b"}).Draw(t, "source"),
					Items:  rapid.IntRange(0, 9).Draw(t, "items"), Skipped: rapid.IntRange(0, 9).Draw(t, "skipped"),
					Quarantined: rapid.IntRange(0, 2).Draw(t, "quarantined"), Duplicates: rapid.IntRange(0, 2).Draw(t, "duplicates"),
				},
				rapid.Bool().Draw(t, "damaged"), rapid.Bool().Draw(t, "lost"),
			}
		}), 1, 30).Draw(t, "chunks")
		var a account
		want := account{Position: spool.Position(len(chunks))}
		received := map[string]int64{}
		for i, s := range chunks {
			// Reading may begin anew anywhere behind the last trim.
			for j := rapid.IntRange(0, i).Draw(t, "again from"); j <= i; j++ {
				n := spool.Position(j + 1)
				if chunks[j].lost {
					a.lose(n, time.Now())
				} else {
					a.take(n, &chunks[j].chunk, chunks[j].damaged, time.Now())
				}
			}
			if s.lost || s.damaged {
				want.Damaged++
			}
			if s.lost {
				continue
			}
			want.Skipped += int64(s.chunk.Skipped)
			want.Quarantined += int64(s.chunk.Quarantined)
			if s.chunk.Kind == spool.KindAudit {
				want.Accepted += int64(s.chunk.Items)
				received[s.chunk.Source] += int64(s.chunk.Items + s.chunk.Skipped + s.chunk.Quarantined + s.chunk.Duplicates)
			}
		}
		for _, of := range a.Sources.list() {
			if of.Received != received[of.Source] {
				t.Fatalf("%s has sent %d, want %d", of.Source, of.Received, received[of.Source])
			}
			delete(received, of.Source)
		}
		if len(received) > 0 {
			t.Fatalf("no account of %v", received)
		}
		if (a.LastDamage != nil) != (want.Damaged > 0) {
			t.Fatal("when the last damage was found does not fit to its number")
		}
		a.Sources, a.LastDamage = nil, nil
		if diff := cmp.Diff(want, a); diff != "" {
			t.Fatal(diff)
		}
	})
}

func TestAccountForgetsTheSilent(t *testing.T) {
	var a account
	for n := range receiverstatus.MaxSourceAccounts + 1 {
		source := fmt.Sprintf("1/%d", n)
		if n == receiverstatus.MaxSourceAccounts {
			a.take(a.Position+1, &spool.Chunk{Kind: spool.KindAudit, Source: "1/0", Items: 1}, false, time.Now())
		}
		a.take(a.Position+1, &spool.Chunk{Kind: spool.KindAudit, Source: source, Items: 1}, false, time.Now())
	}
	if n := len(a.Sources); n != receiverstatus.MaxSourceAccounts {
		t.Errorf("%d sources have an account", n)
	}
	if _, ok := a.Sources["1/1"]; ok || a.Sources["1/0"].Received != 2 {
		t.Errorf("%v", a.Sources)
	}
}

// TestAccountsSurviveARestart: what each source has sent is known as before.
func TestAccountsSurviveARestart(t *testing.T) {
	b := newBench(t)
	b.trail("red")
	b.apply()
	skipped := b.chunk("red", 1)
	skipped.Skipped, skipped.Quarantined, skipped.Source = 4, 2, "123456789012/api-2"
	b.send(skipped)
	b.send(skipped) // again
	b.post("red", 3)
	want := []receiverstatus.SourceAccount{{Source: "123456789012/api-1", Received: 3}, {Source: "123456789012/api-2", Received: 7}}
	known := func() bool { return cmp.Equal(want, b.p.Status().Intake.Accounts) }
	b.until("the accounts", known)
	b.stop()
	b.start()
	if diff := cmp.Diff(want, b.p.Status().Intake.Accounts); diff != "" {
		t.Error(diff)
	}
	b.post("red", 1)
	want[0].Received++
	b.until("one more", known)
	if s := b.p.Status(); s.Intake.AccountedTo != s.Spool.Tail {
		t.Errorf("accounted up to %d of %d", s.Intake.AccountedTo, s.Spool.Tail)
	}
}
