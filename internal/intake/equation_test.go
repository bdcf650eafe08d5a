package intake

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

// TestAccountOfIntake: each item of each POST is counted under one result. What
// it should be is known from what was sent.
func TestAccountOfIntake(t *testing.T) {
	for seed := range uint64(5) {
		s := newMemorySpool()
		r := run(t, s)
		random := rand.New(rand.NewPCG(seed, 2))
		type sent struct {
			body  string
			items int
		}
		var all []sent
		want := map[string]int{"accepted": 0, "skipped": 0, "quarantined": 0, "duplicate": 0}
		n := 0
		for range 60 {
			if len(all) > 0 && random.IntN(4) == 0 {
				again := all[random.IntN(len(all))]
				r.send(again.body, 200)
				want["duplicate"] += again.items
				continue
			}
			items := make([]string, 1+random.IntN(20))
			for i := range items {
				n++
				switch random.IntN(6) {
				case 0:
					items[i] = strings.Replace(event(fmt.Sprint(n)), "ResponseComplete", "RequestReceived", 1)
					want["skipped"]++
				case 1:
					items[i] = fmt.Sprintf(`{"auditID":%d}`, n)
					want["quarantined"]++
				default:
					items[i] = event(fmt.Sprint(n))
					want["accepted"]++
				}
			}
			all = append(all, sent{list(items...), len(items)})
			r.send(all[len(all)-1].body, 200)
		}
		got := map[string]int{}
		for result := range want {
			got[result] = int(testutil.ToFloat64(r.handler.metrics.items.WithLabelValues(result)))
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
		if stored := s.content(t); len(stored.Items) != want["accepted"] || stored.Skipped != want["skipped"] || stored.Quarantined != want["quarantined"] {
			t.Errorf("the spool has %d, %d skipped and %d in quarantine of %v", len(stored.Items), stored.Skipped, stored.Quarantined, want)
		}
		if got := r.handler.Duplicates(); got != int64(want["duplicate"]) {
			t.Errorf("%d duplicates of %v", got, want)
		}
	}
}
