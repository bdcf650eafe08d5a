package intake

import "github.com/prometheus/client_golang/prometheus"

// tailMetrics are about tails and the index of events.
type tailMetrics struct {
	posts, items *prometheus.CounterVec
	evicted      prometheus.Counter
}

func newTailMetrics() tailMetrics {
	return tailMetrics{
		posts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "trail_intake_tail_posts_total",
			Help: "POSTs of tails by result: stored, repeated (all of it was stored before), behind (something new under an old number), gap (sequences were left out; refused).",
		}, []string{"result"}),
		items: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "trail_intake_events_known_total",
			Help: "Audit events that were stored before in another chunk, by what brought them again: webhook, tail.",
		}, []string{"source"}),
		evicted: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "trail_intake_event_index_evicted_slots_total",
			Help: "Parts of ten minutes that left the index of events for its quota before every tail had passed them: their events may be recorded twice.",
		}),
	}
}

func (m *tailMetrics) all() []prometheus.Collector {
	return []prometheus.Collector{m.posts, m.items, m.evicted}
}

// tailCollector shows what is known of tails now.
type tailCollector struct {
	h          *Handler
	lag, bytes *prometheus.Desc
}

func newTailCollector(h *Handler) *tailCollector {
	return &tailCollector{
		h:     h,
		lag:   prometheus.NewDesc("trail_intake_tail_lag_seconds", "How long ago the newest event was that the tail of an API server has sent.", []string{"apiserver"}, nil),
		bytes: prometheus.NewDesc("trail_intake_event_index_bytes", "About what the index of events takes on the volume; none without tails.", nil, nil),
	}
}

// Describe implements prometheus.Collector.
func (c *tailCollector) Describe(ch chan<- *prometheus.Desc) {
	ch <- c.lag
	ch <- c.bytes
}

// Collect implements prometheus.Collector.
func (c *tailCollector) Collect(ch chan<- prometheus.Metric) {
	tails, index := c.h.Tails()
	if index == nil {
		return
	}
	ch <- prometheus.MustNewConstMetric(c.bytes, prometheus.GaugeValue, float64(index.Bytes))
	last := ""
	for i := range tails {
		t := &tails[i]
		if t.APIServer == last || t.Newest == nil { // an older source of the same node
			continue
		}
		last = t.APIServer
		ch <- prometheus.MustNewConstMetric(c.lag, prometheus.GaugeValue, float64(t.LagSeconds), t.APIServer)
	}
}
