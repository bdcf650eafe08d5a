package pebble

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics answer an operator's questions about the spool.
type metrics struct {
	appended, appendedBytes, duplicates, refused, damaged, backgroundErrors prometheus.Counter

	commit, group prometheus.Histogram

	registerer prometheus.Registerer
	registered []prometheus.Collector
}

func newMetrics(registerer prometheus.Registerer) *metrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: "trail_spool_" + name, Help: help})
	}
	m := &metrics{
		appended:      counter("appended_chunks_total", "Chunks stored."),
		appendedBytes: counter("appended_bytes_total", "Bytes of the chunks stored, compressed."),
		duplicates:    counter("duplicate_chunks_total", "Chunks that had been stored before and were not stored again."),
		refused:       counter("refused_total", "Appends refused because the volume was down to its reserve."),
		damaged:       counter("damaged_reads_total", "Reads that met a damaged or missing chunk."),
		backgroundErrors: counter("background_errors_total",
			"Flushes and compactions that failed."),
		commit: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "trail_spool_commit_duration_seconds", Help: "Time from taking requests off the queue until their sync returned.",
			Buckets: prometheus.ExponentialBuckets(0.0001, 2.5, 12),
		}),
		group: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "trail_spool_group_requests", Help: "Requests written with one batch.",
			Buckets: prometheus.ExponentialBuckets(1, 2, 9),
		}),
		registerer: registerer,
	}
	return m
}

// register registers the metrics and those that look at the spool.
func (m *metrics) register(s *store) error {
	gauge := func(name, help string, value func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "trail_spool_" + name, Help: help}, value)
	}
	if m.registerer == nil {
		return nil
	}
	for _, c := range []prometheus.Collector{
		m.appended, m.appendedBytes, m.duplicates, m.refused, m.damaged, m.backgroundErrors, m.commit, m.group,
		gauge("tail_position", "Position up to which every chunk is durable.", func() float64 { return float64(s.Tail()) }),
		gauge("trimmed_position", "Position up to which chunks may be deleted.", func() float64 { return float64(s.trimmed()) }),
		gauge("usage_bytes", "Bytes on the volume.", func() float64 { return float64(s.Usage()) }),
	} {
		if err := m.registerer.Register(c); err != nil {
			m.unregister()
			return errors.Join(errors.New("metrics cannot be registered"), err)
		}
		m.registered = append(m.registered, c)
	}
	return nil
}

func (m *metrics) unregister() {
	for _, c := range m.registered {
		m.registerer.Unregister(c)
	}
}
