package pebble

import (
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/trail-operator/trail-operator/internal/spool"
	"github.com/trail-operator/trail-operator/internal/spool/spooltest"
)

const testReserve = 64 << 20

// newVolume is a volume on a file system, which is asked for at each opening.
func newVolume(fs func() vfs.FS, dir string) *spooltest.Volume {
	clock := clocktesting.NewFakeClock(time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC))
	var free atomic.Int64
	free.Store(1 << 40)
	opts := Options{
		ReserveBytes: testReserve, DedupeWindow: time.Minute, Clock: clock,
		FreeBytes: func() (int64, error) { return free.Load(), nil },
	}
	return &spooltest.Volume{
		Open: func() (spool.Spool, error) {
			opts.FS = fs()
			return Open(dir, opts)
		},
		Clock:   clock,
		Window:  opts.DedupeWindow,
		SetFree: func(bytes int64) { free.Store(testReserve + bytes) },
	}
}

func newDiskVolume(t *testing.T) *spooltest.Volume {
	return newVolume(func() vfs.FS { return vfs.Default }, t.TempDir())
}

// newCrashableVolume lies in memory and loses what was not synced. Its syncs
// take their time, as those of a disk do, so that much is under way.
func newCrashableVolume(t *testing.T) *spooltest.Volume {
	fs := vfs.NewCrashableMem()
	seed := rand.Uint64()
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("seed of the crashes: %d", seed)
		}
	})
	rng := rand.New(rand.NewPCG(seed, 0))
	v := newVolume(func() vfs.FS { return &syncFS{FS: fs, sync: func() { time.Sleep(200 * time.Microsecond) }} }, "spool")
	v.Crash = func() {
		fs = fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: rng.IntN(3) * 50, RNG: rng})
	}
	return v
}

func TestConformance(t *testing.T) {
	t.Run("Disk", func(t *testing.T) {
		spooltest.Run(t, newDiskVolume)
	})
	t.Run("Memory", func(t *testing.T) { spooltest.Run(t, newCrashableVolume) })
}
