package manifests

import (
	"cmp"
	"encoding/json"
	"slices"
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
	// Certificates are those of the installation, so that nobody needs to read
	// Secrets to know when they end. None: the manager has not looked yet.
	Certificates []ReportedCertificate `json:"certificates,omitempty"`
	// Unreachable says why the receiver does not answer; then Receiver is nil.
	Unreachable string         `json:"unreachable,omitempty"`
	Receiver    *ReceiverState `json:"receiver,omitempty"`
}

// ReportedCertificate is a certificate in use.
type ReportedCertificate struct {
	Secret string `json:"secret"`
	// APIServer is whose it is, for those of API servers.
	APIServer string    `json:"apiServer,omitempty"`
	End       time.Time `json:"end"`
	// Replaced: another one was issued, and is not in use yet.
	Replaced bool `json:"replaced,omitempty"`
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
	// ExpiredFiles and AbandonedFiles are log files that `kubectl trail redeliver` can
	// still save.
	ExpiredFiles   int `json:"expiredFiles,omitempty"`
	AbandonedFiles int `json:"abandonedFiles,omitempty"`
	// Forward is nil when bodies are not forwarded.
	Forward *ReceiverStateForward `json:"forward,omitempty"`
}

// ReceiverStateSource is an API server that has posted since the receiver was started.
type ReceiverStateSource struct {
	APIServer string    `json:"apiServer"`
	LastPost  time.Time `json:"lastPost"`
	// Certificates are those it has posted with, the one used last first.
	Certificates []receiverstatus.SourceCertificate `json:"certificates,omitempty"`
}

// ReceiverStateForward says what became of the bodies that go to a second
// receiver, in POSTs since the receiver was started.
type ReceiverStateForward struct {
	Sent         int64 `json:"sent"`
	Dropped      int64 `json:"dropped,omitempty"`
	Waiting      int   `json:"waiting,omitempty"`
	WaitingBytes int64 `json:"waitingBytes,omitempty"`
	// Failing is since when it does not take them, nil after a success, and
	// Failure why.
	Failing *time.Time `json:"failing,omitempty"`
	Failure string     `json:"failure,omitempty"`
}

// Bounds of a report: it must fit into a ConfigMap whatever the receiver says.
const (
	maxSources = 100
	maxName    = 63   // bytes, as the manager's configuration has it
	maxError   = 4096 // bytes

	maxFingerprint  = 64 // hex digits of a SHA-256
	ownCertificates = 3  // those of no API server: CA, receiver, manager
)

// second is t as a report holds it; the zero time when no report can.
func second(t time.Time) time.Time {
	if t = t.UTC().Truncate(time.Second); t.Year() < 1 || t.Year() > 9999 {
		return time.Time{}
	}
	return t
}

func first[T any](all []T, most int) []T { return all[:min(len(all), most)] }

func bounded(s string, most int) string {
	return strings.ToValidUTF8(s[:min(len(s), most)], "")
}

// StateOf is what a report says of a status. If there are more API servers than
// it holds, it holds those of the configuration.
func StateOf(s *receiverstatus.Status, apiServers []string) *ReceiverState {
	state := &ReceiverState{
		Started: second(s.Started), Generation: s.Generation, ConfigError: bounded(s.ConfigError, maxError),
		Full: s.Spool.Full, Damaged: s.Spool.Damaged, Quarantined: s.Intake.Quarantined,
	}
	if k := s.Kept; k != nil {
		state.ExpiredFiles, state.AbandonedFiles = k.ExpiredFiles, k.AbandonedFiles
	}
	rank := func(s receiverstatus.Source) int {
		if slices.Contains(apiServers, s.APIServer) {
			return 0
		}
		return 1
	}
	sources := s.Intake.Sources
	if len(sources) > maxSources {
		sources = slices.SortedStableFunc(slices.Values(sources), func(a, b receiverstatus.Source) int { return cmp.Compare(rank(a), rank(b)) })
	}
	for _, from := range first(sources, maxSources) {
		source := ReceiverStateSource{APIServer: bounded(from.APIServer, maxName), LastPost: second(from.LastPost)}
		for _, c := range first(from.Certificates, receiverstatus.MaxSourceCertificates) {
			source.Certificates = append(source.Certificates, receiverstatus.SourceCertificate{SHA256: bounded(c.SHA256, maxFingerprint), LastPost: second(c.LastPost)})
		}
		state.Sources = append(state.Sources, source)
	}
	if f := s.Intake.Forward; f != nil {
		state.Forward = &ReceiverStateForward{Sent: f.Sent, Dropped: f.Dropped, Waiting: f.Waiting, WaitingBytes: f.WaitingBytes}
		if f.Failure != nil {
			since := second(f.Failure.Since)
			state.Forward.Failing, state.Forward.Failure = &since, bounded(f.Failure.Message, maxError)
		}
	}
	return state
}

// ConfigMap builds the ConfigMap that holds the report.
func (r *ReceiverReport) ConfigMap(namespace string) *corev1ac.ConfigMapApplyConfiguration {
	fits := *r
	fits.Time, fits.Unreachable, fits.APIServers = second(r.Time), bounded(r.Unreachable, maxError), []string{}
	for _, name := range first(r.APIServers, maxSources) {
		fits.APIServers = append(fits.APIServers, bounded(name, maxName))
	}
	fits.Certificates = nil
	for _, c := range first(r.Certificates, maxSources+ownCertificates) {
		fits.Certificates = append(fits.Certificates, ReportedCertificate{
			Secret: bounded(c.Secret, len(APIServerCertName(""))+maxName), APIServer: bounded(c.APIServer, maxName), End: second(c.End), Replaced: c.Replaced,
		})
	}
	return corev1ac.ConfigMap(ReceiverReportName, namespace).WithLabels(labels("manager")).
		WithData(map[string]string{keyReport: string(record.MustJSON(fits))})
}

// ReadReceiverReport reads such a ConfigMap; nil when it holds no report.
func ReadReceiverReport(cm *corev1.ConfigMap) *ReceiverReport {
	r := &ReceiverReport{}
	if json.Unmarshal([]byte(cm.Data[keyReport]), r) != nil || r.Time.IsZero() {
		return nil
	}
	return r
}
