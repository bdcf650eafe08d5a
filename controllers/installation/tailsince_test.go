package installation

import (
	"testing"
	"time"

	clocktesting "k8s.io/utils/clock/testing"

	"github.com/trail-operator/trail-operator/internal/managerconfig"
	"github.com/trail-operator/trail-operator/internal/manifests"
)

// TestTailSince: the time stays while tails are on, and is another one when they
// are switched on again.
func TestTailSince(t *testing.T) {
	clock := clocktesting.NewFakePassiveClock(time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC))
	const now = "2026-11-21T10:00:00Z"
	for name, tc := range map[string]struct {
		on           bool
		before, want string
	}{
		"off":          {false, "", ""},
		"switched on":  {true, "", now},
		"still on":     {true, "2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z"},
		"switched off": {false, "2026-01-01T00:00:00Z", ""},
	} {
		t.Run(name, func(t *testing.T) {
			c := &managerconfig.Config{}
			c.Intake.Tail.Enabled = tc.on
			e := &ensurer{config: c, clock: clock, kept: map[string]string{manifests.InstallationTailSince: tc.before}}
			if got := e.tailSince(); got != tc.want {
				t.Errorf("%q, want %q", got, tc.want)
			}
		})
	}
}
