package mapping

import (
	"strings"
	"unsafe"

	"github.com/valyala/fastjson"

	"github.com/trail-operator/trail-operator/internal/record"
)

// policy says what of a body, or of a part of it, may be shown.
type policy uint8

const (
	// policyOpen shows everything but what is recognized as secret wherever it
	// stands: Secrets, token requests and reviews, last-applied-configuration,
	// JSON web tokens and bootstrap tokens.
	policyOpen policy = iota
	// policyToken also hides every field called token.
	policyToken
	// policySecret is that of requests and answers about Secrets: only fields
	// that are known to be harmless are shown, whatever the body claims to be.
	policySecret
	// policySecretAnswer is policySecret for what the API server wrote, where
	// kind Status can be believed.
	policySecretAnswer
	// policySecretError is policySecretAnswer for errors that may quote the
	// request.
	policySecretError
	// policyMetadata is that of the metadata of a Secret, where tools keep copies
	// of the whole object in annotations.
	policyMetadata
	// policyValues keeps keys and hides all values.
	policyValues
	// policyHidden hides everything but null, which deletes.
	policyHidden
)

const (
	lastApplied        = "kubectl.kubernetes.io/last-applied-configuration"
	lastAppliedPointer = "kubectl.kubernetes.io~1last-applied-configuration"

	// longestShown is the longest string of a Secret's metadata that is shown;
	// Kubernetes' own names and label values are shorter.
	longestShown = 256
)

const redactedJSON = `"` + record.Redacted + `"`

// appendBody appends v as compact JSON without its secret values. The recursion
// is as deep as the parser's, which is bounded.
func appendBody(dst []byte, v *fastjson.Value, p policy) []byte {
	switch v.Type() {
	case fastjson.TypeNull:
		return append(dst, "null"...)
	case fastjson.TypeObject:
		if p == policyHidden {
			return append(dst, redactedJSON...)
		}
		return appendObject(dst, v.GetObject(), p)
	case fastjson.TypeArray:
		if p == policyHidden {
			return append(dst, redactedJSON...)
		}
		dst = append(dst, '[')
		for i, item := range v.GetArray() {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = appendBody(dst, item, p)
		}
		return append(dst, ']')
	}
	switch p {
	case policyHidden, policyValues, policySecret, policySecretAnswer, policySecretError:
		return append(dst, redactedJSON...)
	}
	switch v.Type() {
	case fastjson.TypeTrue:
		return append(dst, "true"...)
	case fastjson.TypeFalse:
		return append(dst, "false"...)
	case fastjson.TypeNumber:
		start := len(dst)
		dst = v.MarshalTo(dst)
		if isNumber(dst[start:]) {
			return dst
		}
		return appendString(dst[:start], string(dst[start:]))
	}
	s := text(v)
	if isCredential(s) || p == policyMetadata && maybeCopy(s) {
		return append(dst, redactedJSON...)
	}
	return appendString(dst, s)
}

func appendObject(dst []byte, o *fastjson.Object, p policy) []byte {
	shape := shapeOf(o)
	dst = append(dst, '{')
	first := true
	o.Visit(func(key []byte, v *fastjson.Value) {
		if !first {
			dst = append(dst, ',')
		}
		first = false
		name := unsafe.String(unsafe.SliceData(key), len(key))
		dst = appendString(dst, name)
		dst = append(dst, ':')
		dst = appendBody(dst, v, shape.policy(name, v, p))
	})
	return append(dst, '}')
}

// shape is what an object shows of its meaning. Where a key stands twice, the
// more careful reading counts.
type shape struct {
	secret  bool // kind Secret
	token   bool // kind TokenRequest or TokenReview
	status  bool // kind Status
	patchOp bool // an operation of a JSON patch
	root    bool // an operation on the whole object
	harmful bool // an operation whose path may lead to a value of a Secret
	applied bool // an operation on last-applied-configuration
}

func shapeOf(o *fastjson.Object) shape {
	var s shape
	var op, path bool
	o.Visit(func(key []byte, v *fastjson.Value) {
		switch string(key) {
		case "kind":
			switch kind := text(v); {
			case kind == "Secret":
				s.secret = true
			case kind == "TokenRequest", kind == "TokenReview":
				s.token = true
			case kind == "Status":
				s.status = true
			}
		case "op":
			op = true
		case "path":
			path = true
			p := text(v)
			s.root = s.root || p == ""
			s.harmful = s.harmful || !harmlessPointer(p)
			s.applied = s.applied || strings.Contains(p, lastAppliedPointer)
		}
	})
	s.patchOp = op && path
	return s
}

// policy returns how the field with this key is to be shown, in an object of
// this shape that is itself shown by p.
func (s shape) policy(key string, v *fastjson.Value, p policy) policy {
	if len(key) == len(lastApplied) && key == lastApplied {
		return policyHidden
	}
	switch p {
	case policySecret, policySecretAnswer, policySecretError:
		return s.secretPolicy(key, v, p)
	case policyValues:
		return policyHidden
	case policyToken:
		if strings.EqualFold(key, "token") {
			return policyHidden
		}
		return p
	case policyMetadata:
		return p
	}
	switch {
	case s.secret && (strings.EqualFold(key, "data") || strings.EqualFold(key, "stringData")):
		return policyValues
	case s.secret && key == "metadata":
		return policyMetadata
	case s.token:
		return s.tokenPolicy(key, p)
	case s.patchOp && s.applied && key != "op" && key != "path":
		return policyHidden
	}
	return p
}

// tokenPolicy is that of a token request or review inside another object.
func (s shape) tokenPolicy(key string, p policy) policy {
	if strings.EqualFold(key, "token") {
		return policyHidden
	}
	if strings.EqualFold(key, "spec") || strings.EqualFold(key, "status") {
		return policyToken
	}
	return p
}

// secretPolicy is that of an object which is a Secret, a list or table of them,
// a patch of one, or the Status that answered.
func (s shape) secretPolicy(key string, v *fastjson.Value, p policy) policy {
	if s.patchOp {
		switch key {
		case "op", "path", "from":
			return policyOpen
		case "value":
			if s.applied || s.harmful {
				return policyHidden
			}
			if s.root {
				return p
			}
			return policyMetadata
		}
		return policyHidden
	}
	if s.status && p != policySecret {
		switch key {
		case "status", "reason", "code":
			return policyOpen
		case "message", "details":
			if p == policySecretAnswer {
				return policyOpen
			}
		}
	}
	nested := v.Type() == fastjson.TypeArray || v.Type() == fastjson.TypeObject
	switch key {
	case "apiVersion", "kind", "type", "immutable":
		if !nested {
			return policyMetadata
		}
	case "metadata":
		return policyMetadata
	case "data", "stringData":
		return policyValues
	case "items", "rows", "object":
		return p
	case "columnDefinitions":
		if p == policySecretAnswer {
			return policyOpen
		}
	}
	return policyHidden
}

// harmlessPointer reports whether a JSON pointer into a Secret leads to the
// whole of it or to a field that is no secret.
func harmlessPointer(p string) bool {
	switch p {
	case "", "/metadata", "/type", "/immutable", "/kind", "/apiVersion":
		return true
	}
	return strings.HasPrefix(p, "/metadata/")
}

// text returns the string v, or nothing where v is not one. It lives as long as
// the parser's buffer.
func text(v *fastjson.Value) string {
	if v == nil {
		return ""
	}
	b, err := v.StringBytes()
	if err != nil {
		return ""
	}
	return unsafe.String(unsafe.SliceData(b), len(b))
}
