package pipeline

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/trail-operator/trail-operator/api/v1alpha1"
	"github.com/trail-operator/trail-operator/internal/receiverstatus"
	"github.com/trail-operator/trail-operator/internal/record"
)

// found is what stands in a bucket: the number of records, and what the records
// of losses of a trail say, by cause.
type found struct {
	records int64
	lost    map[string]int64
	losses  int64
}

func (b *bench) found(bucket, arn string) found {
	b.t.Helper()
	f := found{lost: map[string]int64{}}
	for key, o := range b.bucket(bucket).Objects() {
		if !record.IsLogFileKey(key) {
			continue
		}
		var file struct {
			Records []struct {
				EventName string `json:"eventName"`
				Details   struct {
					Cause   string `json:"cause"`
					Records int64  `json:"records"`
				} `json:"serviceEventDetails"`
				Resources []struct {
					ARN string `json:"ARN"`
				} `json:"resources"`
			}
		}
		gunzip(b.t, o.Body, &file)
		f.records += int64(len(file.Records))
		for _, r := range file.Records {
			if r.EventName == record.EventEventsLost && len(r.Resources) == 1 && r.Resources[0].ARN == arn {
				f.losses++
				f.lost[r.Details.Cause] += r.Details.Records
			}
		}
	}
	return f
}

// TestAccountsOfTrails: whatever happens, each record of a trail is in exactly
// one of its counts. What they should be is not taken from the pipeline: it is
// what was stored, what lies in the buckets, and what the records of losses say
// in a trail that loses nothing.
func TestAccountsOfTrails(t *testing.T) {
	for seed := range uint64(4) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 1))
			b := newBench(t)
			b.stop()
			b.space = func(o *Options) { o.TrailQuota = 3000 }
			b.start()
			red := b.trail("red")
			red.MaxFileAgeSeconds = 30
			arn := red.ARN
			b.trail("blue").Selection = v1alpha1.EventSelection{Basic: []v1alpha1.BasicEventSelector{{ReadWriteType: v1alpha1.ReadOnly}}}
			b.cluster().MaxFileAgeSeconds = 30
			b.apply()
			posted := map[string]int64{}
			last := b.chunk("red", 1)
			posted["red"]++
			b.send(last)
			flip := func() {
				files, _ := filepath.Glob(filepath.Join(b.dir, "outbox", "*", "uid-red", "*"))
				for _, path := range files {
					// One that is open is not on the disk as a whole.
					if raw, err := os.ReadFile(path); err == nil && filepath.Ext(path) == ".gz" && len(raw) > 40 {
						raw[len(raw)/2] ^= 1
						_ = os.WriteFile(path, raw, 0o600)
						return
					}
				}
			}
			for range 60 {
				switch r.IntN(10) {
				case 0, 1, 2, 3:
					n := 1 + r.IntN(9)
					last = b.chunk("red", n)
					posted["red"] += int64(n)
					b.send(last)
				case 4:
					n := 1 + r.IntN(9)
					b.post("blue", n)
					posted["blue"] += int64(n)
				case 5:
					b.send(last) // again
				case 6:
					b.stop()
					b.start()
				case 7, 8:
					b.reachable("red", r.IntN(3) == 0)
				case 9:
					flip()
				}
				for range r.IntN(40) {
					b.clock.Step(time.Second)
					time.Sleep(time.Millisecond) // lets the goroutines that the step woke run
				}
			}
			b.reachable("red", true)
			var seen string
			balanced := func() bool {
				reds, cluster := b.found("red", arn), b.found("cluster", arn)
				counts := map[string]receiverstatus.Counts{}
				for _, trail := range []string{"red", "blue", "cluster"} {
					counts[trail] = b.status(trail).Counts
				}
				total := posted["red"] + posted["blue"]
				want := map[string]receiverstatus.Counts{
					"red": {
						Accepted: posted["red"] + cluster.losses, Delivered: reds.records,
						Expired: cluster.lost["QuotaExceeded"], Quarantined: cluster.lost["OutboxDamaged"],
					},
					"blue":    {Accepted: posted["blue"], SelectedOut: posted["blue"]},
					"cluster": {Accepted: total + cluster.losses, Delivered: cluster.records},
				}
				got, _ := json.Marshal(counts)
				expected, _ := json.Marshal(want)
				seen = fmt.Sprintf("got  %s\nwant %s", got, expected)
				for trail, c := range want {
					if c.Accepted != c.Delivered+c.SelectedOut+c.Quarantined+c.Expired || counts[trail] != c {
						return false
					}
				}
				// What intake has stored, by source.
				intake := b.p.Status().Intake
				return intake.Accepted == total && len(intake.Accounts) == 1 && intake.Accounts[0].Received == total
			}
			deadline := time.Now().Add(2 * time.Minute)
			for !balanced() {
				if time.Now().After(deadline) {
					t.Fatal(seen)
				}
				b.clock.Step(5 * time.Second)
				time.Sleep(2 * time.Millisecond)
			}
			if s := b.status("red"); (s.LastLoss != nil) != (s.Counts.Expired+s.Counts.Quarantined > 0) {
				t.Errorf("the last loss was at %v of %+v", s.LastLoss, s.Counts)
			}
			t.Log(seen)
		})
	}
}
