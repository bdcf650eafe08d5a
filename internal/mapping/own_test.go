package mapping

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/trail-operator/trail-operator/internal/record"
)

func TestOwn(t *testing.T) {
	e := &record.OwnEvent{
		ID: "stop/4a5c/7", Name: record.EventStopLogging, Time: time.Date(2026, 11, 21, 9, 0, 0, 999, time.UTC),
		Trails: []string{"u1", "u2"}, TrailARN: record.TrailARN("eu-central-1", "123456789012", "team.main"),
		Details: json.RawMessage(`{ "reason" : "suspended\u2028" }`),
	}
	var f record.Facts
	m := newMapper(t)
	b := m.AppendOwn(nil, e, &f)
	checkRecord(t, b, &f)
	compareGolden(t, "own-stop-logging.json", b, &f)
	first := decode(t, b).EventID
	if again := decode(t, m.AppendOwn(nil, e, &f)).EventID; again != first {
		t.Errorf("one event has the IDs %s and %s", first, again)
	}
	e.ID += strings.Repeat("x", 100)
	long := decode(t, m.AppendOwn(nil, e, &f)).EventID
	if e.ID += "y"; decode(t, m.AppendOwn(nil, e, &f)).EventID == long || long == first {
		t.Error("two events have one ID")
	}
	e.TrailARN = record.TrailARN("eu-central-1", "123456789012", "whole-cluster")
	m.AppendOwn(nil, e, &f)
	want := []record.FactResource{{Type: "K8S::trail-operator.io::OrganizationTrail", ARN: e.TrailARN}}
	if diff := cmp.Diff(want, f.Resources); diff != "" {
		t.Errorf("resources (-want +got):\n%s", diff)
	}
}

func TestOwnDetails(t *testing.T) {
	for name, c := range map[string]struct{ in, want string }{
		"none":      {"", ""},
		"spaces":    {"{\n \"a\": [1, 2]\n}", `{"a":[1,2]}`},
		"list":      {`[1]`, `{"omitted":true,"omittedReason":"NotReadableByRedactor","omittedBytes":3}`},
		"broken":    {`{"a"`, `{"omitted":true,"omittedReason":"NotReadableByRedactor","omittedBytes":4}`},
		"too long":  {`{"a":"` + strings.Repeat("x", maxBody) + `"}`, `{"omitted":true,"omittedReason":"SizeLimit","omittedBytes":102408}`},
		"too deep":  {strings.Repeat(`{"a":`, 5000) + "1" + strings.Repeat("}", 5000), `{"omitted":true,"omittedReason":"NotReadableByRedactor","omittedBytes":30001}`},
		"bad utf-8": {"{\"a\":\"\xff\"}", "{\"a\":\"\uFFFD\"}"},
	} {
		t.Run(name, func(t *testing.T) {
			var f record.Facts
			b := newMapper(t).AppendOwn(nil, &record.OwnEvent{ID: "x", Name: "X", Details: json.RawMessage(c.in)}, &f)
			checkRecord(t, b, &f)
			if got := string(decode(t, b).ServiceEventDetails); got != c.want {
				t.Errorf("got  %.200s\nwant %.200s", got, c.want)
			}
		})
	}
}
