package digest

import "time"

// Window is the stretch of delivery time that one digest covers: after Start,
// up to and including End, in whole seconds of UTC.
type Window struct{ Start, End time.Time }

// MaxWindows bounds one answer of Windows: six weeks of hours.
const MaxWindows = 1008

// Windows returns the windows that are over at now and not digested yet, oldest
// first, each starting where the one before ended. last is the end of the newest
// digest, or the start of the chain. Every window ends on the full hour, so hours
// that were missed get one each. At most MaxWindows are returned; asking again
// from the last of them gives the rest.
func Windows(last, now time.Time) []Window {
	var windows []Window
	start := last.UTC().Truncate(time.Second)
	for len(windows) < MaxWindows {
		end := start.Truncate(time.Hour).Add(time.Hour)
		if end.After(now) {
			break
		}
		windows = append(windows, Window{start, end})
		start = end
	}
	return windows
}

// FinalWindow returns the window of a chain's last digest. It follows the ones
// of Windows(last, stop) and ends when recording stopped; not in the second in
// which the digest before ended, though, since the end is the digest's name.
func FinalWindow(last, stop time.Time) Window {
	start := last.UTC().Truncate(time.Second)
	end := stop.UTC().Truncate(time.Second)
	if !end.After(start) {
		end = start.Add(time.Second)
	}
	return Window{start, end}
}
