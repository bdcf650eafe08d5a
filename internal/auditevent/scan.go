package auditevent

import (
	"encoding/binary"
	"math/bits"
	"unicode/utf16"
	"unicode/utf8"
	"unsafe"
)

// result says how a scan ended.
type result uint8

const (
	scanned result = iota
	short          // the input ends before the value does
	syntax         // not JSON
	deep           // nested deeper than maxDepth
	ended          // no further member
)

// maxDepth is how deep the values of an item may be nested. It is less than
// fastjson's limit, so that what is accepted here can be decoded.
const maxDepth = 256

const (
	ones  = 0x0101010101010101
	highs = 0x8080808080808080
)

// special returns the index of the first quote, backslash or control character
// of b at or after i, or len(b), and whether it passed bytes beyond ASCII.
func special(b []byte, i int) (at int, high bool) {
	var seen uint64
	for i+8 <= len(b) {
		w := binary.LittleEndian.Uint64(b[i:])
		quote, slash := w^(ones*'"'), w^(ones*'\\')
		m := ((quote - ones) &^ quote) | ((slash - ones) &^ slash) | ((w - ones*0x20) &^ w)
		if m &= highs; m != 0 {
			n := bits.TrailingZeros64(m) // the lowest match is exact
			seen |= w & (1<<(n&^7) - 1)
			return i + n/8, seen&highs != 0
		}
		seen |= w
		i += 8
	}
	high = seen&highs != 0
	for ; i < len(b); i++ {
		switch c := b[i]; {
		case c == '"', c == '\\', c < 0x20:
			return i, high
		case c >= utf8.RuneSelf:
			high = true
		}
	}
	return i, high
}

// scanner walks over JSON strictly and without recursion.
type scanner struct {
	high    bool                  // bytes beyond ASCII were seen
	objects [maxDepth / 64]uint64 // which open containers are objects
}

// str scans the string whose content begins at i. end is behind its quote.
func (s *scanner) str(b []byte, i int) (end int, escaped bool, r result) {
	// Most strings are short and plain: up to there as special does it, without
	// a call.
	for ; i+8 <= len(b); i += 8 {
		w := binary.LittleEndian.Uint64(b[i:])
		quote, slash := w^(ones*'"'), w^(ones*'\\')
		m := (((quote - ones) &^ quote) | ((slash - ones) &^ slash) | ((w - ones*0x20) &^ w) | w) & highs
		if m == 0 {
			continue
		}
		if end = i + bits.TrailingZeros64(m)/8; b[end] == '"' {
			return end + 1, false, scanned
		}
		break
	}
	for {
		at, high := special(b, i)
		if high {
			s.high = true
		}
		if at == len(b) {
			return at, escaped, short
		}
		switch b[at] {
		case '"':
			return at + 1, escaped, scanned
		case '\\':
			escaped = true
			n, r := escape(b[at:])
			if r != scanned {
				return at, escaped, r
			}
			i = at + n
		default:
			return at, escaped, syntax
		}
	}
}

// escape returns the length of the escape sequence at the beginning of b.
func escape(b []byte) (int, result) {
	if len(b) < 2 {
		return 0, short
	}
	switch b[1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return 2, scanned
	case 'u':
		for i := 2; i < 6; i++ {
			if i >= len(b) {
				return 0, short
			}
			if unhex(b[i]) < 0 {
				return 0, syntax
			}
		}
		return 6, scanned
	}
	return 0, syntax
}

func unhex(c byte) rune {
	switch {
	case '0' <= c && c <= '9':
		return rune(c - '0')
	case 'a' <= c && c <= 'f':
		return rune(c-'a') + 10
	case 'A' <= c && c <= 'F':
		return rune(c-'A') + 10
	}
	return -1
}

// space returns the index of the first byte at or after i that is no white space.
func space(b []byte, i int) int {
	for i < len(b) && b[i] <= ' ' && (b[i] == ' ' || b[i] == '\n' || b[i] == '\t' || b[i] == '\r') {
		i++
	}
	return i
}

// value scans the value that begins at i, inside depth containers.
func (s *scanner) value(b []byte, i, depth int) (end int, r result) {
	base := depth
value:
	if i = space(b, i); i == len(b) {
		return i, short
	}
	switch c := b[i]; c {
	case '"':
		if i, _, r = s.str(b, i+1); r != scanned {
			return i, r
		}
	case '{', '[':
		if depth == maxDepth {
			return i, deep
		}
		bit := uint64(1) << (depth & 63)
		if c == '{' {
			s.objects[depth>>6] |= bit
		} else {
			s.objects[depth>>6] &^= bit
		}
		depth++
		if i = space(b, i+1); i == len(b) {
			return i, short
		}
		switch {
		case b[i] == c+2: // the closing bracket
			depth--
			i++
		case c == '[':
			goto value
		default:
			goto key
		}
	case 't':
		i, r = literal(b, i, "true")
	case 'f':
		i, r = literal(b, i, "false")
	case 'n':
		i, r = literal(b, i, "null")
	default:
		i, r = number(b, i)
	}
	if r != scanned {
		return i, r
	}
	for {
		if depth == base {
			return i, scanned
		}
		if i = space(b, i); i == len(b) {
			return i, short
		}
		object := s.objects[(depth-1)>>6]>>((depth-1)&63)&1 == 1
		switch c := b[i]; {
		case c == ',' && object:
			i = space(b, i+1)
			goto key
		case c == ',':
			i++
			goto value
		case c == '}' && object, c == ']' && !object:
			depth--
			i++
		default:
			return i, syntax
		}
	}
key:
	if i, _, r = s.key(b, i); r != scanned {
		return i, r
	}
	goto value
}

