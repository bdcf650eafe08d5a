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
