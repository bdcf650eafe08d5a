package mapping

import (
	"encoding/binary"
	"math/bits"
	"strings"
)

// appendPlain appends a body as appendBody does under policyOpen, without
// decoding it, where appendBody would change nothing but white space. It
// reports false, and appends nothing, where it is not certain of that: where
// anything might have to be hidden, and where characters are written in another
// way than ours. v is valid JSON. hidden, unless nil, says under which keys more
// is to be hidden.
func appendPlain(dst, v []byte, hidden func(key string) bool) ([]byte, bool) {
	start := len(dst)
	from := 0 // v[from:i] is still to be copied
	key := "" // whose value comes next
	for i := 0; i < len(v); {
		switch v[i] {
		case '"':
			begin := i + 1
			end, escaped, ok := plainString(v, begin)
			if !ok {
				return dst[:start], false
			}
			s := alias(v[begin:end])
			i = end + 1
			next := i
			for next < len(v) && isSpace(v[next]) {
				next++
			}
			if next < len(v) && v[next] == ':' {
				if key = s; escaped || key == lastApplied || hidden != nil && hidden(key) {
					return dst[:start], false
				}
				continue
			}
			if hides(key, s) || !escaped && isCredential(s) {
				return dst[:start], false
			}
			key = ""
		case ' ', '\t', '\n', '\r':
			dst = append(dst, v[from:i]...)
			for i < len(v) && isSpace(v[i]) {
				i++
			}
			from = i
		default:
			i++
		}
	}
	return append(dst, v[from:]...), true
}

// hides reports whether the string under this key may hide other fields of its
// object: see shapeOf.
func hides(key, s string) bool {
	switch key {
	case "kind":
		return s == "Secret" || s == "TokenRequest" || s == "TokenReview"
	case "path":
		return strings.Contains(s, lastAppliedPointer)
	}
	return false
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\n' || c == '\r' }

// plainString returns the index of the quote that ends the string whose content
// begins at i. ok says that the content is as appendString would write it.
func plainString(b []byte, i int) (end int, escaped, ok bool) {
	const ones, highs = 0x0101010101010101, 0x8080808080808080
	for i+8 <= len(b) {
		w := binary.LittleEndian.Uint64(b[i:])
		quote, slash := w^(ones*'"'), w^(ones*'\\')
		// The lowest match is exact, and there is no other before it.
		m := ((quote-ones)&^quote | (slash-ones)&^slash | w) & highs
		if m == 0 {
			i += 8
			continue
		}
		switch i += bits.TrailingZeros64(m) / 8; b[i] {
		case '"':
			return i, escaped, true
		case '\\':
			if !ourEscape(b[i+1]) {
				return i, true, false
			}
			escaped = true
			i += 2
		default:
			return i, escaped, false // beyond ASCII
		}
	}
	for ; i < len(b); i++ {
		switch c := b[i]; {
		case c == '"':
			return i, escaped, true
		case c == '\\':
			if i++; i == len(b) || !ourEscape(b[i]) {
				return i, true, false
			}
			escaped = true
		case c >= 0x80:
			return i, escaped, false
		}
	}
	return i, escaped, false
}

// ourEscape reports whether appendString writes an escape with this letter.
func ourEscape(c byte) bool {
	switch c {
	case '"', '\\', 'n', 'r', 't':
		return true
	}
	return false
}
