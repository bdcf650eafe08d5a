package digest

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func at(clock string) time.Time {
	t, err := time.Parse("2006-01-02 15:04:05", "2026-03-01 "+clock)
	if err != nil {
		panic(err)
	}
	return t
}

func TestWindows(t *testing.T) {
	for name, tc := range map[string]struct {
		last, now time.Time
		want      []Window
	}{
		"before the hour is over": {at("09:20:00"), at("09:59:59"), nil},
		"on the hour":             {at("09:20:00"), at("10:00:00"), []Window{{at("09:20:00"), at("10:00:00")}}},
		"an hour later":           {at("10:00:00"), at("11:00:10"), []Window{{at("10:00:00"), at("11:00:00")}}},
		"hours were missed": {at("09:20:00"), at("12:30:00"), []Window{
			{at("09:20:00"), at("10:00:00")}, {at("10:00:00"), at("11:00:00")}, {at("11:00:00"), at("12:00:00")},
		}},
		"a clock that went back": {at("11:00:00"), at("09:00:00"), nil},
		"fractions of a second":  {at("09:20:00").Add(900 * time.Millisecond), at("10:00:00"), []Window{{at("09:20:00"), at("10:00:00")}}},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, Windows(tc.last, tc.now)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestFinalWindow(t *testing.T) {
	for name, tc := range map[string]struct{ last, stop, end time.Time }{
		"within the hour":             {at("09:00:00"), at("09:12:13"), at("09:12:13")},
		"in the second of the digest": {at("09:00:00"), at("09:00:00"), at("09:00:01")},
		"a clock that went back":      {at("09:00:00"), at("08:00:00"), at("09:00:01")},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(Window{tc.last, tc.end}, FinalWindow(tc.last, tc.stop)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// However often and whenever the windows are asked for, they follow each other
// without gap or overlap, end on the hour, and none is in the future.
func TestWindowsProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		start := time.Unix(rapid.Int64Range(0, 1<<33).Draw(t, "start"), 0).UTC()
		last, now := start, start
		seen := map[time.Time]bool{}
		for range rapid.IntRange(1, 20).Draw(t, "calls") {
			now = now.Add(time.Duration(rapid.Int64Range(-int64(time.Hour), int64(3000*time.Hour)).Draw(t, "passed")))
			for _, w := range Windows(last, now) {
				switch {
				case !w.Start.Equal(last):
					t.Fatalf("window %v does not start at %v", w, last)
				case !w.End.After(w.Start) || w.End.Sub(w.Start) > time.Hour:
					t.Fatalf("window %v has no proper length", w)
				case !w.End.Equal(w.End.Truncate(time.Hour)):
					t.Fatalf("window %v does not end on the hour", w)
				case w.End.After(now):
					t.Fatalf("window %v ends after %v", w, now)
				case seen[w.End]:
					t.Fatalf("two windows end at %v", w.End)
				}
				seen[w.End] = true
				last = w.End
			}
		}
		final := FinalWindow(last, now)
		if !final.Start.Equal(last) || !final.End.After(last) || seen[final.End] {
			t.Fatalf("the final window %v does not follow %v", final, last)
		}
	})
}

func TestWindowsAreBounded(t *testing.T) {
	last, now := time.Unix(0, 0), time.Unix(1<<40, 0)
	windows := Windows(last, now)
	if len(windows) != MaxWindows {
		t.Fatalf("got %d windows, want %d", len(windows), MaxWindows)
	}
	if rest := Windows(windows[MaxWindows-1].End, now); !rest[0].Start.Equal(windows[MaxWindows-1].End) {
		t.Error("asking again leaves a gap")
	}
}
