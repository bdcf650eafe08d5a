package manifests

import (
	"encoding/json"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"

	"github.com/trail-operator/trail-operator/internal/receiverstatus"
	"github.com/trail-operator/trail-operator/internal/record"
)

// ReceiverReportName is the ConfigMap in which the manager publishes how it
// sees the receiver, for who looks after the installation.
const ReceiverReportName = "trail-receiver-status"

const keyReport = "status.json"

// ReceiverReport is how the manager sees the receiver. It says nothing of
// single trails: that stands in their status.
type ReceiverReport struct {
	// Time is when the receiver was asked, by the manager's clock.
	Time time.Time `json:"time"`
	// APIServers are the names in the manager's configuration.
	APIServers []string `json:"apiServers"`
	// Unreachable says why the receiver does not answer; then Receiver is nil.
	Unreachable string         `json:"unreachable,omitempty"`
	Receiver    *ReceiverState `json:"receiver,omitempty"`
}

// ReceiverState is what of the receiver's status concerns all trails.
type ReceiverState struct {
	Started     time.Time             `json:"started"`
	Generation  int64                 `json:"generation"`
	ConfigError string                `json:"configError,omitempty"`
	Full        bool                  `json:"full,omitempty"`
	Damaged     int64                 `json:"damaged,omitempty"`
	Quarantined int64                 `json:"quarantined,omitempty"`
	Sources     []ReceiverStateSource `json:"sources,omitempty"`
}

// ReceiverStateSource is an API server that has posted since the receiver was started.
type ReceiverStateSource struct {
	APIServer string    `json:"apiServer"`
	LastPost  time.Time `json:"lastPost"`
}

// Bounds of a report: it must fit into a ConfigMap whatever the receiver says.
const (
	maxSources = 100
	maxError   = 4096 // bytes
)

// second is t as a report holds it; the zero time when no report can.
func second(t time.Time) time.Time {
	if t = t.UTC().Truncate(time.Second); t.Year() < 1 || t.Year() > 9999 {
		return time.Time{}
	}
	return t
}

// StateOf is what a report says of a status.
func StateOf(s *receiverstatus.Status) *ReceiverState {
	state := &ReceiverState{
		Started: second(s.Started), Generation: s.Generation,
		ConfigError: strings.ToValidUTF8(s.ConfigError[:min(len(s.ConfigError), maxError)], ""),
		Full:        s.Spool.Full, Damaged: s.Spool.Damaged, Quarantined: s.Intake.Quarantined,
	}
	for _, from := range s.Intake.Sources[:min(len(s.Intake.Sources), maxSources)] {
		state.Sources = append(state.Sources, ReceiverStateSource{from.APIServer, second(from.LastPost)})
	}
	return state
}

// ConfigMap builds the ConfigMap that holds the report.
func (r *ReceiverReport) ConfigMap(namespace string) *corev1ac.ConfigMapApplyConfiguration {
	return corev1ac.ConfigMap(ReceiverReportName, namespace).WithLabels(labels("manager")).
		WithData(map[string]string{keyReport: string(record.MustJSON(r))})
}

// ReadReceiverReport reads such a ConfigMap; nil when it holds no report.
func ReadReceiverReport(cm *corev1.ConfigMap) *ReceiverReport {
	r := &ReceiverReport{}
	if json.Unmarshal([]byte(cm.Data[keyReport]), r) != nil || r.Time.IsZero() {
		return nil
	}
	return r
}
