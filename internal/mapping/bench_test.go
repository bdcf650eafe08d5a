package mapping

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/trail-operator/trail-operator/internal/auditevent"
	"github.com/trail-operator/trail-operator/internal/record"
)

// benchEvents makes 64 events from a golden one, with IDs of their own, padded
// to size bytes.
func benchEvents(b *testing.B, file string, size int, edit func(map[string]any)) [][]byte {
	b.Helper()
	raw, err := os.ReadFile(file)
	if err != nil {
		b.Fatal(err)
	}
	events := make([][]byte, 64)
	for i := range events {
		var e map[string]any
		if err := json.Unmarshal(raw, &e); err != nil {
			b.Fatal(err)
		}
		id := uuid.NewString()
		e["auditID"] = id
		e["objectRef"].(map[string]any)["name"] = "web-" + id[:8]
		e["requestURI"] = "/api/v1/namespaces/default/pods/web-" + id[:8] + "/status"
		e["stageTimestamp"] = fmt.Sprintf("2026-11-21T03:39:%02d.%06dZ", i/8, i*7919)
		e["requestReceivedTimestamp"] = fmt.Sprintf("2026-11-21T03:39:%02d.%06dZ", i/8, i*7000)
		edit(e)
		short, err := json.Marshal(e)
		if err != nil {
			b.Fatal(err)
		}
		e["userAgent"] = e["userAgent"].(string) + strings.Repeat(" x", max(0, size-len(short))/2)
		if events[i], err = json.Marshal(e); err != nil {
			b.Fatal(err)
		}
	}
	return events
}

func benchmarkAppend(b *testing.B, events [][]byte) {
	m := newMapper(b)
	parsers := make([]auditevent.Parser, len(events))
	parsed := make([]*auditevent.Event, len(events))
	total := 0
	for i, e := range events {
		var err error
		if parsed[i], err = parsers[i].Parse(e); err != nil {
			b.Fatal(err)
		}
		total += len(e)
	}
	b.SetBytes(int64(total / len(events)))
	b.ReportAllocs()
	var f record.Facts
	var dst []byte
	for i := 0; b.Loop(); i++ {
		dst = m.Append(dst[:0], parsed[i%len(parsed)], testSource, &f)
	}
	b.ReportMetric(float64(len(dst)), "bytes/record")
}

// BenchmarkMetadata maps events of level Metadata of 1.25 KB.
func BenchmarkMetadata(b *testing.B) {
	benchmarkAppend(b, benchEvents(b, "testdata/events/pod-status-by-kubelet.json", 1250, func(e map[string]any) {
		e["level"] = "Metadata"
		delete(e, "requestObject")
	}))
}

// BenchmarkRequest maps events of level Request of 6 KB.
func BenchmarkRequest(b *testing.B) {
	benchmarkAppend(b, benchEvents(b, "testdata/events/pod-create-by-controller.json", 6000, func(e map[string]any) {
		pod := e["responseObject"].(map[string]any)
		containers := pod["spec"].(map[string]any)["containers"].([]any)
		pod["spec"].(map[string]any)["containers"] = append(containers, containers...)
		e["level"], e["requestObject"] = "Request", pod
		delete(e, "responseObject")
	}))
}

// BenchmarkParseAndAppend is the whole way of an item of level Metadata.
func BenchmarkParseAndAppend(b *testing.B) {
	events := benchEvents(b, "testdata/events/pod-status-by-kubelet.json", 1250, func(e map[string]any) {
		e["level"] = "Metadata"
		delete(e, "requestObject")
	})
	m := newMapper(b)
	b.SetBytes(int64(len(events[0])))
	b.ReportAllocs()
	var p auditevent.Parser
	var f record.Facts
	var dst []byte
	for i := 0; b.Loop(); i++ {
		e, err := p.Parse(events[i%len(events)])
		if err != nil {
			b.Fatal(err)
		}
		dst = m.Append(dst[:0], e, testSource, &f)
	}
}
