package lossaccount

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// metrics as kube-apiserver 1.36 shows them.
const metrics = `# HELP apiserver_audit_error_total [ALPHA] Counter of audit events that failed to be audited properly. Plugin identifies the plugin affected by the error.
# TYPE apiserver_audit_error_total counter
apiserver_audit_error_total{plugin="buffered"} 2125
apiserver_audit_error_total{plugin="log"} 1
apiserver_audit_error_total{plugin="truncate"} 3
apiserver_audit_error_total{plugin="webhook"} 312
apiserver_audit_error_total{plugin="another"} 9
# HELP apiserver_audit_event_total [ALPHA] Counter of audit events generated and sent to the audit backend.
# TYPE apiserver_audit_event_total counter
apiserver_audit_event_total 1.234567e+06
apiserver_audit_event_total_more 5
apiserver_audit_event_total{label="x"} 7
apiserver_audit_level_total{level="Metadata"} 8
# TYPE process_start_time_seconds gauge
process_start_time_seconds 1.79525526031e+09
`

func TestParseMetrics(t *testing.T) {
	want := Sample{
		Started: time.Unix(1795255260, 310000000).UTC(), Events: 1234567,
		Errors: Errors{Buffered: 2125, Webhook: 312, Truncate: 3, Log: 1},
	}
	long := "apiserver_audit_event_total" + strings.Repeat("x", 3*maxLine) + " 5\n"
	for name, text := range map[string]string{
		"as it is": metrics, "with long lines": long + metrics + long, "without an end": strings.TrimSuffix(metrics, "\n"),
		"with times": strings.ReplaceAll(strings.ReplaceAll(metrics, "e+09\n", "e+09 1795255261000\n"), " 2125\n", " 2125 1795255261000\n"),
	} {
		got, err := ParseMetrics(strings.NewReader(text))
		got.Started = got.Started.Round(time.Millisecond)
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%s: %v %s", name, err, diff)
		}
	}
	for name, text := range map[string]string{
		"nothing": "", "no start": "apiserver_audit_event_total 5\n", "not a number": "apiserver_audit_event_total NaN\n",
		"negative": "apiserver_audit_event_total -1\n", "endless": "apiserver_audit_event_total +Inf\n", "words": "process_start_time_seconds soon\n",
		"before all time": "process_start_time_seconds 0\n", "after all time": "process_start_time_seconds 1e15\n",
	} {
		if got, err := ParseMetrics(strings.NewReader(text)); err == nil {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

// endless is a reader of one byte for ever.
type endless struct{ n int64 }

func (e *endless) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = 'x'
	}
	e.n += int64(len(b))
	return len(b), nil
}

func TestParseMetricsIsBounded(t *testing.T) {
	e := &endless{}
	const most = 1 << 20
	if _, err := parseMetrics(e, most); err == nil || e.n > most+maxLine {
		t.Errorf("%v after %d bytes", err, e.n)
	}
}

func FuzzParseMetrics(f *testing.F) {
	f.Add([]byte(metrics))
	f.Add([]byte(`apiserver_audit_error_total{plugin="webhook"}` + "\nprocess_start_time_seconds 1 2 3\n"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		s, err := ParseMetrics(bytes.NewReader(raw))
		if err == nil && (s.Started.IsZero() || s.Events < 0 || s.Errors.negative()) {
			t.Errorf("%+v", s)
		}
	})
}

func BenchmarkParseMetrics(b *testing.B) {
	var text strings.Builder
	for range 100_000 { // 10 MB
		text.WriteString(`apiserver_request_duration_seconds_bucket{component="apiserver",group="",le="0.005",resource="pods"} 123456` + "\n")
	}
	text.WriteString(metrics)
	b.SetBytes(int64(text.Len()))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ParseMetrics(strings.NewReader(text.String())); err != nil {
			b.Fatal(err)
		}
	}
}
