package auditevent

import "time"

// minute is the minute of the timestamp that was read last. Nearly all others
// are of the same one, and written in the same way: of them only the seconds
// are read.
type minute struct {
	text  [len("2006-01-02T15:04:")]byte
	start time.Time
}

// time reads a timestamp as package time does.
func (m *minute) time(s string) (time.Time, bool) {
	const n = len(m.text)
	if len(s) == n+len("05.000000Z") && s[:n] == string(m.text[:]) {
		if micro, ok := microseconds(s[n:]); ok {
			return m.start.Add(time.Duration(micro) * time.Microsecond), true
		}
	}
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		return time.Time{}, false
	}
	if s[n-1] == ':' && s[len(s)-1] == 'Z' {
		copy(m.text[:], s)
		m.start = t.Truncate(time.Minute)
	}
	return t, true
}

// microseconds reads 05.000000Z.
func microseconds(s string) (n int, ok bool) {
	for i := range len("05.000000") {
		if i == 2 {
			continue
		}
		c := s[i] - '0'
		if c > 9 {
			return 0, false
		}
		n = n*10 + int(c)
	}
	return n, n < 60_000_000 && s[2] == '.' && s[9] == 'Z'
}
