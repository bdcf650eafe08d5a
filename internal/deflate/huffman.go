package deflate

import (
	"cmp"
	"math/bits"
	"slices"
)

// Longest codes of RFC 1951.
const (
	maxCode       = 15
	maxLengthCode = 7 // of the codes that code lengths are written with
)

// code is the code of a symbol, its first bit lowest; n is 0 for none.
type code struct {
	bits uint16
	n    uint8
}

// symbol is a symbol that occurs.
type symbol struct {
	count uint32
	value uint16
}

// assign gives each symbol that occurs an optimal prefix code of at most limit
// bits; where the limit is in the way, one that is nearly optimal.
func assign(codes []code, counts []uint32, limit int) {
	clear(codes)
	var memory [numLiterals]symbol
	present := memory[:0]
	for value, count := range counts {
		if count > 0 {
			present = append(present, symbol{count, uint16(value)})
		}
	}
	if len(present) == 0 {
		return
	}
	slices.SortFunc(present, func(a, b symbol) int {
		return cmp.Or(cmp.Compare(a.count, b.count), cmp.Compare(a.value, b.value))
	})
	perLength := lengthsOf(present, limit)
	rarest := 0
	for n := limit; n > 0; n-- {
		for range perLength[n] {
			codes[present[rarest].value].n = uint8(n)
			rarest++
		}
	}
	number(codes, perLength)
}

// lengthsOf returns how many codes there are of each length for symbols that
// are sorted by count. It is the algorithm of Moffat and Katajainen (In-place
// calculation of minimum-redundancy codes, 1995).
func lengthsOf(present []symbol, limit int) (perLength [maxCode + 1]int) {
	n := len(present)
	if n == 1 {
		perLength[1] = 1
		return perLength
	}
	var memory [numLiterals]uint32
	a := memory[:n]
	for i := range present {
		a[i] = present[i].count
	}
	// Join the two rarest again and again: a holds counts of leaves, then of
	// inner nodes, then their parents.
	leaf, root := 0, 0
	take := func(next int) uint32 {
		if leaf >= n || root < next && a[root] < a[leaf] {
			count := a[root]
			a[root] = uint32(next)
			root++
			return count
		}
		leaf++
		return a[leaf-1]
	}
	for next := range n - 1 {
		first := take(next)
		a[next] = first + take(next)
	}
	// The depth of inner nodes, then how many leaves are between them.
	a[n-2] = 0
	for next := n - 3; next >= 0; next-- {
		a[next] = a[a[next]] + 1
	}
	inner, open := n-2, 1
	for depth := uint32(0); open > 0; depth++ {
		used := 0
		for inner >= 0 && a[inner] == depth {
			used++
			inner--
		}
		perLength[min(int(depth), limit)] += open - used
		open = 2 * used
	}
	shorten(&perLength, limit)
	return perLength
}

// shorten makes a code of lengths of which those of limit bits were longer:
// codes of limit bits move below shorter ones until there is room for all.
func shorten(perLength *[maxCode + 1]int, limit int) {
	room := 1 << limit
	for n := 1; n <= limit; n++ {
		room -= perLength[n] << (limit - n)
	}
	for ; room < 0; room++ {
		n := limit - 1
		for perLength[n] == 0 {
			n--
		}
		perLength[n]--
		perLength[n+1] += 2
		perLength[limit]--
	}
}

// number gives codes of known lengths their bits, as RFC 1951, 3.2.2, has it.
func number(codes []code, perLength [maxCode + 1]int) {
	var next [maxCode + 1]uint16
	for n := 1; n < len(next); n++ {
		next[n] = (next[n-1] + uint16(perLength[n-1])) << 1
	}
	for i := range codes {
		if c := &codes[i]; c.n > 0 {
			c.bits = bits.Reverse16(next[c.n]) >> (16 - c.n)
			next[c.n]++
		}
	}
}
