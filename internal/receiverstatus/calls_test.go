package receiverstatus

import (
	"strings"
	"testing"
)

func TestProbeAuditID(t *testing.T) {
	for _, c := range ProbeClasses {
		id, class, ok := ParseProbe(ProbeAuditID("4f2a", c))
		if !ok || id != "4f2a" || class != c {
			t.Errorf("got %q, %q, %v", id, class, ok)
		}
	}
	for _, s := range []string{
		"", "4f2a", "trail-operator-probe/", "trail-operator-probe/a", "trail-operator-probe//read", "trail-operator-probe/a/session",
		"trail-operator-probe/a/read/", "trail-operator-probe/" + strings.Repeat("a", 65) + "/read",
	} {
		if id, class, ok := ParseProbe(s); ok {
			t.Errorf("%q is a probe: %q, %q", s, id, class)
		}
	}
}
