package selector

import (
	"cmp"
	"slices"
	"strings"
)

// condition compares one string with the operators of a field selector. A nil
// condition always holds.
type condition struct {
	equals     set
	startsWith prefixes
	endsWith   suffixes

	notEquals     set
	notStartsWith prefixes
	notEndsWith   suffixes
}

func (c *condition) holds(s string) bool { return c.includes(s) && !c.excludes(s) }

// positive reports whether the condition has an operator that asks for a match.
func (c *condition) positive() bool {
	return c != nil && (c.equals != nil || c.startsWith != nil || c.endsWith != nil)
}

// includes reports whether every positive operator matches s.
func (c *condition) includes(s string) bool {
	return c == nil ||
		(c.equals == nil || c.equals.has(s)) &&
			(c.startsWith == nil || c.startsWith.match(s)) &&
			(c.endsWith == nil || c.endsWith.match(s))
}

// excludes reports whether any negative operator matches s.
func (c *condition) excludes(s string) bool {
	return c != nil && (c.notEquals.has(s) || c.notStartsWith.match(s) || c.notEndsWith.match(s))
}

// set holds whole values. The nil set has none.
type set map[string]struct{}

func newSet(values []string) set {
	if len(values) == 0 {
		return nil
	}
	s := make(set, len(values))
	for _, v := range values {
		s[v] = struct{}{}
	}
	return s
}

func (s set) has(v string) bool {
	_, ok := s[v]
	return ok
}

// prefixes are sorted, and none is a prefix of another. So if one of them is a
// prefix of s, it is the greatest that is not greater than s: everything
// between a prefix of s and s begins with that prefix.
type prefixes []string

func newPrefixes(values []string) prefixes {
	return withoutCovered(values, strings.Compare, strings.HasPrefix)
}

func (p prefixes) match(s string) bool {
	i, found := slices.BinarySearch(p, s)
	return found || i > 0 && strings.HasPrefix(s, p[i-1])
}

// suffixes are prefixes read from the end.
type suffixes []string

func newSuffixes(values []string) suffixes {
	return withoutCovered(values, compareFromEnd, strings.HasSuffix)
}

func (p suffixes) match(s string) bool {
	i, found := slices.BinarySearchFunc(p, s, compareFromEnd)
	return found || i > 0 && strings.HasSuffix(s, p[i-1])
}

// withoutCovered sorts values and leaves out those that a shorter one covers.
func withoutCovered(values []string, order func(a, b string) int, covers func(s, affix string) bool) []string {
	var kept []string
	for _, v := range slices.SortedFunc(slices.Values(values), order) {
		if len(kept) == 0 || !covers(v, kept[len(kept)-1]) {
			kept = append(kept, v)
		}
	}
	return kept
}

// compareFromEnd orders strings by their bytes, the last byte first.
func compareFromEnd(a, b string) int {
	for i := range min(len(a), len(b)) {
		if c := cmp.Compare(a[len(a)-1-i], b[len(b)-1-i]); c != 0 {
			return c
		}
	}
	return cmp.Compare(len(a), len(b))
}
