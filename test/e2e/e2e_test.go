//go:build linux

package e2e

import (
	"context"
	"os"
	"os/signal"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// scenarios run in this order, on one cluster; each leaves it as it found it.
var scenarios = []struct {
	name  string
	limit time.Duration
	run   func(ctx context.Context, t *testing.T, e *environment)
}{
	{"first trail", 2 * time.Minute, firstTrail},
	{"samples", 2 * time.Minute, samples},
	{"sessions", 2 * time.Minute, sessions},
	{"validation", 2 * time.Minute, validatedInCluster},
	{"organization trail", 3 * time.Minute, organizationTrail},
	{"tenant isolation", time.Minute, tenantIsolation},
	{"bucket outage", 3 * time.Minute, bucketOutage},
	{"receiver deleted", 3 * time.Minute, receiverDeleted},
	{"complete mode", 4 * time.Minute, completeMode},
	{"node crash", 3 * time.Minute, nodeCrash},
	{"power loss", 3 * time.Minute, powerLoss},
	{"upgrade", 3 * time.Minute, upgrade},
	{"installed again", 4 * time.Minute, installedAgain},
	{"uninstall", 3 * time.Minute, uninstall},
}

func TestEndToEnd(t *testing.T) {
	if os.Getenv("TRAIL_E2E") == "" {
		t.Skip("it takes root, some minutes and the whole machine's patience: run `make e2e`")
	}
	// Who interrupts it leaves nothing behind either: the test fails, and cleans up.
	// When the go command was ended first, there is nobody to write to.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, unix.SIGTERM, unix.SIGPIPE)
	t.Cleanup(stop)
	e := newEnvironment(ctx, t)
	for _, s := range scenarios {
		passed := t.Run(s.name, func(t *testing.T) {
			begun := time.Now()
			limit, cancel := context.WithTimeout(ctx, s.limit)
			defer cancel()
			defer func() {
				t.Logf("%s: %.1f s", s.name, time.Since(begun).Seconds())
				if t.Failed() && ctx.Err() == nil {
					e.explain(t)
				}
			}()
			s.run(limit, t, e)
		})
		if ctx.Err() != nil {
			t.Fatal("interrupted")
		}
		if !passed {
			t.Fatalf("what comes after %s needs what it leaves, and was not run", s.name)
		}
	}
}
