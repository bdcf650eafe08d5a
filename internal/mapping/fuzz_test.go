package mapping

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/trail-operator/trail-operator/internal/auditevent"
	"github.com/trail-operator/trail-operator/internal/record"
)

// FuzzAppend: whatever the parser accepts becomes one line of valid JSON with
// the types and bounds of a record.
func FuzzAppend(f *testing.F) {
	files, err := filepath.Glob("testdata/events/*.json")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	head := `{"level":"RequestResponse","auditID":"a","stage":"Panic","stageTimestamp":"2026-11-21T03:39:02Z","verb":"create",` +
		`"objectRef":{"resource":"secrets"},"requestURI":"/x?a=%00&a=\ud800&token=\u2028",`
	for _, tail := range []string{
		`"requestObject":{"kind":"Secret","data":nan}}`, `"requestObject":[[[[{"op":1,"path":"\ud83d"}]]]]}`, `"responseObject":-inf}`,
		`"user":{"username":"\u0000\"\\","extra":{"a":{"b":1e+-}}},"sourceIPs":["\udfff",""]}`, "\"userAgent\":\"\xff\xfe\x00\"}",
		`"annotations":{"patch.webhook.admission.k8s.io/x":"{\"a\":[nan]}"}}`,
	} {
		f.Add([]byte(head + tail))
	}
	m := newMapper(f)
	var p auditevent.Parser
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := p.Parse(b)
		if err != nil {
			return
		}
		var facts record.Facts
		out := m.Append([]byte("before"), e, testSource, &facts)
		if string(out[:6]) != "before" {
			t.Fatal("dst was overwritten")
		}
		checkRecord(t, out[6:], &facts)
		first := string(out[6:])
		if again := m.Append(nil, e, testSource, &facts); string(again) != first {
			t.Errorf("one event gives two records:\n%s\n%s", first, again)
		}
	})
}
