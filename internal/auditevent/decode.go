package auditevent

import (
	"strconv"
	"time"

	"github.com/valyala/fastjson"
)

// decode fills the event from the places of its members.
func (p *Parser) decode() error {
	e := &p.event
	for i := range e.members {
		if !p.member(&e.members[i]) {
			return errType
		}
	}
	switch {
	case e.AuditID == "":
		return errAuditID
	case e.StageTimestamp == "":
		return errTimestamp
	}
	switch e.Stage {
	case StageRequestReceived, StageResponseStarted, StageResponseComplete, StagePanic:
	default:
		return errStage
	}
	for i := range e.members {
		m := &e.members[i]
		switch m.field {
		case fieldKind:
			if string(e.item[m.start:m.end]) != `"Event"` {
				return errKind
			}
		case fieldAPIVersion:
			if string(e.item[m.start:m.end]) != `"audit.k8s.io/v1"` {
				return errKind
			}
		}
	}
	var err error
	if e.Time, err = time.Parse(time.RFC3339Nano, e.StageTimestamp); err != nil {
		return errTimestamp
	}
	return nil
}

// member decodes one member, and reports false where its type is wrong. Null
// is the same as absent.
func (p *Parser) member(m *member) bool {
	e := &p.event
	v := e.item[m.start:m.end]
	if v[0] == 'n' {
		return true
	}
	switch m.field {
	case fieldLevel:
		return p.text(v, &e.Level)
	case fieldAuditID:
		return p.text(v, &e.AuditID)
	case fieldStage:
		return p.text(v, &e.Stage)
	case fieldRequestURI:
		return p.text(v, &e.RequestURI)
	case fieldVerb:
		return p.text(v, &e.Verb)
	case fieldUserAgent:
		return p.text(v, &e.UserAgent)
	case fieldRequestReceivedTimestamp:
		return p.text(v, &e.RequestReceivedTimestamp)
	case fieldStageTimestamp:
		return p.text(v, &e.StageTimestamp)
	case fieldUser:
		return p.user(v, &e.User)
	case fieldImpersonatedUser:
		e.Impersonated = true
		return p.user(v, &e.ImpersonatedUser)
	case fieldSourceIPs:
		return p.list(v, &e.SourceIPs)
	case fieldOmitted:
		return p.list(v, &e.Omitted)
	case fieldObjectRef:
		e.HasObjectRef = true
		return p.objectRef(v)
	case fieldResponseStatus:
		return p.responseStatus(v)
	case fieldAnnotations, fieldAuthenticationMetadata:
		return v[0] == '{'
	}
	return true
}

// text decodes a string. One without escapes aliases the item.
func (p *Parser) text(v []byte, to *string) bool {
	if v[0] != '"' {
		return v[0] == 'n'
	}
	v = v[1 : len(v)-1]
	for _, c := range v {
		if c == '\\' {
			n := len(p.unquoted)
			p.unquoted = appendUnescaped(p.unquoted, v)
			*to = alias(p.unquoted[n:])
			return true
		}
	}
	*to = alias(v)
	return true
}

func (p *Parser) list(v []byte, to *[]string) bool {
	if v[0] != '[' {
		return v[0] == 'n'
	}
	i := space(v, 1)
	if v[i] == ']' {
		return true
	}
	for {
		var s string
		end, _ := p.scan.value(v, i, 0)
		if v[i] != '"' || !p.text(v[i:end], &s) {
			return false
		}
		*to = append(*to, s)
		if i = space(v, end); v[i] == ']' {
			return true
		}
		i = space(v, i+1)
	}
}

func (p *Parser) user(v []byte, u *User) bool {
	if v[0] != '{' {
		return false
	}
	ok := true
	o := object{b: v, i: 1, depth: 1}
	for ok && o.next(&p.scan) == scanned {
		v := o.b[o.start:o.i]
		switch string(o.key) {
		case "username":
			ok = p.text(v, &u.Username)
		case "uid":
			ok = p.text(v, &u.UID)
		case "groups":
			u.Groups = u.Groups[:0]
			ok = p.list(v, &u.Groups)
		case "extra":
			if v[0] != 'n' {
				u.extra, ok = v, v[0] == '{'
			}
		}
	}
	return ok
}

