package auditevent

import "unicode/utf8"

// Bounds of what is kept of an item over maxItem. What is valid input must
// stay an event: nobody may escape the record by a call with long headers.
const (
	maxString  = 16 << 10 // of a string
	maxMember  = 48 << 10 // after which the value of a member ends
	maxList    = 128      // elements of a list of scalars; the last ones are kept
	maxReduced = maxItem  // of all
	maxNames   = 16       // in trailOmitted
)

// reducer copies an item of any size, which it is given piece by piece,
// without requestObject and responseObject, and with all else cut to its
// bounds. It follows strings and brackets only: whether the item is valid is
// for the parser to say.
type reducer struct {
	out      []byte
	omitted  []string
	overflow bool // out would have exceeded maxReduced
	broken   bool // a member does not begin with its name

	depth     int
	inString  bool
	escaped   bool
	strStart  int // of the present string in out
	cutString bool

	atKey   bool   // the next string at depth 1 is a key
	key     string // of the present member
	start   int    // of the present member in out
	written bool   // a member has been written
	drop    bool   // the present member is left out

	ending int // >0: the value is over; only brackets that close containers up to this depth are kept

	list     int   // where the present list of scalars begins in out, 0 for none
	elements []int // and its elements
}

func (r *reducer) reset() {
	out := r.out[:0]
	if cap(out) > keptMemory {
		out = nil
	}
	*r = reducer{out: out, omitted: r.omitted[:0], elements: r.elements[:0]}
}

// feed reads b up to the end of the item. The item begins with a curly bracket.
func (r *reducer) feed(b []byte) (n int, done bool) {
	for i := 0; i < len(b); {
		if r.inString {
			i = r.str(b, i)
			continue
		}
		c := b[i]
		i++
		if r.atKey && r.depth == 1 && c != '"' && c != '}' && c > ' ' {
			r.broken = true
		}
		switch c {
		case '"':
			r.begin()
		case '{', '[':
			r.depth++
			if r.depth == 1 {
				r.put(c)
				r.atKey = true
				break
			}
			r.list = 0
			if r.keeps() {
				r.put(c)
				if c == '[' {
					r.list, r.elements = len(r.out), append(r.elements[:0], len(r.out))
				}
			}
		case '}', ']':
			r.depth--
			if r.depth == 0 {
				r.close()
				return i, true
			}
			r.list = 0
			if r.drop {
				break
			}
			if r.ending > 0 {
				if r.depth >= r.ending {
					break
				}
				r.ending = r.depth
			}
			r.put(c)
		case ',':
			r.comma()
		default:
			if r.keeps() {
				r.put(c)
			}
		}
	}
	return len(b), false
}

// keeps reports whether the present place of the item is copied.
func (r *reducer) keeps() bool { return !r.drop && r.ending == 0 }

// result returns what was kept, or nothing when that cannot be an event.
func (r *reducer) result() []byte {
	if r.overflow || r.broken {
		return nil
	}
	return r.out
}

func (r *reducer) put(c byte) {
	if len(r.out) >= maxReduced {
		r.overflow = true
		return
	}
	r.out = append(r.out, c)
}

// begin begins a string.
func (r *reducer) begin() {
	r.inString, r.cutString = true, false
	if r.depth == 1 && r.atKey {
		r.drop, r.ending, r.key = false, 0, ""
		r.start = len(r.out)
		if r.written {
			r.put(',')
		}
	}
	if r.keeps() {
		r.put('"')
	}
	r.strStart = len(r.out)
}

// str reads the present string on, and returns where it stopped.
func (r *reducer) str(b []byte, i int) int {
	from := i
	for i < len(b) {
		if r.escaped {
			r.escaped = false
			i++
			continue
		}
		if i, _ = special(b, i); i == len(b) {
			break
		}
		c := b[i]
		if c == '"' {
			r.text(b[from:i])
			r.end()
			return i + 1
		}
		r.escaped = c == '\\'
		i++
	}
	r.text(b[from:i])
	return i
}

