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

// everyNth calls f with each stride-th number from 1 to most, and in a soak again
// and again with the others and other seeds.
func everyNth(t *testing.T, stride, most int64, f func(seed uint64, n int64)) {
	end := time.Now().Add(soak())
	for seed := int64(0); (seed == 0 || time.Now().Before(end)) && !t.Failed(); seed++ {
		for n := 1 + seed%stride; n <= most; n += stride {
			f(uint64(seed)<<32+uint64(n), n)
		}
	}
}
