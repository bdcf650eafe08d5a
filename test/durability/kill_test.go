package durability

import (
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// failpoints are all that the receiver has, by stage, and at which of their
// hits since its start the receiver is killed.
var failpoints = map[string]map[string][]int{
	"intake": {
		"intake/before-append": {1, 9, 40},
		"intake/after-append":  {1, 8, 30},
		"intake/before-answer": {1, 7, 30},
	},
	"spool": {
		"spool/before-commit": {1, 20, 60},
		"spool/after-commit":  {2, 19, 60},
		"spool/before-tail":   {3, 18, 60},
	},
	"state": {
		"state/before-commit": {1, 2, 3, 6, 12},
		"state/after-commit":  {1, 2, 3, 7, 12},
	},
	"outbox": {
		"outbox/before-fsync":  {1, 2, 5},
		"outbox/after-fsync":   {1, 2, 5},
		"outbox/before-commit": {1, 2, 5},
		"outbox/after-commit":  {1, 2, 5},
	},
	"upload": {
		"upload/before-put":   {1, 3, 6},
		"upload/after-put":    {1, 2, 6},
		"upload/after-commit": {1, 2, 6},
	},
	"digest": {
		"digest/before-write":  {1},
		"digest/before-commit": {1, 2},
		"digest/after-commit":  {1, 2},
		"digest/after-confirm": {1},
	},
}

// whenAsked are those that the receiver hits only when somebody asks for what it
// keeps (TestKillWhenAsked).
var whenAsked = []string{"redeliver/before-commit", "redeliver/after-commit", "replay/before-append", "replay/after-append"}

// soak is how much longer than usual the tests shall run.
func soak() time.Duration {
	d, err := time.ParseDuration(os.Getenv("TRAIL_SOAK"))
	if err != nil {
		return 0
	}
	return d
}

// TestKill lets the receiver kill itself at each failpoint, under load.
func TestKill(t *testing.T) {
	for stage, points := range failpoints {
		t.Run(stage, func(t *testing.T) {
			t.Parallel()
			var kills []string
			for _, point := range slices.Sorted(maps.Keys(points)) {
				for _, n := range points[point] {
					kills = append(kills, fmt.Sprintf("%s:%d", point, n))
				}
			}
			for end, round := time.Now().Add(soak()), 1; ; round++ {
				killAll(t, stage, kills)
				if t.Failed() || !time.Now().Before(end) {
					return
				}
				// Other hits the next time.
				for i, kill := range kills {
					point, _, _ := strings.Cut(kill, ":")
					kills[i] = fmt.Sprintf("%s:%d", point, 1+rand.IntN(8))
				}
			}
		})
	}
}

func killAll(t *testing.T, stage string, kills []string) {
	w := newWorld(t, "", nil, kills...)
	defer w.stop()
	if stage != "digest" {
		w.inForce()
		w.load(func() bool { return w.deaths() >= len(kills) || t.Failed() })
		w.promise()
		return
	}
	// A digest is made at the end of an hour, and when the trail is suspended.
	for w.deaths() < len(kills) {
		w.inForce()
		sent := time.Now().Add(200 * time.Millisecond)
		w.load(func() bool { return time.Now().After(sent) })
		w.suspend()
		w.resume()
	}
	w.promise()
}

// TestRandomKills kills the receiver at any moment, also while its trail stops
// and starts again.
func TestRandomKills(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "", nil)
	w.inForce()
	over := make(chan struct{})
	var killer sync.WaitGroup
	killer.Go(func() {
		defer close(over)
		for end := time.Now().Add(8*time.Second + soak()); time.Now().Before(end) && !t.Failed(); {
			time.Sleep(time.Duration(rand.IntN(900)) * time.Millisecond)
			w.kill()
		}
	})
	defer killer.Wait()
	for running(over) {
		pause := time.Now().Add(time.Duration(rand.IntN(3000)) * time.Millisecond)
		w.load(func() bool { return time.Now().After(pause) || !running(over) })
		w.suspend()
		w.resume()
	}
	w.promise()
}

func running(over chan struct{}) bool {
	select {
	case <-over:
		return false
	default:
		return true
	}
}

// TestEveryFailpointIsTested compares the table with the sources.
func TestEveryFailpointIsTested(t *testing.T) {
	hit := regexp.MustCompile(`failpoint\.Hit\("([^"]+)"\)`)
	var there []string
	tested := slices.Clone(whenAsked)
	err := filepath.WalkDir("../../internal", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		b, err := os.ReadFile(path)
		for _, m := range hit.FindAllStringSubmatch(string(b), -1) {
			there = append(there, m[1])
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, points := range failpoints {
		tested = append(tested, slices.Collect(maps.Keys(points))...)
	}
	slices.Sort(there)
	slices.Sort(tested)
	if diff := cmp.Diff(tested, there); diff != "" {
		t.Errorf("tested, and in the sources: %s", diff)
	}
}
