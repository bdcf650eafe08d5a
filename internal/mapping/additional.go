package mapping

import (
	"strconv"
	"strings"

	"github.com/valyala/fastjson"

	"github.com/trail-operator/trail-operator/internal/auditevent"
)

// Annotations that are more than notes.
const (
	annotationTruncated = "audit.k8s.io/truncated"
	annotationPatch     = "patch.webhook.admission.k8s.io/" // its value holds a JSON patch of the object
)

const (
	// maxOmitted is how many names of incomplete fields are shown: more than an
	// audit event has fields.
	maxOmitted = 24
	// maxToken bounds what kube-apiserver itself writes: names of fields, levels
	// and stages, times.
	maxToken = 40
)

// part is a value of additionalEventData that may be long, and where it stands.
type part struct{ start, end int }

// appendAdditional appends additionalEventData. What another field of the record
// says already, exactly, is not said again.
func (m *Mapper) appendAdditional(dst []byte, e *auditevent.Event, who *identity, c *call, src Source, failed failure) []byte {
	start := len(dst)
	dst = append(dst, `{"auditLevel":`...)
	dst = appendString(dst, bounded(e.Level, maxToken))
	dst = appendField(dst, `"auditStage":`, bounded(e.Stage, maxToken))
	dst = appendField(dst, `"source":`, bounded(src.Via, maxToken))
	if src.Replayed {
		dst = append(dst, `,"replayed":true`...)
	}
	dst = appendField(dst, `"apiServer":`, bounded(src.APIServer, maxNamePart))
	dst = appendTimes(dst, e)
	if e.Code != 0 {
		dst = append(dst, `,"responseCode":`...)
		dst = strconv.AppendInt(dst, int64(e.Code), 10)
	}
	if failed == (failure{}) && c.bodies == policyOpen {
		dst = appendField(dst, `"responseMessage":`, bounded(e.Message, maxText))
	}

	dst = appendOmitted(dst, e.Omitted)

	var parts [6]part
	n := 0
	open := func(key string) {
		dst = append(append(dst, ','), key...)
		parts[n].start = len(dst)
	}
	closed := func() {
		parts[n].end = len(dst)
		n++
	}
	user := &e.User
	if e.Impersonated {
		user = &e.ImpersonatedUser
		open(`"impersonator":`)
		dst = appendImpersonator(dst, &e.User)
		closed()
	}
	if !who.impliesGroups(user.Groups) {
		open(`"groups":`)
		dst = appendStrings(dst, user.Groups)
		closed()
	}
	if extra := m.restOfExtra(user.Extra, who); extra.HasMembers() {
		open(`"extra":`)
		dst = appendExtra(dst, &extra)
		closed()
	}
	if len(e.SourceIPs) > 1 {
		open(`"sourceIPs":`)
		dst = appendStrings(dst, e.SourceIPs)
		closed()
	}
	if e.AuthenticationMetadata.HasMembers() {
		open(`"authenticationMetadata":`)
		dst = appendJSON(dst, &e.AuthenticationMetadata, policyOpen)
		closed()
	}
	if e.Annotations.HasMembers() {
		open(`"annotations":`)
		dst = m.appendAnnotations(dst, &e.Annotations, c.bodies)
		closed()
	}
	dst = append(dst, '}')
	return shorten(dst, start, parts[:n])
}

// appendOmitted names what the parser left out of the rest of the event. Bodies
// show it themselves.
func appendOmitted(dst []byte, omitted []string) []byte {
	n := 0
	for _, name := range omitted {
		if name == "requestObject" || name == "responseObject" || n == maxOmitted {
			continue
		}
		if n == 0 {
			dst = appendOmission(append(dst, ','), reasonSize, -1)
			dst = append(dst, `,"omittedFields":[`...)
		} else {
			dst = append(dst, ',')
		}
		n++
		dst = appendString(dst, bounded(name, maxToken))
	}
	if n == 0 {
		return dst
	}
	return append(dst, ']')
}

// shorten leaves out the longest parts until additionalEventData, which begins
// at start, keeps its limit.
func shorten(dst []byte, start int, parts []part) []byte {
	for len(parts) > 0 && len(dst)-start > maxAdditional {
		longest := 0
		for i, p := range parts {
			if p.end-p.start > parts[longest].end-parts[longest].start {
				longest = i
			}
		}
		p := parts[longest]
		size := p.end - p.start
		var buf [96]byte
		note := append(appendOmission(append(buf[:0], '{'), reasonSize, size), '}')
		if size <= len(note) {
			return dst // so are all others
		}
		moved := size - len(note)
		dst = append(append(dst[:p.start], note...), dst[p.end:]...)
		for i := range parts {
			if parts[i].start > p.start {
				parts[i].start -= moved
				parts[i].end -= moved
			}
		}
		parts[longest] = part{}
	}
	return dst
}

// appendImpersonator appends the real user behind an impersonation.
func appendImpersonator(dst []byte, user *auditevent.User) []byte {
	dst = append(dst, `{"userName":`...)
	dst = appendString(dst, bounded(user.Username, maxText))
	dst = appendField(dst, `"uid":`, bounded(user.UID, maxText))
	if len(user.Groups) > 0 {
		dst = append(dst, `,"groups":`...)
		dst = appendStrings(dst, user.Groups)
	}
	if user.Extra.HasMembers() {
		dst = append(dst, `,"extra":`...)
		dst = appendExtra(dst, &user.Extra)
	}
	return append(dst, '}')
}

// appendAnnotations appends the annotations of an event. Those of mutating
// webhooks quote the object, so they are redacted like it.
func (m *Mapper) appendAnnotations(dst []byte, annotations *auditevent.JSON, bodies policy) []byte {
	if dst, ok := appendPlain(dst, annotations.Raw(), isPatchAnnotation); ok {
		return dst
	}
	dst = append(dst, '{')
	first := true
	annotations.Value().GetObject().Visit(func(key []byte, v *fastjson.Value) {
		if !first {
			dst = append(dst, ',')
		}
		first = false
		name := alias(key)
		dst = appendString(dst, name)
		dst = append(dst, ':')
		if !isPatchAnnotation(name) {
			dst = appendBody(dst, v, policyOpen)
			return
		}
		dst = m.appendPatchAnnotation(dst, text(v), bodies)
	})
	return append(dst, '}')
}

func isPatchAnnotation(name string) bool { return strings.HasPrefix(name, annotationPatch) }

func (m *Mapper) appendPatchAnnotation(dst []byte, s string, bodies policy) []byte {
	if bodies != policyOpen {
		return append(dst, redactedJSON...)
	}
	v, err := m.parser.Parse(s)
	if err != nil || v.Type() != fastjson.TypeObject {
		return append(dst, redactedJSON...)
	}
	m.nested = appendBody(m.nested[:0], v, bodies)
	return appendString(dst, alias(m.nested))
}

func appendStrings(dst []byte, list []string) []byte {
	dst = append(dst, '[')
	for i, s := range list {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendString(dst, s)
	}
	return append(dst, ']')
}