func (p *Parser) objectRef(v []byte) bool {
	if v[0] != '{' {
		return false
	}
	ref := &p.event.ObjectRef
	ok := true
	o := object{b: v, i: 1, depth: 1}
	for ok && o.next(&p.scan) == scanned {
		v := o.b[o.start:o.i]
		switch string(o.key) {
		case "resource":
			ok = p.text(v, &ref.Resource)
		case "subresource":
			ok = p.text(v, &ref.Subresource)
		case "namespace":
			ok = p.text(v, &ref.Namespace)
		case "name":
			ok = p.text(v, &ref.Name)
		case "uid":
			ok = p.text(v, &ref.UID)
		case "apiGroup":
			ok = p.text(v, &ref.APIGroup)
		case "apiVersion":
			ok = p.text(v, &ref.APIVersion)
		case "resourceVersion":
			ok = p.text(v, &ref.ResourceVersion)
		}
	}
	return ok
}

func (p *Parser) responseStatus(v []byte) bool {
	if v[0] != '{' {
		return false
	}
	e := &p.event
	ok := true
	o := object{b: v, i: 1, depth: 1}
	for ok && o.next(&p.scan) == scanned {
		v := o.b[o.start:o.i]
		switch string(o.key) {
		case "code":
			var n int64
			if v[0] != 'n' {
				var err error
				n, err = strconv.ParseInt(alias(v), 10, 32)
				ok = err == nil
			}
			e.Code = int(n)
		case "status":
			ok = p.text(v, &e.Status)
		case "reason":
			ok = p.text(v, &e.Reason)
		case "message":
			ok = p.text(v, &e.Message)
		}
	}
	return ok
}

// values decodes the parts of the event that are kept as JSON values.
func (p *Parser) values() error {
	e := &p.event
	ok := p.value(&p.userExtra, e.User.extra, "user", &e.User.Extra) &&
		p.value(&p.impersonatedExtra, e.ImpersonatedUser.extra, "impersonatedUser", &e.ImpersonatedUser.Extra)
	for i := range e.members {
		m := &e.members[i]
		v := e.item[m.start:m.end]
		switch m.field {
		case fieldAnnotations:
			if len(v) > MaxBody {
				v = p.shortened(v)
				e.Omitted = append(e.Omitted, "annotations")
			}
			ok = ok && p.value(&p.annotations, v, "annotations", &e.Annotations)
		case fieldAuthenticationMetadata:
			ok = ok && p.value(&p.authentication, v, "authenticationMetadata", &e.AuthenticationMetadata)
		case fieldRequestObject:
			ok = ok && p.value(&p.request, v, "requestObject", &e.RequestObject)
		case fieldResponseObject:
			ok = ok && p.value(&p.response, v, "responseObject", &e.ResponseObject)
		}
	}
	if !ok {
		return errSyntax
	}
	return nil
}

// shortened returns the first annotations that are short: webhooks put whole
// patches into some.
func (p *Parser) shortened(annotations []byte) []byte {
	short := []byte{'{'}
	o := object{b: annotations, i: 1, depth: 1}
	for o.next(&p.scan) == scanned {
		if pair := o.b[o.at:o.i]; len(pair) <= maxShort && len(short)+len(pair) < MaxBody {
			if len(short) > 1 {
				short = append(short, ',')
			}
			short = append(short, pair...)
		}
	}
	return append(short, '}')
}

func (p *Parser) value(parser *fastjson.Parser, v []byte, name string, to **fastjson.Value) bool {
	if len(v) == 0 || v[0] == 'n' {
		return true
	}
	if len(v) > MaxBody {
		p.event.Omitted = append(p.event.Omitted, name)
		return true
	}
	var err error
	*to, err = parser.ParseBytes(v)
	return err == nil
}
