package minio

import (
	"testing"
	"time"
)

// TestOffsetFollowsOurClock: between two answers our clock may be set. It then
// differs from the server's at once, and not only after the next answer: digests
// of hours that have not been would be signed meanwhile.
func TestOffsetFollowsOurClock(t *testing.T) {
	seen := present()
	for name, tc := range map[string]struct {
		wall, elapsed, want time.Duration
	}{
		"time passes":                       {time.Hour, time.Hour, time.Second},
		"put forward by nine hours":         {10 * time.Hour, time.Hour, time.Second - 9*time.Hour},
		"put back by an hour":               {0, time.Hour, time.Second + time.Hour},
		"the machine slept for eight hours": {8 * time.Hour, 0, time.Second - 8*time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			s := sighting{offset: time.Second, at: seen}
			if got := s.offsetAt(instant{seen.wall.Add(tc.wall), seen.elapsed + tc.elapsed}); got != tc.want {
				t.Errorf("the offset is %s, want %s", got, tc.want)
			}
		})
	}
}
