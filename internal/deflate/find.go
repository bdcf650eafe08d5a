package deflate

import (
	"encoding/binary"
	"math/bits"
)

const (
	minMatch = 3
	maxMatch = 258
	hashBits = 14
	// minFound is how many bytes must be equal where a match is looked for. It
	// is more than minMatch, which hardly pays for its distance.
	minFound = 7
)

// token is some literals, then a match; the last one of a block has no match.
type token struct {
	literals uint32
	length   uint32 // of the match; 0 for none
	distance uint32
}

// finder divides a block into literals and matches.
type finder struct {
	table  [1 << hashBits]int32 // where a word was last seen, plus base; 0 for nowhere
	base   int32
	tokens []token
	// How often each symbol occurs.
	literal  [numLiterals]uint32
	distance [numDistances]uint32
}

func (f *finder) reset() {
	clear(f.table[:])
	f.base = window + 1 // so that nowhere is out of reach
}

// moved tells that the buffer lost its first n bytes.
func (f *finder) moved(n int) {
	if f.base > 1<<30 {
		f.reset() // a file of 1 GiB: forgetting costs a few matches
		return
	}
	f.base += int32(n)
}

// matches divides buf[from:] into tokens, which go to c and w, or, where these
// are nil, into f.tokens. It looks where a word or a quote begins. At a quote,
// what is behind the quote that closed the value of the record before comes first.
func (f *finder) matches(buf []byte, from int, c *codes, w *bitWriter) {
	begin := from  // of the literals
	expected := -1 // where the next quote is, in history; -1 for unknown
	behind := -1   // where to look for expected
	inWord := false
	for i, end := from, len(buf)-8; i < end; {
		b := buf[i]
		if inWord && (word[b] || b == '-' && (digit(buf[i-1]) || digit(buf[i+1]))) {
			i++ // also from one part of a UUID to the next
			continue
		}
		inWord = word[b]
		u := binary.LittleEndian.Uint64(buf[i:])
		slot := &f.table[u<<(64-8*minFound)*0x9E3779B185EBCA87>>(64-hashBits)]
		at := int(*slot - f.base)
		*slot = int32(i) + f.base
		if b == '"' && behind >= 0 {
			if expected < 0 {
				expected = quote(buf[:i], behind)
			}
			if expected < i && i-expected <= window && binary.LittleEndian.Uint64(buf[expected:]) == u {
				at = expected
			}
		}
		if at < 0 || at >= i || i-at > window || (binary.LittleEndian.Uint64(buf[at:])^u)<<(64-8*minFound) != 0 {
			i++
			continue
		}
		n := equal(buf, i, at)
		for i > begin && at > 0 && buf[i-1] == buf[at-1] {
			i, at, n = i-1, at-1, n+1
		}
		if c != nil {
			c.emit(w, buf[begin:i], n, i-at)
		} else {
			f.add(buf[begin:i], n, i-at)
		}
		i, behind = i+n, at+n
		begin, expected, inWord = i, -1, false
	}
	if c != nil {
		c.emit(w, buf[begin:], 0, 1)
	} else {
		f.add(buf[begin:], 0, 1)
	}
}

// forget makes room for the tokens of a block.
func (f *finder) forget() {
	f.tokens = f.tokens[:0]
	clear(f.literal[:])
	clear(f.distance[:])
}

// add appends literals and a match of n bytes, and counts their symbols.
func (f *finder) add(literals []byte, n, distance int) {
	for _, b := range literals {
		f.literal[b]++
	}
	f.tokens = append(f.tokens, token{literals: uint32(len(literals)), length: uint32(n), distance: uint32(distance)})
	for n > 0 {
		part := matchPart(n)
		f.literal[lengths[part].symbol]++
		f.distance[distanceSymbol(uint32(distance-1))]++
		n -= part
	}
}

// matchPart is how much of a match of n bytes is written at once. No rest is
// too short.
func matchPart(n int) int {
	if n <= maxMatch {
		return n
	}
	if n-maxMatch < minMatch {
		return maxMatch - minMatch
	}
	return maxMatch
}

// word tells which bytes belong to a word.
var word = func() (w [256]bool) {
	for _, c := range "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ" {
		w[c] = true
	}
	return w
}()

func digit(b byte) bool { return b-'0' <= 9 }

// quote returns the index of the first quote at or behind i, or len(b).
func quote(b []byte, i int) int {
	const ones, tops, quotes = 0x0101010101010101, 0x8080808080808080, 0x2222222222222222
	for ; i+8 <= len(b); i += 8 {
		x := binary.LittleEndian.Uint64(b[i:]) ^ quotes
		if zero := (x - ones) &^ x & tops; zero != 0 {
			return i + bits.TrailingZeros64(zero)/8
		}
	}
	for ; i < len(b); i++ {
		if b[i] == '"' {
			return i
		}
	}
	return len(b)
}

// equal returns how many bytes from i on are those from at on.
func equal(b []byte, i, at int) int {
	n := 0
	for ; i+n+8 <= len(b); n += 8 {
		if x := binary.LittleEndian.Uint64(b[i+n:]) ^ binary.LittleEndian.Uint64(b[at+n:]); x != 0 {
			return n + bits.TrailingZeros64(x)/8
		}
	}
	for i+n < len(b) && b[i+n] == b[at+n] {
		n++
	}
	return n
}
