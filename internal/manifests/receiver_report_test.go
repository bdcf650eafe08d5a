package manifests

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"github.com/trail-operator/trail-operator/internal/receiverstatus"
)

// published is the report as it comes out of its ConfigMap.
func published(t *testing.T, r *ReceiverReport) (*ReceiverReport, int) {
	t.Helper()
	data := r.ConfigMap("ns").Data
	read := ReadReceiverReport(&corev1.ConfigMap{Data: data})
	if read == nil {
		t.Fatal("the report cannot be read")
	}
	return read, len(data[keyReport])
}

func TestReceiverReport(t *testing.T) {
	at := time.Date(2026, 11, 21, 10, 0, 0, 123, time.UTC)
	whole := at.Truncate(time.Second)
	s := &receiverstatus.Status{Started: at, Generation: 3}
	s.Intake.Sources = []receiverstatus.Source{{APIServer: "cp-1", LastPost: at, Certificates: []receiverstatus.SourceCertificate{{SHA256: "aa", LastPost: at}}}}
	s.Intake.Forward = &receiverstatus.Forward{
		Sent: 7, Dropped: 2, Waiting: 3, WaitingBytes: 4096, Failure: &receiverstatus.Failure{Since: at, Code: "Unreachable", Message: "nobody answers"},
	}
	r := &ReceiverReport{
		Time: whole, APIServers: []string{"cp-1"}, Certificates: []ReportedCertificate{{Secret: IntakeCAName, End: at}, {Secret: "trail-apiserver-cp-1", APIServer: "cp-1", End: at, Replaced: true}},
		Receiver: StateOf(s, []string{"cp-1"}),
	}
	want := &ReceiverReport{
		Time: whole, APIServers: []string{"cp-1"}, Certificates: []ReportedCertificate{{Secret: IntakeCAName, End: whole}, {Secret: "trail-apiserver-cp-1", APIServer: "cp-1", End: whole, Replaced: true}},
		Receiver: &ReceiverState{
			Started: whole, Generation: 3,
			Sources: []ReceiverStateSource{{APIServer: "cp-1", LastPost: whole, Certificates: []receiverstatus.SourceCertificate{{SHA256: "aa", LastPost: whole}}}},
			Forward: &ReceiverStateForward{Sent: 7, Dropped: 2, Waiting: 3, WaitingBytes: 4096, Failing: &whole, Failure: "nobody answers"},
		},
	}
	got, _ := published(t, r)
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	s.Intake.Forward.Failure = nil
	if f := StateOf(s, nil).Forward; f.Failing != nil || f.Failure != "" {
		t.Errorf("a success is told as %+v", f)
	}
}

// A report fits into a ConfigMap, and tells of the API servers of the
// configuration, whatever the receiver says.
func TestReceiverReportIsBounded(t *testing.T) {
	long := strings.Repeat("\x01", 1<<20)
	s := &receiverstatus.Status{ConfigError: long}
	s.Intake.Forward = &receiverstatus.Forward{Failure: &receiverstatus.Failure{Message: long}}
	for i := range 1000 {
		from := receiverstatus.Source{APIServer: fmt.Sprintf("%d%s", i, long)}
		for range 10 {
			from.Certificates = append(from.Certificates, receiverstatus.SourceCertificate{SHA256: long})
		}
		s.Intake.Sources = append(s.Intake.Sources, from)
	}
	s.Intake.Sources = append(s.Intake.Sources, receiverstatus.Source{APIServer: "cp-1"})
	r := &ReceiverReport{Time: time.Unix(1, 0), Unreachable: long, Receiver: StateOf(s, []string{"cp-1"})}
	for range 1000 {
		r.APIServers = append(r.APIServers, long)
		r.Certificates = append(r.Certificates, ReportedCertificate{Secret: long, APIServer: long, End: time.Unix(1<<55, 0)})
	}
	got, size := published(t, r)
	if size > 900<<10 {
		t.Errorf("the report has %d bytes", size)
	}
	if len(got.APIServers) != maxSources || len(got.Certificates) != maxSources+ownCertificates || len(got.Receiver.Sources) != maxSources {
		t.Errorf("%d names, %d certificates, %d API servers", len(got.APIServers), len(got.Certificates), len(got.Receiver.Sources))
	}
	if first := got.Receiver.Sources[0]; first.APIServer != "cp-1" {
		t.Errorf("the first API server is %q", first.APIServer)
	}
	for _, from := range got.Receiver.Sources {
		if len(from.APIServer) > maxName || len(from.Certificates) > receiverstatus.MaxSourceCertificates {
			t.Errorf("a name of %d bytes with %d certificates", len(from.APIServer), len(from.Certificates))
		}
	}
	// What fits stays in the order in which it is told.
	few := &receiverstatus.Status{}
	few.Intake.Sources = []receiverstatus.Source{{APIServer: strings.Repeat("é", 100)}, {APIServer: "cp-1"}}
	if sources := StateOf(few, []string{"cp-1"}).Sources; sources[0].APIServer != strings.Repeat("é", 31) || sources[1].APIServer != "cp-1" {
		t.Errorf("got %q", sources)
	}
}
