package trail

import (
	"cmp"
	"context"
	"reflect"
	"slices"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/trail-operator/trail-operator/controllers/installation"
	"github.com/trail-operator/trail-operator/internal/manifests"
	"github.com/trail-operator/trail-operator/internal/receiverstatus"
)

// +kubebuilder:rbac:groups="",namespace=trail-operator-system,resources=configmaps,resourceNames=trail-receiver-status,verbs=patch

// reportInterval is how often a report is written in which only times have changed.
const reportInterval = time.Minute

// Report publishes how the manager sees the receiver, for `kubectl trail
// doctor`: people have no certificate for the receiver's status API.
type Report struct {
	Client     client.Client
	Namespace  string
	APIServers []string
	Clock      clock.PassiveClock
	// Installation tells of the certificates.
	Installation *installation.Installation

	written *manifests.ReceiverReport
	failed  bool // the last write; each failure in a row is logged once
}

// publish writes what the receiver has answered: at once when it is news, else
// once a minute. It is called by the Poller alone. A nil Report publishes nothing.
func (r *Report) publish(ctx context.Context, log logr.Logger, s *receiverstatus.Status, err error) {
	if r == nil {
		return
	}
	report := &manifests.ReceiverReport{Time: r.Clock.Now().UTC().Truncate(time.Second), APIServers: r.APIServers}
	for _, end := range r.Installation.Certificates().Ends {
		report.Certificates = append(report.Certificates, manifests.ReportedCertificate{Secret: end.Secret, APIServer: end.APIServer, End: end.Time, Replaced: end.Replaced})
	}
	if s == nil {
		report.Unreachable = "the receiver does not answer"
		if err != nil {
			report.Unreachable = err.Error()
		}
	} else {
		report.Receiver = manifests.StateOf(s, r.APIServers)
	}
	if r.written != nil && reflect.DeepEqual(lasting(report), lasting(r.written)) {
		// A clock that was set back must not keep the report as it is.
		if since := report.Time.Sub(r.written.Time); since >= 0 && since < reportInterval {
			return
		}
	}
	err = r.Client.Apply(ctx, report.ConfigMap(r.Namespace), client.FieldOwner(manifests.FieldOwner), client.ForceOwnership)
	if err != nil {
		if !r.failed && ctx.Err() == nil {
			log.Error(err, "Cannot write how the receiver is seen", "configMap", manifests.ReceiverReportName)
		}
		r.failed = true
		return
	}
	r.written, r.failed = report, false
}

// lasting is the report without what changes all the time. Why the receiver
// does not answer may differ from try to try.
func lasting(r *manifests.ReceiverReport) manifests.ReceiverReport {
	l := *r
	l.Time = time.Time{}
	if l.Unreachable != "" {
		l.Unreachable = "unreachable"
	}
	if r.Receiver != nil {
		state := *r.Receiver
		state.Generation = min(state.Generation, 1)
		state.Quarantined, state.Damaged = min(state.Quarantined, 1), min(state.Damaged, 1)
		state.ExpiredFiles, state.AbandonedFiles = min(state.ExpiredFiles, 1), min(state.AbandonedFiles, 1)
		state.Sources = nil
		for _, from := range r.Receiver.Sources {
			state.Sources = append(state.Sources, manifests.ReceiverStateSource{APIServer: from.APIServer, Certificates: known(from.Certificates)})
		}
		if f := r.Receiver.Forward; f != nil {
			state.Forward = &manifests.ReceiverStateForward{Dropped: min(f.Dropped, 1), Failing: f.Failing}
		}
		l.Receiver = &state
	}
	return l
}

// known are the certificates without when, and in which order, they were used:
// that changes all the time where two API servers share a name.
func known(used []receiverstatus.SourceCertificate) (known []receiverstatus.SourceCertificate) {
	for _, c := range used {
		known = append(known, receiverstatus.SourceCertificate{SHA256: c.SHA256})
	}
	slices.SortFunc(known, func(a, b receiverstatus.SourceCertificate) int { return cmp.Compare(a.SHA256, b.SHA256) })
	return known
}
