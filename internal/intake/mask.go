package intake

import (
	"regexp"
	"strings"
)

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

// shownValues are the strings that a masked copy shows, by the name before them
// and whole. They are words of a closed list, or times, so that none can be a
// credential, wherever a broken text has put it. An auditID may be any UUID, as
// a token may: it is shown where only that of an event stands.
var shownValues = map[string]*regexp.Regexp{
	"kind":                     regexp.MustCompile(`^(Event|EventList)$`),
	"apiVersion":               regexp.MustCompile(`^audit\.k8s\.io/v[0-9]{1,2}((alpha|beta)[0-9]{1,2})?$`),
	"level":                    regexp.MustCompile(`^(None|Metadata|Request|RequestResponse)$`),
	"stage":                    regexp.MustCompile(`^(RequestReceived|ResponseStarted|ResponseComplete|Panic)$`),
	"verb":                     regexp.MustCompile(`^(get|list|watch|create|update|patch|delete|deletecollection|proxy|connect|head|post|put|options)$`),
	"requestReceivedTimestamp": maskedTime,
	"stageTimestamp":           maskedTime,
	"auditID":                  regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$`),
}

var maskedTime = regexp.MustCompile(`^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?Z$`)

// eventDepth is how deep the members of a lone event stand.
const eventDepth = 1

// mask returns the shape of a text that should have been an audit event:
// brackets, colons, commas, the names of the audit API, and the values of
// shownValues. Every other string is "*", everything else that is no white
// space is ?, so that no credential is shown, also where the text is broken.
func mask(b []byte) string {
	var out strings.Builder
	depth := 0
	name := "" // that a colon follows, and then a value
	for i := 0; i < len(b) && out.Len() < maxMasked; {
		switch c := b[i]; {
		case c == '"':
			end, closed := stringEnd(b, i+1)
			text := string(b[i+1 : min(end, i+1+maxShown)])
			value := shownValues[name]
			shown := value != nil && value.MatchString(text) && (name != "auditID" || depth == eventDepth)
			name = ""
			switch {
			case !closed:
				out.WriteString(`"*`)
			case end-i-1 > maxShown:
				out.WriteString(`"*"`)
			case shownKeys[text] && beforeColon(b, end+1):
				name = text
				out.WriteString(`"` + text + `"`)
			case shown && !beforeColon(b, end+1):
				out.WriteString(`"` + text + `"`)
			default:
				out.WriteString(`"*"`)
			}
			i = end + 1
		case strings.IndexByte("{}[]:,", c) >= 0:
			switch c {
			case '{', '[':
				depth++
			case '}', ']':
				depth--
			}
			if c != ':' {
				name = ""
			}
			out.WriteByte(c)
			i++
		case c <= ' ':
			i++
		default:
			name = ""
			out.WriteByte('?')
			for i++; i < len(b) && strings.IndexByte("{}[]:,\"", b[i]) < 0 && b[i] > ' '; i++ {
			}
		}
	}
	return out.String()
}

// maxShown is longer than every name and value that is shown.
const maxShown = 64

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
