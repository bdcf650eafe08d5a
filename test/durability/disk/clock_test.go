package disk

import (
	"time"

	"k8s.io/utils/clock"
	clocktesting "k8s.io/utils/clock/testing"
)

// steppedClock is a fake clock whose timers behave as Go's do since 1.23: Reset
// throws away a tick that nobody took. It never shows the same time twice.
type steppedClock struct{ *clocktesting.FakeClock }

func (c steppedClock) Now() time.Time {
	c.Step(time.Microsecond)
	return c.FakeClock.Now()
}

func (c steppedClock) NewTimer(d time.Duration) clock.Timer {
	return steppedTimer{c.FakeClock.NewTimer(d)}
}

type steppedTimer struct{ clock.Timer }

func (t steppedTimer) Stop() bool {
	active := t.Timer.Stop()
	select {
	case <-t.C():
	default:
	}
	return active
}

func (t steppedTimer) Reset(d time.Duration) bool {
	active := t.Stop()
	t.Timer.Reset(d)
	return active
}
