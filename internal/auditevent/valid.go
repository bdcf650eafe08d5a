package auditevent

import "encoding/json"

// Valid reports whether b is one JSON value, with white space around it or not.
// Such values, with commas between them, are the items of a list that a Splitter
// cuts exactly there.
func Valid(b []byte) bool {
	var s scanner
	end, r := s.value(b, 0, 0)
	switch r {
	case scanned:
		return space(b, end) == len(b)
	case short: // a number that ends with b
		return end == len(b) && json.Valid(b)
	case deep:
		return json.Valid(b)
	}
	return false
}
