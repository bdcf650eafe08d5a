package loss

import "github.com/prometheus/client_golang/prometheus"

// Metrics shows the account; it is of the manager that leads.
type Metrics struct {
	Accountant *Accountant

	dropped, covered, changes, outstanding, accounted, readable *prometheus.Desc
}

// NewMetrics returns the collector of an accountant.
func NewMetrics(a *Accountant) *Metrics {
	desc := func(name, help string) *prometheus.Desc {
		return prometheus.NewDesc("trail_apiserver_"+name, help, []string{"apiserver"}, nil)
	}
	return &Metrics{
		Accountant:  a,
		dropped:     desc("lost_events_total", "Audit events of an API server that were lost before they reached the receiver."),
		covered:     desc("recovered_events_total", "Audit events that the webhook of an API server has dropped, and its tail has sent."),
		changes:     desc("unaccounted_stops_total", "Processes of an API server that have ended and may have lost events."),
		outstanding: desc("outstanding_events", "Audit events that an API server has processed and that have neither arrived nor been dropped."),
		accounted:   desc("accounted_timestamp_seconds", "Up to when the audit events of an API server were compared with those received."),
		readable:    desc("metrics_readable", "Whether the metrics of an API server can be read, 0 or 1."),
	}
}

// Describe implements prometheus.Collector.
func (m *Metrics) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{m.dropped, m.covered, m.changes, m.outstanding, m.accounted, m.readable} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (m *Metrics) Collect(ch chan<- prometheus.Metric) {
	view := m.Accountant.View()
	if view == nil {
		return
	}
	for i := range view.Servers {
		s := &view.Servers[i]
		show := func(d *prometheus.Desc, kind prometheus.ValueType, v float64) {
			ch <- prometheus.MustNewConstMetric(d, kind, v, s.Name)
		}
		show(m.dropped, prometheus.CounterValue, float64(s.Dropped))
		show(m.covered, prometheus.CounterValue, float64(s.Covered))
		show(m.changes, prometheus.CounterValue, float64(s.Changes))
		show(m.outstanding, prometheus.GaugeValue, float64(s.Outstanding))
		if !s.Compared.IsZero() {
			show(m.accounted, prometheus.GaugeValue, float64(s.Compared.Unix()))
		}
		readable := 0.0
		if s.Readable {
			readable = 1
		}
		show(m.readable, prometheus.GaugeValue, readable)
	}
}
