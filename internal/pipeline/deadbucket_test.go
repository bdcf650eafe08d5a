package pipeline

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/trail-operator/trail-operator/internal/record"
)

// TestBucketAwayForHours lets the bucket of one tenant, and then that of a trail
// of the whole cluster, be away for six hours. Its quota makes the tenant give up
// its oldest files; the others deliver everything at once, again and again, and
// have a digest for each hour. Afterwards everything that was kept arrives, with
// the digests of the hours that were missed.
func TestBucketAwayForHours(t *testing.T) {
	const hours = 6
	for _, away := range []string{"red", "cluster"} {
		t.Run(away, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.stop()
			b.space = func(o *Options) { o.TrailQuota = 8_000 }
			b.start()
			b.trail("red").MaxFileAgeSeconds = 30
			b.trail("blue").MaxFileAgeSeconds = 30
			b.cluster().MaxFileAgeSeconds = 30
			b.apply()
			b.post("red", 8)
			b.post("blue", 2)
			b.until("the chains to begin", func() bool { return b.status(away).Counts.Delivered > 0 && b.status("blue").Counts.Delivered == 2 })
			first := b.status(away).Counts.Delivered
			b.reachable(away, false)
			for range hours {
				for range 5 {
					b.post("red", 8)
					b.post("blue", 2)
					b.until("delivery to those that are there", func() bool {
						for _, name := range []string{"red", "blue", "cluster"} {
							if c := b.status(name).Counts; name != away && (c.Pending > 0 || c.Accepted == 0) {
								return false
							}
						}
						return b.p.Status().Intake.Accepted == int64(b.events) && b.status("blue").Counts.Accepted == int64(b.events/5)
					})
				}
				b.clock.Step(50 * time.Minute)
			}
			counts := b.status(away).Counts
			if expired := counts.Expired > 0; expired != (away == "red") || counts.Delivered != first {
				t.Errorf("%s, whose bucket is away, counts %+v", away, counts)
			}
			b.reachable(away, true)
			for i := range b.trails {
				b.trails[i].Suspended, b.trails[i].Generation = true, 2
			}
			b.apply()
			for _, name := range []string{"red", "blue", "cluster"} {
				b.until(name+" to be flushed", func() bool { return b.status(name).Flushed })
				b.checkDigests(name)
				ids := slices.DeleteFunc(b.delivered(name), func(id string) bool { return !strings.HasPrefix(id, "e-") })
				c := b.status(name).Counts
				lost, want := int64(0), b.events/5
				switch name {
				case "red":
					want = b.events / 5 * 4
				case "cluster":
					want = b.events
				}
				if name == away {
					lost = c.Expired
				}
				if c.Expired != lost || int64(len(ids)) < int64(want)-lost {
					t.Errorf("%s has %d of %d events, and counts %+v", name, len(ids), want, c)
				}
				if n := len(b.digests(name)); n < hours {
					t.Errorf("%s has %d digests for %d hours", name, n, hours)
				}
			}
			if (b.recorded("cluster", record.EventEventsLost) > 0) != (away == "red") {
				names, text := b.ownRecords("cluster")
				t.Errorf("with the bucket of %s away the trail of the cluster has the records %v: %s", away, names, text)
			}
		})
	}
}
