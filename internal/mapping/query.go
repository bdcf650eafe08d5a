package mapping

import (
	"strings"
)

// Bounds of the query options of a request.
const (
	maxPath    = 4 << 10
	maxQuery   = 32 << 10 // bytes, before and after
	maxOptions = 256
)

// option is one name and value of a query.
type option struct {
	name, value string
	done        bool // written with an earlier option of the same name
}

// appendQuery appends the options of a request as an object: a string each, an
// array where an option stands more than once. arguments says that "command" is
// an argument list, which is always an array and shown as it is.
func (m *Mapper) appendQuery(dst []byte, query string, arguments bool) []byte {
	start := len(dst)
	dst = append(dst, '{')
	if len(query) > maxQuery || strings.Count(query, "&")+strings.Count(query, ";") >= maxOptions {
		return append(appendOmission(dst, reasonSize, len(query)), '}')
	}
	m.parseQuery(query)
	for i := range m.options {
		o := &m.options[i]
		if o.done {
			continue
		}
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendString(dst, o.name)
		dst = append(dst, ':')
		dst = m.appendValues(dst, i, arguments && o.name == "command")
	}
	if len(dst)-start > maxQuery {
		dst = appendOmission(append(dst[:start], '{'), reasonSize, len(query))
	}
	return append(dst, '}')
}

// appendValues appends all values that have the name of the i-th option.
func (m *Mapper) appendValues(dst []byte, i int, command bool) []byte {
	first := &m.options[i]
	hidden := !command && isCredentialName(first.name)
	start := len(dst)
	dst = append(dst, '[')
	n := 0
	for j := i; j < len(m.options); j++ {
		o := &m.options[j]
		if o.done || o.name != first.name {
			continue
		}
		o.done = true
		if n > 0 {
			dst = append(dst, ',')
		}
		n++
		if hidden || !command && isCredential(o.value) {
			dst = append(dst, redactedJSON...)
		} else {
			dst = appendString(dst, o.value)
		}
	}
	if n > 1 || command {
		return append(dst, ']')
	}
	copy(dst[start:], dst[start+1:])
	return dst[:len(dst)-1]
}

// parseQuery fills m.options. What is not correctly escaped is taken as it is.
func (m *Mapper) parseQuery(query string) {
	m.options, m.decoded = m.options[:0], m.decoded[:0]
	if cap(m.decoded) < len(query) {
		m.decoded = make([]byte, 0, len(query)) // aliased below: it must not move
	}
	for query != "" {
		part := query
		if i := separator(query); i >= 0 {
			part, query = query[:i], query[i+1:]
		} else {
			query = ""
		}
		if part == "" {
			continue
		}
		name, value, _ := strings.Cut(part, "=")
		m.options = append(m.options, option{name: m.unescape(name), value: m.unescape(value)})
	}
}

// separator is where the first option ends, -1 where the last one does: some
// servers split at both characters.
func separator(query string) int {
	for i := range len(query) {
		if query[i] == '&' || query[i] == ';' {
			return i
		}
	}
	return -1
}

// unescape decodes a part of a query into m.decoded.
func (m *Mapper) unescape(s string) string {
	if strings.IndexByte(s, '%') < 0 && strings.IndexByte(s, '+') < 0 {
		return s
	}
	start := len(m.decoded)
	m.decoded = appendUnescaped(m.decoded, s)
	return alias(m.decoded[start:])
}

func appendUnescaped(dst []byte, s string) []byte {
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case c == '+':
			c = ' '
		case c == '%' && i+2 < len(s) && isHex(s[i+1]) && isHex(s[i+2]):
			c = unhex(s[i+1])<<4 | unhex(s[i+2])
			i += 2
		}
		dst = append(dst, c)
	}
	return dst
}

func isHex(c byte) bool {
	c = lower(c)
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'f'
}

func unhex(c byte) byte {
	if c <= '9' {
		return c - '0'
	}
	return lower(c) - 'a' + 10
}
