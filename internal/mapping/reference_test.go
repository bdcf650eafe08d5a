package mapping

import (
	"bytes"
	"encoding/json"
	"os"
	"testing"
)

// TestReference: the example of the event reference is what the code writes.
func TestReference(t *testing.T) {
	doc, err := os.ReadFile("../../docs/event-reference.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := bytes.Cut(doc, []byte("```json\n"))
	example, _, closed := bytes.Cut(rest, []byte("```"))
	if !found || !closed {
		t.Fatal("the event reference has no example")
	}
	in, err := os.ReadFile("testdata/events/serviceaccount-in-pod.json")
	if err != nil {
		t.Fatal(err)
	}
	record, _ := mapped(t, in)
	var want, got bytes.Buffer
	if err := json.Compact(&got, example); err != nil {
		t.Fatal(err)
	}
	want.Write(record)
	if want.String() != got.String() {
		t.Errorf("the event reference shows\n%s\nbut the record is\n%s", got.String(), want.String())
	}
}