// text copies a piece of the present string, up to maxString.
func (r *reducer) text(piece []byte) {
	if !r.keeps() || r.cutString {
		return
	}
	if have := len(r.out) - r.strStart; have+len(piece) > maxString {
		r.out = append(r.out, piece[:maxString-have]...)
		r.out = r.out[:r.strStart+whole(r.out[r.strStart:])]
		r.cutString = true
		r.omit()
		return
	}
	if len(r.out)+len(piece) > maxReduced {
		r.overflow = true
		return
	}
	r.out = append(r.out, piece...)
}

// end ends the present string.
func (r *reducer) end() {
	r.inString = false
	if r.depth == 1 && r.atKey {
		r.atKey = false
		if key := r.out[r.strStart:]; len(key) <= 64 {
			r.key = string(key)
		}
		if r.key == "requestObject" || r.key == "responseObject" {
			r.omit()
			r.out = r.out[:r.start]
			r.drop = true
			return
		}
		r.written = true
	}
	if r.keeps() {
		r.put('"')
	}
}

// comma ends an element or a member.
func (r *reducer) comma() {
	if r.depth == 1 {
		r.atKey = true // written before the next key, if that is kept
		return
	}
	if !r.keeps() {
		return
	}
	if len(r.out)-r.start > maxMember {
		r.ending = r.depth
		r.omit()
		return
	}
	r.put(',')
	if r.list == 0 {
		return
	}
	r.elements = append(r.elements, len(r.out))
	if len(r.elements) > maxList {
		half := maxList / 2
		gone := r.elements[half] - r.list
		r.out = append(r.out[:r.list], r.out[r.list+gone:]...)
		kept := copy(r.elements, r.elements[half:])
		r.elements = r.elements[:kept]
		for i := range r.elements {
			r.elements[i] -= gone
		}
		r.omit()
	}
}

// omit notes that the present member is not complete.
func (r *reducer) omit() {
	if r.key == "" || len(r.omitted) == maxNames {
		return
	}
	for _, name := range r.omitted {
		if name == r.key {
			return
		}
	}
	for i := range len(r.key) {
		if c := r.key[i]; c < 0x20 || c == '\\' || c >= utf8.RuneSelf {
			return // no name of the API server's
		}
	}
	r.omitted = append(r.omitted, r.key)
}

// close ends the item with the names of what is missing.
func (r *reducer) close() {
	for i, name := range r.omitted {
		switch {
		case i > 0:
			r.out = append(r.out, ',')
		case r.written:
			r.out = append(r.out, `,"`+omittedKey+`":[`...)
		default:
			r.out = append(r.out, `"`+omittedKey+`":[`...)
		}
		r.out = append(append(append(r.out, '"'), name...), '"')
	}
	if len(r.omitted) > 0 {
		r.out = append(r.out, ']')
	}
	r.out = append(r.out, '}')
}

// whole returns the length of the longest beginning of a JSON string's content
// that ends between two characters.
func whole(s []byte) int {
	for i := 0; ; {
		n := 1
		switch {
		case i >= len(s):
			return len(s)
		case s[i] == '\\':
			if n = 2; i+1 < len(s) && s[i+1] == 'u' {
				n = 6
			}
		case s[i] >= utf8.RuneSelf:
			if !utf8.FullRune(s[i:]) {
				return i
			}
			_, n = utf8.DecodeRune(s[i:])
		}
		if i+n > len(s) {
			return i
		}
		i += n
	}
}

// skipper finds the end of a value of any size by its strings and brackets,
// where the value is not JSON and not to be kept.
type skipper struct {
	depth             int
	inString, escaped bool
}

// feed reads b up to the end of the value.
func (s *skipper) feed(b []byte) (n int, done bool) {
	for i := 0; i < len(b); i++ {
		c := b[i]
		switch {
		case s.escaped:
			s.escaped = false
		case s.inString:
			j, _ := special(b, i)
			if j == len(b) {
				return j, false
			}
			i = j
			s.escaped = b[i] == '\\'
			s.inString = b[i] != '"'
			if !s.inString && s.depth == 0 {
				return i + 1, true
			}
		case c == '"':
			s.inString = true
		case c == '{', c == '[':
			s.depth++
		case c == '}', c == ']':
			if s.depth == 0 {
				return i, true // of the list around it
			}
			if s.depth--; s.depth == 0 {
				return i + 1, true
			}
		case s.depth == 0 && (c == ',' || c <= ' '):
			return i, true
		}
	}
	return len(b), false
}
