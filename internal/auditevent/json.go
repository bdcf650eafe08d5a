package auditevent

import "github.com/valyala/fastjson"

// JSON is a part of an event that is kept as JSON, and decoded only when it is
// asked for: most parts are copied as they are. The zero value stands for one
// that is absent, null, or too large for a record.
type JSON struct {
	raw     []byte
	parser  *fastjson.Parser
	decoded bool
	value   *fastjson.Value
}

// Raw returns the part as it was stored, nil when there is none.
func (j *JSON) Raw() []byte { return j.raw }

// With returns raw, which is valid JSON, in the place of j. Only one of the two
// may be decoded.
func (j *JSON) With(raw []byte) JSON { return JSON{raw: raw, parser: j.parser} }

// Value returns the part decoded, nil when there is none.
func (j *JSON) Value() *fastjson.Value {
	if j.raw == nil || j.decoded {
		return j.value
	}
	j.decoded = true
	// What the scanner accepts can be decoded. If not, the mapping shows that
	// there is something which it cannot read.
	j.value, _ = j.parser.ParseBytes(j.raw)
	return j.value
}

// HasMembers reports whether the part is an object that is not empty.
func (j *JSON) HasMembers() bool {
	if j.raw == nil || j.raw[0] != '{' {
		return false
	}
	return j.raw[space(j.raw, 1)] != '}'
}

// Text returns the string under a name in an object, nothing where there is
// none.
func (j *JSON) Text(name string) string { return j.text(name, false) }

// First returns the first element of the list of strings under a name in an
// object, nothing where there is none.
func (j *JSON) First(name string) string { return j.text(name, true) }

func (j *JSON) text(name string, list bool) string {
	if j.raw == nil || j.raw[0] != '{' {
		return ""
	}
	var s scanner
	o := object{b: j.raw, i: 1, depth: 1}
	for o.next(&s) == scanned {
		if o.escaped {
			return j.decodedText(name, list)
		}
		if string(o.key) != name {
			continue
		}
		i := o.start
		if list {
			if o.b[i] != '[' {
				return ""
			}
			i = space(o.b, i+1)
		}
		if o.b[i] != '"' {
			return ""
		}
		end, escaped, _ := s.str(o.b, i+1)
		if escaped {
			return j.decodedText(name, list)
		}
		return alias(o.b[i+1 : end-1])
	}
	return ""
}

// decodedText is text for what has escapes.
func (j *JSON) decodedText(name string, list bool) string {
	v := j.Value().Get(name)
	if list {
		elements := v.GetArray()
		if len(elements) == 0 {
			return ""
		}
		v = elements[0]
	}
	return alias(v.GetStringBytes())
}

// Members goes over the members of an object as they stand there:
//
//	for m := j.Members(); m.Next(); {
type Members struct {
	scan scanner
	o    object
}

// Members begins with the first member. What is no object has none.
func (j *JSON) Members() Members {
	if j.raw == nil || j.raw[0] != '{' {
		return Members{o: object{b: noMembers, i: 1, depth: 1}}
	}
	return Members{o: object{b: j.raw, i: 1, depth: 1}}
}

var noMembers = []byte("{}")

// Next goes to the next member and reports whether there is one.
func (m *Members) Next() bool { return m.o.next(&m.scan) == scanned }

// Name is what stands between the quotes of the member's name, and whether it
// has escapes, which are not resolved.
func (m *Members) Name() (name string, escaped bool) { return alias(m.o.key), m.o.escaped }

// Span is where the member stands in Raw, from its name to its value.
func (m *Members) Span() (start, end int) { return m.o.at, m.o.i }

// Only returns the string that is, alone in a list, the value of the member. It
// reports false for all other values, and for strings with escapes.
func (m *Members) Only() (s string, ok bool) {
	b, i := m.o.b, m.o.start
	if b[i] != '[' {
		return "", false
	}
	if i = space(b, i+1); b[i] != '"' {
		return "", false
	}
	end, escaped, _ := m.scan.str(b, i+1)
	return alias(b[i+1 : end-1]), !escaped && b[space(b, end)] == ']'
}
