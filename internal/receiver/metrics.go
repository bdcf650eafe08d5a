package receiver

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/trail-operator/trail-operator/internal/receiverstatus"
)

// collector shows the status as metrics, one series a trail. The trail's UID
// and nothing else is a label: there is a handful of trails a namespace.
type collector struct {
	status func() receiverstatus.Status

	records, pendingRecords, pendingFiles, bytes, lastDelivery, lastDigest, failing, skew, generation *prometheus.Desc

	keptFiles, keptBytes, keptRemoved *prometheus.Desc
}

func newCollector(status func() receiverstatus.Status) *collector {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("trail_"+name, help, labels, nil)
	}
	return &collector{
		status:         status,
		records:        desc("records_total", "Records of a trail by what became of them: delivered, selected_out, quarantined, expired, redelivered (those of expired that were delivered after all).", "trail", "state"),
		pendingRecords: desc("pending_records", "Records that the bucket has not confirmed.", "trail"),
		pendingFiles:   desc("pending_files", "Closed log files that the bucket has not confirmed.", "trail"),
		bytes:          desc("delivered_bytes_total", "Compressed bytes of log files in the bucket.", "trail"),
		lastDelivery:   desc("last_delivery_timestamp_seconds", "When the bucket last confirmed a log file.", "trail"),
		lastDigest:     desc("last_digest_timestamp_seconds", "When the bucket last confirmed a digest.", "trail"),
		failing:        desc("delivery_failing", "1 while deliveries fail, by reason.", "trail", "reason"),
		skew:           desc("clock_skew_seconds", "The bucket's clock minus ours, when it holds deliveries back.", "trail"),
		generation:     desc("config_generation", "Generation of the configuration in force."),
		keptFiles:      desc("kept_count", "What is kept on the volume beside the buckets, by kind: item (in quarantine), expired and abandoned (log files), damaged (files and chunks).", "kind"),
		keptBytes:      desc("kept_bytes", "Bytes of what is kept on the volume beside the buckets, by kind.", "kind"),
		keptRemoved:    desc("kept_removed_total", "Kept files and chunks that had to make room, or were 30 days old, by kind.", "kind"),
	}
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.records, c.pendingRecords, c.pendingFiles, c.bytes, c.lastDelivery, c.lastDigest, c.failing, c.skew, c.generation, c.keptFiles, c.keptBytes, c.keptRemoved} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	s := c.status()
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	counter := func(d *prometheus.Desc, v int64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
	}
	gauge(c.generation, float64(s.Generation))
	if k := s.Kept; k != nil {
		for kind, n := range map[string][2]int64{
			"item": {int64(k.Items), k.ItemBytes}, "expired": {int64(k.ExpiredFiles), k.ExpiredBytes},
			"abandoned": {int64(k.AbandonedFiles), k.AbandonedBytes}, "damaged": {int64(k.Damaged), k.DamagedBytes},
		} {
			gauge(c.keptFiles, float64(n[0]), kind)
			gauge(c.keptBytes, float64(n[1]), kind)
		}
		for kind, n := range k.Removed {
			counter(c.keptRemoved, n, kind)
		}
	}
	for i := range s.Trails {
		t := &s.Trails[i]
		for state, n := range map[string]int64{
			"delivered": t.Counts.Delivered, "selected_out": t.Counts.SelectedOut,
			"quarantined": t.Counts.Quarantined, "expired": t.Counts.Expired + t.Counts.Redelivered,
			"redelivered": t.Counts.Redelivered,
		} {
			counter(c.records, n, t.UID, state)
		}
		gauge(c.pendingRecords, float64(t.Counts.Pending), t.UID)
		gauge(c.pendingFiles, float64(t.PendingFiles), t.UID)
		counter(c.bytes, t.DeliveredBytes, t.UID)
		gauge(c.skew, float64(t.ClockSkewSeconds), t.UID)
		if t.LastDelivery != nil {
			gauge(c.lastDelivery, float64(t.LastDelivery.Unix()), t.UID)
		}
		if t.LastDigest != nil {
			gauge(c.lastDigest, float64(t.LastDigest.Unix()), t.UID)
		}
		if t.DeliveryError != nil {
			gauge(c.failing, 1, t.UID, t.DeliveryError.Reason)
		}
	}
}
