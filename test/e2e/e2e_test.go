//go:build linux

package e2e

import (
	"context"
	"os"
	"testing"
	"time"
)

// scenarios run in this order, on one cluster; each leaves it as it found it.
var scenarios = []struct {
	name  string
	limit time.Duration
	run   func(ctx context.Context, t *testing.T, e *environment)
}{
	{"first trail", 2 * time.Minute, firstTrail},
	{"sessions", 2 * time.Minute, sessions},
	{"organization trail", 3 * time.Minute, organizationTrail},
	{"tenant isolation", time.Minute, tenantIsolation},
	{"bucket outage", 3 * time.Minute, bucketOutage},
	{"receiver deleted", 3 * time.Minute, receiverDeleted},
	{"node crash", 3 * time.Minute, nodeCrash},
	{"power loss", 3 * time.Minute, powerLoss},
	{"upgrade", 3 * time.Minute, upgrade},
	{"uninstall", 3 * time.Minute, uninstall},
}

func TestEndToEnd(t *testing.T) {
	if os.Getenv("TRAIL_E2E") == "" {
		t.Skip("it takes root, some minutes and the whole machine's patience: run `make e2e`")
	}
	e := newEnvironment(t)
	for _, s := range scenarios {
		t.Run(s.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), s.limit)
			defer cancel()
			begun := time.Now()
			defer func() {
				t.Logf("%s: %.1f s", s.name, time.Since(begun).Seconds())
				if t.Failed() {
					e.explain(t)
				}
			}()
			s.run(ctx, t, e)
		})
	}
}
