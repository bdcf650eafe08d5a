// Package spooltest holds what every implementation of spool.Spool must do.
package spooltest

import (
	"context"
	"crypto/sha256"
	"fmt"
	"testing"
	"time"

	clocktesting "k8s.io/utils/clock/testing"

	"github.com/trail-operator/trail-operator/internal/spool"
)

// Volume is a place for one spool, with the world around it under control.
type Volume struct {
	// Open opens the spool; it is called again after Close and after Crash.
	Open func() (spool.Spool, error)
	// Clock is the one that the spool looks at.
	Clock *clocktesting.FakeClock
	// Window is for how long, in receiver uptime, chunk IDs are remembered.
	Window time.Duration
	// SetFree sets how many bytes the volume has left above the reserve of
	// Append. Negative is below it, but far from what state writes need.
	SetFree func(bytes int64)
	// Crash takes the power away: of what the open spool has not synced, a
	// random part is lost, now. The spool is closed after that, without any
	// effect on the volume. Nil when the volume cannot do that.
	Crash func()
}

// Run runs the suite. Each call of newVolume makes an empty volume.
func Run(t *testing.T, newVolume func(t *testing.T) *Volume) {
	for name, test := range map[string]func(*testing.T, *Volume){
		"Empty":                 testEmpty,
		"RoundTrip":             testRoundTrip,
		"ReadStops":             testReadStops,
		"Follow":                testFollow,
		"Wait":                  testWait,
		"Limits":                testLimits,
		"Duplicates":            testDuplicates,
		"DuplicatesConcurrent":  testDuplicatesConcurrent,
		"DuplicatesExpire":      testDuplicatesExpire,
		"DuplicatesAreUptime":   testDuplicatesAreUptime,
		"AppendWithState":       testAppendWithState,
		"Documents":             testDocuments,
		"Scan":                  testScan,
		"Conflict":              testConflict,
		"ConflictConcurrent":    testConflictConcurrent,
		"Trim":                  testTrim,
		"TrimWhileReading":      testTrimWhileReading,
		"TrimAll":               testTrimAll,
		"Events":                testEvents,
		"EventSlots":            testEventSlots,
		"Full":                  testFull,
		"Closed":                testClosed,
		"CloseWaits":            testCloseWaits,
		"PowerLoss":             testPowerLoss,
		"PowerLossInTheMiddle":  testPowerLossInTheMiddle,
		"PowerLossWhileReading": testPowerLossWhileReading,
	} {
		t.Run(name, func(t *testing.T) { test(t, newVolume(t)) })
	}
	t.Run("UUID", func(t *testing.T) {
		a, b := open(t, newVolume(t)), open(t, newVolume(t))
		if a.UUID() == b.UUID() {
			t.Fatalf("two volumes have the UUID %s", a.UUID())
		}
	})
	t.Run("Model", func(t *testing.T) { testModel(t, newVolume) })
}

// open opens the spool and closes it when the test ends.
func open(t *testing.T, v *Volume) spool.Spool {
	t.Helper()
	s, err := v.Open()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// reopen closes the spool and opens it again.
func reopen(t *testing.T, v *Volume, s spool.Spool) spool.Spool {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return open(t, v)
}

// crash takes the power away and opens what is left.
func crash(t *testing.T, v *Volume, s spool.Spool) spool.Spool {
	t.Helper()
	if v.Crash == nil {
		t.Skip("this volume cannot lose its power")
	}
	v.Crash()
	return reopen(t, v, s)
}

// chunk makes a chunk whose ID and content follow from its name.
func chunk(name string) spool.Chunk {
	c := spool.Chunk{
		ID: sha256.Sum256([]byte(name)), Kind: spool.KindAudit, Source: "111122223333/apiserver-0",
		Received: time.Date(2026, 11, 21, 9, 30, 0, 123456789, time.UTC),
	}
	for i := range 1 + int(c.ID[0]%4) {
		c.Data = spool.AppendItem(c.Data, fmt.Appendf(nil, `{"auditID":%q,"n":%d}`, name, i))
		c.Items++
	}
	return c
}

// chunkN names chunks by number.
func chunkN(n int) spool.Chunk { return chunk(fmt.Sprintf("chunk %d", n)) }

// mustAppend appends chunks one by one and returns the last position.
func mustAppend(t *testing.T, s spool.Spool, chunks ...spool.Chunk) (last spool.Position) {
	t.Helper()
	for _, c := range chunks {
		got, err := s.Append(t.Context(), []spool.Chunk{c})
		if err != nil {
			t.Fatal(err)
		}
		last = got[0].Position
	}
	return last
}

func mustCommit(t *testing.T, s spool.Spool, ops ...spool.Op) {
	t.Helper()
	if err := s.Commit(ops...); err != nil {
		t.Fatal(err)
	}
}

func mustGet(t *testing.T, s spool.Spool, key string) []byte {
	t.Helper()
	value, err := s.Get(key)
	if err != nil {
		t.Fatal(err)
	}
	return value
}

// read returns all chunks after a position, by position. Damage fails the test.
func read(t *testing.T, s spool.Spool, after spool.Position) map[spool.Position]spool.Chunk {
	t.Helper()
	got, err := collect(t.Context(), s, after)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// collect is read for code that cannot end the test.
func collect(ctx context.Context, s spool.Spool, after spool.Position) (map[spool.Position]spool.Chunk, error) {
	got := map[spool.Position]spool.Chunk{}
	var damage error
	err := s.Read(ctx, after, func(p spool.Position, c *spool.Chunk) error {
		if _, twice := got[p]; twice || p <= after {
			return fmt.Errorf("position %d was not expected", p)
		}
		copied := *c
		copied.Data = append([]byte(nil), c.Data...)
		got[p] = copied
		return nil
	}, func(d spool.Damaged) {
		damage = fmt.Errorf("position %d: %s", d.Position, d.Reason)
	})
	if err == nil {
		err = damage
	}
	return got, err
}