// key scans the key that begins at i, and its colon.
func (s *scanner) key(b []byte, i int) (end int, escaped bool, r result) {
	if i == len(b) {
		return i, false, short
	}
	if b[i] != '"' {
		return i, false, syntax
	}
	if i, escaped, r = s.str(b, i+1); r != scanned {
		return i, escaped, r
	}
	if i = space(b, i); i == len(b) {
		return i, escaped, short
	}
	if b[i] != ':' {
		return i, escaped, syntax
	}
	return i + 1, escaped, scanned
}

// object goes over the members of an object of which only the opening bracket
// has been read.
type object struct {
	b     []byte
	i     int // behind the bracket, then behind the last value, at last behind the object
	depth int
	began bool

	key       []byte // its content as it stands
	escaped   bool   // the key has escapes
	at, start int    // the key's quote and the value
}

// next scans one member; ended means that there was none.
func (o *object) next(s *scanner) result {
	if r := o.name(s); r != scanned {
		return r
	}
	return o.skip(s)
}

// name scans the key of the next member, and finds its value.
func (o *object) name(s *scanner) result {
	b := o.b
	i := space(b, o.i)
	if i == len(b) {
		return short
	}
	switch c := b[i]; {
	case c == '}':
		o.i = i + 1
		return ended
	case o.began && c != ',':
		return syntax
	case o.began:
		i = space(b, i+1)
	}
	o.began = true
	j, escaped, r := s.key(b, i)
	if r != scanned {
		return r
	}
	end := j - 2 // the quote, if there is no space before the colon
	for b[end] != '"' {
		end--
	}
	o.at, o.key, o.escaped = i, b[i+1:end], escaped
	if o.start = space(b, j); o.start == len(b) {
		return short
	}
	return scanned
}

// skip scans the value that name has found.
func (o *object) skip(s *scanner) (r result) {
	o.i, r = s.value(o.b, o.start, o.depth)
	return r
}

func literal(b []byte, i int, word string) (int, result) {
	for j := range len(word) {
		if i+j == len(b) {
			return i, short
		}
		if b[i+j] != word[j] {
			return i, syntax
		}
	}
	return i + len(word), scanned
}

// number scans a number. One that ends with the input may go on.
func number(b []byte, i int) (int, result) {
	digits := func() bool {
		start := i
		for i < len(b) && '0' <= b[i] && b[i] <= '9' {
			i++
		}
		return i > start
	}
	fail := func() (int, result) {
		if i == len(b) {
			return i, short
		}
		return i, syntax
	}
	if i < len(b) && b[i] == '-' {
		i++
	}
	if i < len(b) && b[i] == '0' {
		i++
	} else if !digits() {
		return fail()
	}
	if i < len(b) && b[i] == '.' {
		i++
		if !digits() {
			return fail()
		}
	}
	if i < len(b) && (b[i] == 'e' || b[i] == 'E') {
		i++
		if i < len(b) && (b[i] == '+' || b[i] == '-') {
			i++
		}
		if !digits() {
			return fail()
		}
	}
	if i == len(b) {
		return i, short
	}
	return i, scanned
}

// alias returns b as a string without copying it.
func alias(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// appendUnescaped appends the content of a JSON string that was scanned.
// Halves of surrogate pairs become U+FFFD.
func appendUnescaped(dst, s []byte) []byte {
	for i := 0; i < len(s); {
		c := s[i]
		if c != '\\' {
			dst = append(dst, c)
			i++
			continue
		}
		switch c = s[i+1]; c {
		case 'b':
			c = '\b'
		case 'f':
			c = '\f'
		case 'n':
			c = '\n'
		case 'r':
			c = '\r'
		case 't':
			c = '\t'
		case 'u':
			r := unit(s[i:])
			i += 6
			if utf16.IsSurrogate(r) {
				low := rune(-1)
				if len(s)-i >= 6 && s[i] == '\\' && s[i+1] == 'u' {
					low = unit(s[i:])
				}
				if r = utf16.DecodeRune(r, low); r != utf8.RuneError {
					i += 6
				}
			}
			dst = utf8.AppendRune(dst, r)
			continue
		}
		dst = append(dst, c)
		i += 2
	}
	return dst
}

// unit reads the \uXXXX at the beginning of s.
func unit(s []byte) rune {
	return unhex(s[2])<<12 | unhex(s[3])<<8 | unhex(s[4])<<4 | unhex(s[5])
}
