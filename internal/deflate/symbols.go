package deflate

import "math/bits"

// Alphabets of RFC 1951, 3.2.5.
const (
	endOfBlock    = 256
	firstLength   = 257
	numLiterals   = 286 // with lengths
	numDistances  = 30
	numCodeLength = 19
)

// length is how a match length is written.
type length struct {
	symbol uint16
	extra  uint8 // how many bits follow the symbol
	value  uint8 // of these bits
}

// lengths are those of 3 to 258.
var lengths = func() (l [maxMatch + 1]length) {
	n, symbol := minMatch, uint16(firstLength)
	for group := range 7 { // of four symbols each
		extra := max(0, group-1)
		for range 4 {
			for v := 0; v < 1<<extra && n < maxMatch; v++ {
				l[n] = length{symbol, uint8(extra), uint8(v)}
				n++
			}
			symbol++
		}
	}
	l[maxMatch] = length{symbol: numLiterals - 1}
	return l
}()

// distanceSymbol returns the symbol of a distance less 1.
func distanceSymbol(d uint32) uint32 {
	if d < 4 {
		return d
	}
	n := uint32(bits.Len32(d)) - 2
	return 2*n + d>>n
}

// distanceExtra returns the bits that follow the symbol of a distance less 1,
// and how many.
func distanceExtra(d uint32) (value uint32, n uint8) {
	if d < 4 {
		return 0, 0
	}
	n = uint8(bits.Len32(d)) - 2
	return d & (1<<n - 1), n
}
