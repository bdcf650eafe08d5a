package validation

import (
	"errors"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/types"

	"github.com/trail-operator/trail-operator/api/v1alpha1"
)

// Metrics of validations. They carry no names of trails.
type Metrics struct {
	ended    *prometheus.CounterVec
	duration prometheus.Histogram
	trails   *prometheus.GaugeVec
	jobs     *prometheus.GaugeVec
}

// NewMetrics makes them.
func NewMetrics() *Metrics {
	return &Metrics{
		ended: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "trail_validations_total", Help: "Validations in the cluster that have ended, by their result.",
		}, []string{"result"}),
		duration: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "trail_validation_duration_seconds", Help: "How long validations took that were carried out.",
			Buckets: []float64{5, 15, 60, 300, 900, 1800, 3600, 14400},
		}),
		trails: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "trail_validated_trails", Help: "Trails that are to be validated, by what the last validation found.",
		}, []string{"state"}),
		jobs: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "trail_validation_jobs", Help: "Validations that run, and that wait for a place.",
		}, []string{"state"}),
	}
}

// Register registers all of them.
func (m *Metrics) Register(r prometheus.Registerer) error {
	var errs []error
	for _, c := range []prometheus.Collector{m.ended, m.duration, m.trails, m.jobs} {
		errs = append(errs, r.Register(c))
	}
	return errors.Join(errs...)
}

func (m *Metrics) count(v *v1alpha1.LastValidation) {
	m.ended.WithLabelValues(strings.ToLower(string(v.Result))).Inc()
	if v.Result != v1alpha1.ValidationFailed {
		m.duration.Observe(float64(v.DurationSeconds))
	}
}

func (m *Metrics) observe(trails map[types.UID]candidate, running, waiting int) {
	states := map[string]int{"valid": 0, "invalid": 0, "failed": 0, "never": 0}
	for _, t := range trails {
		switch v := t.Status.LastValidation; {
		case !t.IsValidated():
		case v == nil:
			states["never"]++
		case len(v.Findings) > 0: // also when a later one failed
			states["invalid"]++
		case v.Result == v1alpha1.ValidationFailed:
			states["failed"]++
		default:
			states["valid"]++
		}
	}
	for state, n := range states {
		m.trails.WithLabelValues(state).Set(float64(n))
	}
	m.jobs.WithLabelValues("running").Set(float64(running))
	m.jobs.WithLabelValues("waiting").Set(float64(waiting))
}
