package mapping

import (
	"encoding/binary"
	"slices"
	"strings"
	"unicode/utf8"
	"unsafe"
)

const hexDigits = "0123456789abcdef"

// appendString appends s as a JSON string. What is not valid UTF-8 becomes
// U+FFFD; the Unicode line separators are escaped, so that a record is one
// line for every reader.
func appendString(dst []byte, s string) []byte {
	b := unsafe.Slice(unsafe.StringData(s), len(s))
	dst = slices.Grow(dst, len(s)+10)
	dst = append(dst, '"')
	// Most strings are plain: up to there they are copied as they are checked.
	out, at, i := dst[:cap(dst)], len(dst), 0
	for ; i+8 <= len(b); i, at = i+8, at+8 {
		w := binary.LittleEndian.Uint64(b[i:])
		if special(w) != 0 {
			return appendRest(out[:at], s, i)
		}
		binary.LittleEndian.PutUint64(out[at:], w)
	}
	switch left := len(b) - i; {
	case left == 0:
	case i > 0: // the last 8 bytes, of which some were copied
		w := binary.LittleEndian.Uint64(b[len(b)-8:])
		if special(w) != 0 {
			return appendRest(out[:at], s, i)
		}
		at += left
		binary.LittleEndian.PutUint64(out[at-8:], w)
	default:
		for _, c := range b {
			if c < ' ' || c == '"' || c == '\\' || c >= utf8.RuneSelf {
				return appendRest(out[:at], s, i)
			}
			out[at] = c
			at, i = at+1, i+1
		}
	}
	out[at] = '"'
	return out[:at+1]
}

// appendRest appends what is left of a string from the i-th byte on, and the quote.
func appendRest(dst []byte, s string, i int) []byte {
	b := unsafe.Slice(unsafe.StringData(s), len(s))
	start := i
	for i < len(s) {
		for i+8 <= len(b) && special(binary.LittleEndian.Uint64(b[i:])) == 0 {
			i += 8
		}
		if i == len(s) {
			break
		}
		c := s[i]
		if c < utf8.RuneSelf {
			if c >= ' ' && c != '"' && c != '\\' {
				i++
				continue
			}
			dst = append(dst, s[start:i]...)
			switch c {
			case '"', '\\':
				dst = append(dst, '\\', c)
			case '\n':
				dst = append(dst, `\n`...)
			case '\r':
				dst = append(dst, `\r`...)
			case '\t':
				dst = append(dst, `\t`...)
			default:
				dst = append(dst, `\u00`...)
				dst = append(dst, hexDigits[c>>4], hexDigits[c&0xf])
			}
			i++
			start = i
			continue
		}
		r, n := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && n == 1:
			dst = append(dst, s[start:i]...)
			dst = append(dst, "\uFFFD"...)
			start = i + 1
		case r == '\u2028' || r == '\u2029':
			dst = append(dst, s[start:i]...)
			dst = append(dst, `\u202`...)
			dst = append(dst, hexDigits[r&0xf])
			start = i + n
		}
		i += n
	}
	dst = append(dst, s[start:]...)
	return append(dst, '"')
}

// special returns 0 where the eight bytes in x are ASCII that needs no escape.
func special(x uint64) uint64 {
	const ones, highs = 0x0101010101010101, 0x8080808080808080
	return ((x - ones*' ') | ((x ^ ones*'"') - ones) | ((x ^ ones*'\\') - ones) | x) & highs
}

// cut returns s as valid UTF-8 of at most limit bytes, cut between characters.
func cut(s string, limit int) string {
	s = cutAt(s, limit)
	if !utf8.ValidString(s) {
		s = cutAt(strings.ToValidUTF8(s, "\uFFFD"), limit)
	}
	return s
}

// bounded returns s for appendString: what that will make of it has at most
// limit bytes after decoding. It looks at long strings alone, since appendString
// makes at most three bytes of one.
func bounded(s string, limit int) string {
	if 3*len(s) <= limit {
		return s
	}
	return cut(s, limit)
}

func cutAt(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	for i := limit; i > limit-utf8.UTFMax && i >= 0; i-- {
		if utf8.RuneStart(s[i]) {
			return s[:i]
		}
	}
	return s[:limit] // not UTF-8 at all
}

// appendField appends a comma, the key and the string, or nothing where the
// string is empty. key holds the quotes and the colon.
func appendField(dst []byte, key, s string) []byte {
	if s == "" {
		return dst
	}
	dst = append(dst, ',')
	dst = append(dst, key...)
	return appendString(dst, s)
}

// isNumber reports whether b is a number of JSON's grammar; the parser is more
// liberal than that.
func isNumber(b []byte) bool {
	i := 0
	digits := func() bool {
		start := i
		for i < len(b) && b[i] >= '0' && b[i] <= '9' {
			i++
		}
		return i > start
	}
	if i < len(b) && b[i] == '-' {
		i++
	}
	if i < len(b) && b[i] == '0' {
		i++
	} else if !digits() {
		return false
	}
	if i < len(b) && b[i] == '.' {
		i++
		if !digits() {
			return false
		}
	}
	if i < len(b) && (b[i] == 'e' || b[i] == 'E') {
		i++
		if i < len(b) && (b[i] == '+' || b[i] == '-') {
			i++
		}
		if !digits() {
			return false
		}
	}
	return i == len(b) && len(b) > 0
}
