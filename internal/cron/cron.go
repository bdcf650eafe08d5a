// Package cron reads schedules in the five fields of cron, and tells when they
// are due. All times are UTC.
package cron

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// MaxLength bounds a schedule, in bytes.
const MaxLength = 100

// horizon is how far ahead a schedule is looked for: February 29th may be eight
// years away.
const horizon = 9 * 366 * 24 * time.Hour

// Schedule is a schedule that was parsed. Its zero value is never due.
type Schedule struct {
	minute, hour, day, month, weekday uint64 // bit n: the value n is in the field
	// anyDay, anyWeekday: the field begins with a star. Where neither does, either
	// of the two suffices.
	anyDay, anyWeekday bool
}

type field struct {
	name     string
	min, max int
	names    []string // of min and the values that follow
}

var fields = []field{
	{"minute", 0, 59, nil},
	{"hour", 0, 23, nil},
	{"day of the month", 1, 31, nil},
	{"month", 1, 12, []string{"jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"}},
	{"day of the week", 0, 7, []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}},
}

// Parse reads a schedule: minute, hour, day of the month, month and day of the
// week (0 and 7 are Sunday), each a star, a number, a range, any of these with
// a step, or a list of them. Months and days of the week have their English
// names, too, of three letters.
func Parse(s string) (Schedule, error) {
	if len(s) > MaxLength {
		return Schedule{}, fmt.Errorf("it is longer than %d characters", MaxLength)
	}
	parts := strings.Fields(s)
	if len(parts) != len(fields) {
		return Schedule{}, fmt.Errorf("it has %d fields; write five, such as 30 4 * * *", len(parts))
	}
	var sets [5]uint64
	for i, f := range fields {
		set, err := f.parse(parts[i])
		if err != nil {
			return Schedule{}, fmt.Errorf("its %s, %q, %w", f.name, parts[i], err)
		}
		sets[i] = set
	}
	week := sets[4]
	if week&(1<<7) != 0 {
		week |= 1
	}
	return Schedule{
		minute: sets[0], hour: sets[1], day: sets[2], month: sets[3], weekday: week,
		anyDay: parts[2][0] == '*', anyWeekday: parts[4][0] == '*',
	}, nil
}

func (f field) parse(list string) (set uint64, err error) {
	for item := range strings.SplitSeq(list, ",") {
		span, step, stepped := strings.Cut(item, "/")
		n := 1
		if stepped {
			if n, err = number(step); err != nil || n < 1 || n > f.max {
				return 0, fmt.Errorf("needs a step of 1 to %d", f.max)
			}
		}
		low, high := f.min, f.max
		if span != "*" {
			first, last, ranged := strings.Cut(span, "-")
			if low, err = f.value(first); err != nil {
				return 0, err
			}
			switch {
			case ranged:
				if high, err = f.value(last); err != nil {
					return 0, err
				}
			case !stepped:
				high = low
			}
		}
		if low > high {
			return 0, errors.New("has a range that ends before it begins")
		}
		for v := low; v <= high; v += n {
			set |= 1 << v
		}
	}
	return set, nil
}

func (f field) value(s string) (int, error) {
	for i, name := range f.names {
		if strings.EqualFold(s, name) {
			return f.min + i, nil
		}
	}
	v, err := number(s)
	if err != nil || v < f.min || v > f.max {
		return 0, fmt.Errorf("must be %d to %d", f.min, f.max)
	}
	return v, nil
}

// number reads digits, without a sign.
func number(s string) (int, error) {
	n, err := strconv.ParseUint(s, 10, 8)
	return int(n), err
}

// Next returns when the schedule is next due after t, or zero if it never is,
// such as on February 30th.
func (s Schedule) Next(t time.Time) time.Time {
	t = t.UTC().Truncate(time.Minute).Add(time.Minute)
	for end := t.Add(horizon); t.Before(end); {
		switch {
		case s.month&(1<<t.Month()) == 0:
			t = time.Date(t.Year(), t.Month()+1, 1, 0, 0, 0, 0, time.UTC)
		case !s.onDay(t):
			t = time.Date(t.Year(), t.Month(), t.Day()+1, 0, 0, 0, 0, time.UTC)
		case s.hour&(1<<t.Hour()) == 0:
			t = t.Truncate(time.Hour).Add(time.Hour)
		case s.minute&(1<<t.Minute()) == 0:
			t = t.Add(time.Minute)
		default:
			return t
		}
	}
	return time.Time{}
}

func (s Schedule) onDay(t time.Time) bool {
	day, weekday := s.day&(1<<t.Day()) != 0, s.weekday&(1<<t.Weekday()) != 0
	if s.anyDay || s.anyWeekday {
		return day && weekday
	}
	return day || weekday
}
