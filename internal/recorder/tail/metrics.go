package tail

import "github.com/prometheus/client_golang/prometheus"

type metrics struct {
	posts                      *prometheus.CounterVec
	lost                       *prometheus.CounterVec
	lines, broken, bytes       prometheus.Counter
	sequence                   prometheus.Gauge
	behindBytes, behindSeconds prometheus.Gauge
}

func newMetrics(r prometheus.Registerer) (*metrics, error) {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	}
	vector := func(name, label, help string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, []string{label})
	}
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: help})
	}
	m := &metrics{
		posts:         vector("trail_tail_posts_total", "code", "POSTs by the status of their answer; none for those that got no answer."),
		lost:          vector("trail_tail_lost_files_total", "reason", "Files of the audit log that could not be read to their end."),
		lines:         counter("trail_tail_lines_total", "Lines of the audit log that the receiver has."),
		broken:        counter("trail_tail_broken_lines_total", "Lines that are not valid JSON."),
		bytes:         counter("trail_tail_bytes_total", "Bytes of the lines that the receiver has."),
		sequence:      gauge("trail_tail_sequence", "Number of the last POST."),
		behindBytes:   gauge("trail_tail_behind_bytes", "Bytes of the audit log that the receiver does not have."),
		behindSeconds: gauge("trail_tail_behind_seconds", "Seconds since the receiver had all of the audit log."),
	}
	if r == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{m.posts, m.lost, m.lines, m.broken, m.bytes, m.sequence, m.behindBytes, m.behindSeconds} {
		if err := r.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}
