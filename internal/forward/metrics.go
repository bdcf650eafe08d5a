package forward

import "github.com/prometheus/client_golang/prometheus"

// metrics of forwarding.
type metrics struct {
	sent, sentBytes, failures prometheus.Counter
	dropped                   *prometheus.CounterVec // by reason
}

// newMetrics registers the metrics. waiting returns what the queue holds.
func newMetrics(r prometheus.Registerer, waiting func() (posts, bytes float64)) (*metrics, error) {
	m := &metrics{
		sent: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "trail_forward_posts_total",
			Help: "POSTs that the second receiver took.",
		}),
		sentBytes: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "trail_forward_bytes_total",
			Help: "Bytes of their bodies.",
		}),
		failures: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "trail_forward_failures_total",
			Help: "Tries that the second receiver did not answer with success.",
		}),
		dropped: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "trail_forward_dropped_total",
			Help: "POSTs that are not forwarded, by reason. Their events are recorded all the same.",
		}, []string{"reason"}),
	}
	if r == nil {
		return m, nil
	}
	gauge := func(name, help string, value func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, value)
	}
	for _, c := range []prometheus.Collector{
		m.sent, m.sentBytes, m.failures, m.dropped,
		gauge("trail_forward_waiting_posts", "POSTs that wait for the second receiver.", func() float64 { n, _ := waiting(); return n }),
		gauge("trail_forward_waiting_bytes", "Bytes of the volume that they take.", func() float64 { _, n := waiting(); return n }),
	} {
		if err := r.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}
