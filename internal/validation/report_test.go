package validation

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const good = `{"version":1,"valid":true,"from":"2026-03-01T09:00:00Z","until":"2026-03-01T10:00:00Z",` +
	`"digests":{"total":1,"valid":1},"logFiles":{"total":12,"valid":9,"expired":2,"archived":1}}`

func TestParseReport(t *testing.T) {
	for name, s := range map[string]string{
		"valid":   good,
		"invalid": `{"version":1,"digests":{"total":2,"valid":0},"logFiles":{"total":0,"valid":0},"findings":[{"kind":"DigestMissing","count":3},{"kind":"LogFileInvalid","count":1}]}`,
		"failed":  `{"version":1,"cause":"AccessDenied"}`,
		"nothing": `{"version":1,"findings":[{"kind":"DigestMissing","count":3}]}` + "\n",
	} {
		r, err := ParseReport([]byte(s))
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		again, err := ParseReport([]byte(mustJSON(t, r)))
		if err != nil || !cmp.Equal(r, again) {
			t.Errorf("%s: written and read it is %v, %v", name, again, err)
		}
	}
}

func mustJSON(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestHostileReports: no report that contradicts itself is taken, and no error
// quotes anything.
func TestHostileReports(t *testing.T) {
	change := func(old, with string) string {
		t.Helper()
		if !strings.Contains(good, old) {
			t.Fatalf("%s is not there", old)
		}
		return strings.Replace(good, old, with, 1)
	}
	for name, s := range map[string]string{
		"empty":                  "",
		"text":                   "PLANTED",
		"cut short":              good[:len(good)-1],
		"two":                    good + good,
		"trailing":               good + "PLANTED",
		"long":                   strings.Repeat(" ", MaxReport) + good,
		"unknown field":          change(`"valid":true`, `"valid":true,"PLANTED":"x"`),
		"another version":        change(`"version":1`, `"version":2`),
		"wrong type":             change(`"total":1,`, `"total":"PLANTED",`),
		"no digests":             change(`"digests":{"total":1,"valid":1}`, `"digests":{"total":0,"valid":0}`),
		"a digest is not valid":  change(`"digests":{"total":1`, `"digests":{"total":2`),
		"a log file is missing":  change(`"total":12`, `"total":13`),
		"more valid than any":    change(`"valid":9`, `"valid":10`),
		"negative":               change(`"valid":9,"expired":2`, `"valid":12,"expired":-1`),
		"huge":                   change(`"total":12`, `"total":9000000000000000000`),
		"backwards":              change(`"from":"2026-03-01T09`, `"from":"2026-03-01T11`),
		"no time":                change(`"from":"2026-03-01T09:00:00Z",`, ``),
		"valid with findings":    change(`"valid":true`, `"valid":true,"findings":[{"kind":"ChainCut","count":1}]`),
		"invalid without":        change(`"valid":true,`, ``),
		"unknown kind":           change(`"valid":true`, `"findings":[{"kind":"PLANTED","count":1}]`),
		"kind twice":             change(`"valid":true`, `"findings":[{"kind":"ChainCut","count":1},{"kind":"ChainCut","count":1}]`),
		"no findings of a kind":  change(`"valid":true`, `"findings":[{"kind":"ChainCut","count":0}]`),
		"unknown cause":          `{"version":1,"cause":"PLANTED"}`,
		"a cause of the manager": `{"version":1,"cause":"DeadlineExceeded"}`,
		"cause and valid":        change(`"valid":true`, `"valid":true,"cause":"Other"`),
		"deep":                   strings.Repeat(`[`, MaxReport),
	} {
		r, err := ParseReport([]byte(s))
		if err == nil {
			t.Errorf("%s: it is taken as %+v", name, r)
		} else if strings.Contains(err.Error(), "PLANTED") {
			t.Errorf("%s: the error quotes it: %v", name, err)
		}
	}
}

func FuzzParseReport(f *testing.F) {
	f.Add([]byte(good))
	f.Add([]byte(`{"version":1,"cause":"AccessDenied"}`))
	f.Add([]byte(`{"version":1,"findings":[{"kind":"DigestMissing","count":3}]}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		r, err := ParseReport(raw)
		if err != nil {
			return
		}
		if r.Valid && (len(r.Findings) > 0 || r.Digests.Valid == 0 || r.Cause != "") {
			t.Errorf("valid, although %+v", r)
		}
		if _, err := ParseReport([]byte(mustJSON(t, r))); err != nil {
			t.Errorf("%+v is not read again: %v", r, err)
		}
	})
}

func FuzzParseInput(f *testing.F) {
	f.Add([]byte(`{"version":1,"trail":"a.b","layout":{"Account":"000000000042","Region":"eu-1"},"destination":{"bucket":"b"},"keys":[{}],"heads":[{}]}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		in, err := ParseInput(raw)
		if err == nil && (in.Trail == "" || len(in.Heads) == 0) {
			t.Errorf("%+v is taken", in)
		}
	})
}
