package intake

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics of intake.
type metrics struct {
	items         *prometheus.CounterVec // by result
	posts         *prometheus.CounterVec // by status code, or cut
	bytes         prometheus.Counter
	appendSeconds prometheus.Histogram
	inFlight      prometheus.Gauge
	dropped       prometheus.Counter
	replayed      prometheus.Counter

	duplicates atomic.Int64
	tails      tailMetrics
}

func newMetrics(r prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		items: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "trail_intake_items_total",
			Help: "Audit events received, by result: accepted, duplicate, skipped (another stage of the call is its record), quarantined.",
		}, []string{"result"}),
		posts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "trail_intake_posts_total",
			Help: "POSTs of audit events by the status of their answer; cut for those that got none.",
		}, []string{"code"}),
		bytes: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "trail_intake_bytes_total",
			Help: "Bytes of bodies read.",
		}),
		appendSeconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "trail_intake_append_seconds",
			Help:    "Time until the spool had made a chunk durable.",
			Buckets: prometheus.ExponentialBuckets(0.0005, 2, 15),
		}),
		inFlight: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "trail_intake_posts_in_flight",
			Help: "POSTs that have no answer yet.",
		}),
		dropped: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "trail_intake_quarantine_dropped_total",
			Help: "Copies of quarantined items that made room for newer ones, or were 30 days old.",
		}),
		replayed: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "trail_intake_replayed_total",
			Help: "Items out of quarantine that became records, or were skipped for their stage.",
		}),
	}
	m.tails = newTailMetrics()
	if r == nil {
		return m, nil
	}
	for _, c := range append(m.tails.all(), m.items, m.posts, m.bytes, m.appendSeconds, m.inFlight, m.dropped, m.replayed) {
		if err := r.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// stored counts the chunk that a POST has just appended, which may be one that
// was stored before.
func (m *metrics) stored(p *post, duplicate bool) {
	duplicates := p.duplicates
	if duplicate {
		duplicates += p.items + p.skipped + p.bad.count
	} else {
		m.items.WithLabelValues("accepted").Add(float64(p.items))
		m.items.WithLabelValues("skipped").Add(float64(p.skipped))
		m.items.WithLabelValues("quarantined").Add(float64(p.bad.count))
	}
	if duplicates > 0 {
		m.duplicates.Add(int64(duplicates))
		m.items.WithLabelValues("duplicate").Add(float64(duplicates))
	}
}
