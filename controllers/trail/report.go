package trail

import (
	"context"
	"reflect"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

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
	if s == nil {
		report.Unreachable = "the receiver does not answer"
		if err != nil {
			report.Unreachable = err.Error()
		}
	} else {
		report.Receiver = manifests.StateOf(s)
	}
	if r.written != nil && report.Time.Sub(r.written.Time) < reportInterval && reflect.DeepEqual(lasting(report), lasting(r.written)) {
		return
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
		state.Sources = nil
		for _, from := range r.Receiver.Sources {
			state.Sources = append(state.Sources, manifests.ReceiverStateSource{APIServer: from.APIServer})
		}
		l.Receiver = &state
	}
	return l
}
