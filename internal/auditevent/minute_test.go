package auditevent

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestMinute: a timestamp means what package time says, whatever came before.
func TestMinute(t *testing.T) {
	var m minute
	check := func(fatalf func(string, ...any), s string) {
		got, ok := m.time(s)
		want, err := time.Parse(time.RFC3339Nano, s)
		if ok != (err == nil) || ok && (!got.Equal(want) || got.String() != want.String()) {
			fatalf("%s: %v, %v; package time says %v, %v", s, got, ok, want, err)
		}
	}
	for _, s := range []string{
		"2026-11-21T10:00:01.000001Z", "2026-11-21T10:00:59.999999Z", "2026-11-21T10:00:60.000000Z", "2026-11-21T10:00:0:.000000Z",
		"2026-11-21T10:00:0/.000000Z", "2026-11-21T10:00:00,000000Z", "2026-11-21T10:00:00.000000z", "2026-11-21T10:00:00.00000Z",
		"2026-11-21T10:00:00Z", "2026-11-21T1:00:00.000000Z", "2026-11-21T10:00:00.000000+00:00", "2026-02-30T10:00:00.000000Z",
		"", "2026-11-21T10:00:", "0000-01-01T00:00:59.999999Z", "0000-01-01T00:00:00.000001Z", "9999-12-31T23:59:59.999999Z",
		"9999-12-31T23:59:00.000000Z", "2026-11-21T10:00:01.5+01:00", "2026-11-21T10:00:01.500000Z",
	} {
		check(t.Errorf, s)
		check(t.Errorf, s)
	}
	rapid.Check(t, func(r *rapid.T) {
		second := rapid.IntRange(-1, 61).Draw(r, "second")
		s := fmt.Sprintf("2026-11-2%dT10:0%d:%02d.%06dZ", rapid.IntRange(0, 1).Draw(r, "day"), rapid.IntRange(0, 1).Draw(r, "minute"),
			second, rapid.IntRange(0, 999999).Draw(r, "micro"))
		if rapid.Bool().Draw(r, "damaged") {
			b := []byte(s)
			b[rapid.IntRange(0, len(b)-1).Draw(r, "at")] = rapid.Byte().Draw(r, "byte")
			s = string(b)
		}
		check(r.Fatalf, s)
	})
}
