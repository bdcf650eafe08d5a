package auditevent

import "github.com/valyala/fastjson"

// Body is the requestObject or the responseObject of an event. The zero value
// stands for one that is absent, null, or too large for a record.
type Body struct {
	raw     []byte
	parser  *fastjson.Parser
	decoded bool
	value   *fastjson.Value
}

// JSON returns the body as it was stored, nil when there is none.
func (b *Body) JSON() []byte { return b.raw }

// Value decodes the body at the first call: most bodies are copied as they are.
// It is nil when there is none.
func (b *Body) Value() *fastjson.Value {
	if b.raw == nil || b.decoded {
		return b.value
	}
	b.decoded = true
	// What the scanner accepts can be decoded. If not, the mapping shows that
	// there is a body which it cannot read.
	b.value, _ = b.parser.ParseBytes(b.raw)
	return b.value
}
