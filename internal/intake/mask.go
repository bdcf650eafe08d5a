package intake

import "strings"

// maxMasked is the length of a masked copy, in bytes.
const maxMasked = 4 << 10

// shownKeys are the names that a masked copy shows: those of the audit API.
// Other names may be the keys of a Secret, or values in a broken text.
var shownKeys = map[string]bool{
	"kind": true, "apiVersion": true, "metadata": true, "items": true, "level": true, "auditID": true, "stage": true,
	"requestURI": true, "verb": true, "user": true, "impersonatedUser": true, "username": true, "uid": true,
	"groups": true, "extra": true, "authenticationMetadata": true, "sourceIPs": true, "userAgent": true,
	"objectRef": true, "resource": true, "subresource": true, "namespace": true, "name": true, "apiGroup": true,
	"resourceVersion": true, "responseStatus": true, "status": true, "message": true, "reason": true, "details": true,
	"code": true, "requestObject": true, "responseObject": true, "requestReceivedTimestamp": true,
	"stageTimestamp": true, "annotations": true,
}

// mask returns the shape of a text that should have been an audit event:
// brackets, colons, commas and the names of the audit API. Every other string
// is "*", everything else that is no white space is ?, so that no credential
// is shown, also where the text is broken.
func mask(b []byte) string {
	var out strings.Builder
	for i := 0; i < len(b) && out.Len() < maxMasked; {
		switch c := b[i]; {
		case c == '"':
			end, closed := stringEnd(b, i+1)
			switch key := b[i+1 : end]; {
			case !closed:
				out.WriteString(`"*`)
			case shownKeys[string(key)] && beforeColon(b, end+1):
				out.WriteByte('"')
				out.Write(key)
				out.WriteByte('"')
			default:
				out.WriteString(`"*"`)
			}
			i = end + 1
		case strings.IndexByte("{}[]:,", c) >= 0:
			out.WriteByte(c)
			i++
		case c <= ' ':
			i++
		default:
			out.WriteByte('?')
			for i++; i < len(b) && strings.IndexByte("{}[]:,\"", b[i]) < 0 && b[i] > ' '; i++ {
			}
		}
	}
	return out.String()
}

// stringEnd returns the index of the quote that ends the string.
func stringEnd(b []byte, i int) (end int, closed bool) {
	for ; i < len(b); i++ {
		switch b[i] {
		case '\\':
			i++
		case '"':
			return i, true
		}
	}
	return len(b), false
}

func beforeColon(b []byte, i int) bool {
	for i < len(b) && b[i] <= ' ' {
		i++
	}
	return i < len(b) && b[i] == ':'
}
