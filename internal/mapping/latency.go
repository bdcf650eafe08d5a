package mapping

import (
	"strconv"
	"time"

	"github.com/trail-operator/trail-operator/internal/auditevent"
)

// appendTimes appends the exact times of the request and of the stage, and the
// time between them in milliseconds, where both are known and in order. The
// time of the request is left out where it follows from the other two, to the
// last digit.
func appendTimes(dst []byte, e *auditevent.Event) []byte {
	micro, exact := sameMinute(e.RequestReceivedTimestamp, e.StageTimestamp)
	known := exact
	if !exact {
		if received, err := time.Parse(time.RFC3339Nano, e.RequestReceivedTimestamp); err == nil {
			micro, known = e.Time.Sub(received).Microseconds(), true
		}
	}
	if !exact || micro < 0 {
		dst = appendField(dst, `"requestReceivedTimestamp":`, bounded(e.RequestReceivedTimestamp, maxToken))
	}
	dst = appendField(dst, `"stageTimestamp":`, bounded(e.StageTimestamp, maxToken))
	if !known || micro < 0 {
		return dst
	}
	dst = append(dst, `,"latencyMilliseconds":`...)
	dst = strconv.AppendInt(dst, micro/1000, 10)
	if rest := micro % 1000; rest != 0 {
		dst = append(dst, '.', byte('0'+rest/100), byte('0'+rest/10%10), byte('0'+rest%10))
	}
	return dst
}

// sameMinute returns the microseconds between two timestamps as kube-apiserver
// writes them, 2006-01-02T15:04:05.000000Z, of one minute. All others are for
// package time, which takes longer.
func sameMinute(from, to string) (int64, bool) {
	const minute = len("2006-01-02T15:04:")
	const whole = minute + len("05.000000Z")
	if len(from) != whole || len(to) != whole || from[:minute] != to[:minute] {
		return 0, false
	}
	a, okA := microseconds(from[minute:])
	b, okB := microseconds(to[minute:])
	return b - a, okA && okB
}

// microseconds reads 05.000000Z.
func microseconds(s string) (n int64, ok bool) {
	for i := range len("05.000000") {
		if i == 2 {
			continue
		}
		c := s[i] - '0'
		if c > 9 {
			return 0, false
		}
		n = n*10 + int64(c)
	}
	return n, s[2] == '.' && s[9] == 'Z'
}
