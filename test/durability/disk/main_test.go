// Package disk lets the volume of a receiver fail in every way that a volume
// can: power loss, no space, errors of single operations, and damaged files. The
// README.md of the folder above says what is promised, and how to read results.
//
// Intake, spool, pipeline and outbox are the product's own. They share one file
// system in memory, so that a power loss hits all of them at the same instant.
package disk

import (
	"os"
	"testing"
	"time"
)

// soak is how much longer than usual a test shall run.
func soak() time.Duration {
	d, err := time.ParseDuration(os.Getenv("TRAIL_SOAK"))
	if err != nil {
		return 0
	}
	return d
}

// rounds calls f with as many numbers as fit into a soak, at least n.
func rounds(t *testing.T, n uint64, f func(seed uint64)) {
	end := time.Now().Add(soak())
	for seed := uint64(0); (seed < n || time.Now().Before(end)) && !t.Failed(); seed++ {
		f(seed)
	}
}
