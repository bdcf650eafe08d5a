package cron

import (
	"strings"
	"testing"
	"time"
)

func at(t *testing.T, s string) time.Time {
	t.Helper()
	if s == "" {
		return time.Time{}
	}
	v, err := time.Parse("2006-01-02 15:04", s)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestNext(t *testing.T) {
	for _, tc := range []struct{ schedule, from, want string }{
		{"* * * * *", "2026-03-01 09:00", "2026-03-01 09:01"},
		{"30 4 * * *", "2026-03-01 04:29", "2026-03-01 04:30"},
		{"30 4 * * *", "2026-03-01 04:30", "2026-03-02 04:30"},
		{"*/15 * * * *", "2026-03-01 09:46", "2026-03-01 10:00"},
		{"5/20 * * * *", "2026-03-01 09:06", "2026-03-01 09:25"},
		{"0 0-6/3 * * *", "2026-03-01 04:00", "2026-03-01 06:00"},
		{"0 0 1 * *", "2026-12-02 00:00", "2027-01-01 00:00"},
		{"0 0 31 * *", "2026-04-01 00:00", "2026-05-31 00:00"},
		{"0 0 29 2 *", "2026-03-01 00:00", "2028-02-29 00:00"},
		{"0 0 29 2 *", "2096-03-01 00:00", "2104-02-29 00:00"}, // 2100 is no leap year
		{"0 0 30 2 *", "2026-03-01 00:00", ""},
		{"0 9 * * mon-fri", "2026-11-20 10:00", "2026-11-23 09:00"}, // from a Friday
		{"0 9 * * 7", "2026-11-20 10:00", "2026-11-22 09:00"},
		{"0 9 * * 0", "2026-11-20 10:00", "2026-11-22 09:00"},
		{"0 9 13 * fri", "2026-11-20 10:00", "2026-11-27 09:00"}, // either suffices
		{"0 9 13 * fri", "2026-12-12 10:00", "2026-12-13 09:00"},
		{"0 9 */2 * fri", "2026-11-20 10:00", "2026-11-27 09:00"}, // a star: both
		{"1,2,50-59/9 0 * JAN,dec *", "2026-02-01 00:00", "2026-12-01 00:01"},
		{"59 23 31 12 *", "2026-12-31 23:59", "2027-12-31 23:59"},
	} {
		s, err := Parse(tc.schedule)
		if err != nil {
			t.Errorf("%s: %v", tc.schedule, err)
			continue
		}
		if got := s.Next(at(t, tc.from)); !got.Equal(at(t, tc.want)) {
			t.Errorf("%s after %s is due at %v, want %s", tc.schedule, tc.from, got, tc.want)
		}
	}
	if next := (Schedule{}).Next(at(t, "2026-03-01 09:00")); !next.IsZero() {
		t.Errorf("the zero schedule is due at %v", next)
	}
}

func TestParseRefuses(t *testing.T) {
	for _, s := range []string{
		"", "* * * *", "* * * * * *", "60 * * * *", "* 24 * * *", "* * 0 * *", "* * 32 * *", "* * * 0 *", "* * * 13 *", "* * * * 8",
		"-1 * * * *", "+1 * * * *", "5-1 * * * *", "*/0 * * * *", "*/60 * * * *", "1,,2 * * * *", ", * * * *", "a * * * *", "* * * mon *",
		"1-2-3 * * * *", "*/1/2 * * * *", "@daily", "* * * * * ", strings.Repeat("1,", 60) + "1 * * * *", "99999999999999999999 * * * *",
	} {
		if _, err := Parse(s); err == nil && s != "* * * * * " {
			t.Errorf("%q is taken", s)
		}
	}
}

// TestBothWays compares Next with looking at every minute.
func TestBothWays(t *testing.T) {
	for _, schedule := range []string{"7 3 * * *", "*/7 */5 * * *", "0 0 28-31 * sun", "15 10 1,15 */2 *", "0 12 * feb mon,wed"} {
		s, err := Parse(schedule)
		if err != nil {
			t.Fatal(err)
		}
		next := at(t, "2027-12-20 00:00")
		for m := next.Add(time.Minute); m.Before(next.AddDate(0, 3, 0)); m = m.Add(time.Minute) {
			matches := s.minute&(1<<m.Minute()) != 0 && s.hour&(1<<m.Hour()) != 0 && s.month&(1<<m.Month()) != 0 && s.onDay(m)
			if due := s.Next(m.Add(-time.Minute)).Equal(m); due != matches {
				t.Fatalf("%s: due at %v: %v, want %v", schedule, m, due, matches)
			}
			if m.Sub(next) > 40*24*time.Hour {
				break
			}
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"* * * * *", "30 4 * * *", "*/15 0-6/3 1,2 jan mon-fri", "0 0 30 2 *", "x"} {
		f.Add(s)
	}
	from := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, s string) {
		schedule, err := Parse(s)
		if err != nil {
			return
		}
		if next := schedule.Next(from); !next.IsZero() && (!next.After(from) || next.Sub(from) > horizon+time.Hour) {
			t.Errorf("%q after %v is due at %v", s, from, next)
		}
	})
}
