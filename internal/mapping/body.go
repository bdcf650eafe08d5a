package mapping

import (
	"strconv"
	"strings"

	"github.com/trail-operator/trail-operator/internal/auditevent"
)

// Reasons of an omission, as they stand in omittedReason.
const (
	reasonSize      = "SizeLimit"             // over the limit of its field, of the record or of intake
	reasonAPIServer = "TruncatedByAPIServer"  // over kube-apiserver's own limit
	reasonUnread    = "NotReadableByRedactor" // neither an object nor an array
)

// appendOmission appends the fields that stand for what was left out. Unknown
// sizes are negative.
func appendOmission(dst []byte, reason string, size int) []byte {
	dst = append(dst, `"omitted":true,"omittedReason":"`...)
	dst = append(dst, reason...)
	dst = append(dst, '"')
	if size >= 0 {
		dst = append(dst, `,"omittedBytes":`...)
		dst = strconv.AppendInt(dst, int64(size), 10)
	}
	return dst
}

// appendRequest appends requestParameters.
func (m *Mapper) appendRequest(dst []byte, e *auditevent.Event, c *call) []byte {
	start := len(dst)
	dst = append(dst, c.parameters...)
	if c.resource != "" {
		ref := &e.ObjectRef
		dst = appendField(dst, `"version":`, bounded(ref.APIVersion, maxText))
		dst = appendField(dst, `"namespace":`, bounded(ref.Namespace, maxText))
		dst = appendField(dst, `"name":`, objectName(e, c))
		dst = appendField(dst, `"uid":`, bounded(ref.UID, maxText))
	}
	path, query, _ := strings.Cut(e.RequestURI, "?")
	if c.proxied {
		dst = appendField(dst, `"path":`, bounded(path, maxPath))
	}
	if query != "" {
		dst = append(dst, `,"query":`...)
		dst = m.appendQuery(dst, query, c.arguments)
	}
	p := c.bodies
	if strings.HasPrefix(e.Verb, "delete") {
		p = policyOpen // the body is the API server's own reading of DeleteOptions
	}
	mark := len(dst)
	switch v := e.RequestObject.Raw(); {
	case v == nil:
		if reason := missing(e, "requestObject"); reason != "" {
			dst = append(dst, ',')
			dst = appendOmission(dst, reason, -1)
		}
	case !readable(v):
		dst = append(dst, ',')
		dst = appendOmission(dst, reasonUnread, marshaledSize(&e.RequestObject))
	default:
		dst = append(dst, `,"object":`...)
		body := len(dst)
		dst = appendJSON(dst, &e.RequestObject, p)
		if size := len(dst) - body; len(dst)-start >= maxBody {
			dst = append(dst[:mark], ',')
			dst = appendOmission(dst, reasonSize, size)
		}
	}
	return append(dst, '}')
}

// appendResponse appends responseElements: what a write got as an answer, or,
// without answer, that there was one.
func (m *Mapper) appendResponse(dst []byte, e *auditevent.Event, c *call, readOnly, answer bool) []byte {
	if readOnly {
		return append(dst, "null"...)
	}
	p := c.bodies
	switch {
	case c.quotesSecret(e.Code):
		p = policySecretError
	case p == policySecret:
		p = policySecretAnswer
	}
	start := len(dst)
	switch v := e.ResponseObject.Raw(); {
	case v == nil:
		reason := missing(e, "responseObject")
		if reason == "" {
			return append(dst, "null"...)
		}
		dst = appendOmission(append(dst, '{'), reason, -1)
	case !readable(v):
		dst = appendOmission(append(dst, '{'), reasonUnread, marshaledSize(&e.ResponseObject))
	case v[0] == '{':
		dst = appendJSON(dst, &e.ResponseObject, p)
		if size := len(dst) - start; size > maxBody || !answer {
			dst = appendOmission(append(dst[:start], '{'), reasonSize, size)
			break
		}
		return dst
	default: // the field holds an object or null
		dst = append(dst, `{"value":`...)
		dst = appendJSON(dst, &e.ResponseObject, p)
		if size := len(dst) + 1 - start; size > maxBody || !answer {
			dst = appendOmission(append(dst[:start], '{'), reasonSize, size)
		}
	}
	return append(dst, '}')
}

// missing returns why a body that the level asks for is not there, or nothing.
func missing(e *auditevent.Event, field string) string {
	for _, o := range e.Omitted {
		if o == field {
			return reasonSize
		}
	}
	switch e.Verb {
	case "get", "list", "watch":
		return "" // the answer is not recorded anyway
	}
	asked := e.Level == "RequestResponse" || e.Level == "Request" && field == "requestObject"
	if asked && e.Annotations.Text(annotationTruncated) == "true" {
		return reasonAPIServer
	}
	return ""
}

// readable reports whether the redactor can look into a body.
func readable(body []byte) bool { return body[0] == '{' || body[0] == '[' }

// marshaledSize is the length of a body that is not shown.
func marshaledSize(b *auditevent.JSON) int {
	if v := b.Value(); v != nil {
		return len(v.MarshalTo(nil))
	}
	return len(b.Raw())
}

// appendJSON appends a body without its secret values.
func appendJSON(dst []byte, b *auditevent.JSON, p policy) []byte {
	if p == policyOpen {
		if dst, ok := appendPlain(dst, b.Raw(), nil); ok {
			return dst
		}
	}
	v := b.Value()
	if v == nil {
		return append(appendOmission(append(dst, '{'), reasonUnread, len(b.Raw())), '}')
	}
	return appendBody(dst, v, p)
}
