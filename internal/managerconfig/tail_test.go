package managerconfig

import (
	"strings"
	"testing"
)

func TestTail(t *testing.T) {
	for in, want := range map[string]bool{"": false, "intake: {tail: {}}\n": false, "intake: {tail: {enabled: true}}\n": true} {
		c, err := Parse([]byte(valid + in))
		if err != nil {
			t.Fatal(err)
		}
		if c.Intake.Tail.Enabled != want {
			t.Errorf("%q: got %v", in, c.Intake.Tail.Enabled)
		}
	}
	if _, err := Parse([]byte(valid + "intake: {tail: {enabled: true, node: a}}\n")); err == nil || !strings.Contains(err.Error(), `unknown field "node"`) {
		t.Errorf("got %v", err)
	}
}
