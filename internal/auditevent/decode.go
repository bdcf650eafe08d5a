package auditevent

import (
	"strconv"

	"github.com/valyala/fastjson"
)

// check says whether the members make a record.
func (p *Parser) check() error {
	e := &p.event
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
	if p.foreign {
		return errKind
	}
	var ok bool
	if e.Time, ok = p.minute.time(e.StageTimestamp); !ok {
		return errTimestamp
	}
	return nil
}

// member decodes the value that o has found.
func (p *Parser) member(f field, o *object) result {
	e := &p.event
	switch f {
	case fieldKind:
		return p.exactly(o, `"Event"`)
	case fieldAPIVersion:
		return p.exactly(o, `"audit.k8s.io/v1"`)
	case fieldLevel:
		return p.text(o, &e.Level)
	case fieldAuditID:
		return p.text(o, &e.AuditID)
	case fieldStage:
		return p.text(o, &e.Stage)
	case fieldRequestURI:
		return p.text(o, &e.RequestURI)
	case fieldVerb:
		return p.text(o, &e.Verb)
	case fieldUserAgent:
		return p.text(o, &e.UserAgent)
	case fieldRequestReceivedTimestamp:
		return p.text(o, &e.RequestReceivedTimestamp)
	case fieldStageTimestamp:
		return p.text(o, &e.StageTimestamp)
	case fieldUser:
		return p.user(o, &e.User)
	case fieldImpersonatedUser:
		e.Impersonated = o.b[o.start] == '{'
		return p.user(o, &e.ImpersonatedUser)
	case fieldSourceIPs:
		return p.list(o, &e.SourceIPs)
	case fieldOmitted:
		return p.list(o, &e.Omitted)
	case fieldObjectRef:
		e.HasObjectRef = o.b[o.start] == '{'
		return p.objectRef(o)
	case fieldResponseStatus:
		return p.responseStatus(o)
	case fieldAnnotations, fieldAuthenticationMetadata:
		if o.b[o.start] != '{' {
			return p.null(o)
		}
	}
	return o.skip(&p.scan)
}

// exactly scans a value that audit events have, to the byte.
func (p *Parser) exactly(o *object, want string) result {
	r := o.skip(&p.scan)
	if r == scanned && string(o.b[o.start:o.i]) != want {
		p.foreign = true
	}
	return r
}

// null scans a value that is not of the type it should have. Null is the same
// as absent.
func (p *Parser) null(o *object) result {
	if o.b[o.start] != 'n' {
		p.mistyped = true
	}
	return o.skip(&p.scan)
}

// text decodes a string. One without escapes aliases the item.
func (p *Parser) text(o *object, to *string) result {
	if o.b[o.start] != '"' {
		return p.null(o)
	}
	end, escaped, r := p.scan.str(o.b, o.start+1)
	if r == scanned {
		o.i = end
		*to = p.string(o.b[o.start+1:end-1], escaped)
	}
	return r
}

func (p *Parser) string(content []byte, escaped bool) string {
	if !escaped {
		return alias(content)
	}
	n := len(p.unquoted)
	p.unquoted = appendUnescaped(p.unquoted, content)
	return alias(p.unquoted[n:])
}

// list decodes a list of strings.
func (p *Parser) list(o *object, to *[]string) result {
	b, i := o.b, o.start
	if b[i] != '[' {
		return p.null(o)
	}
	// All is scanned before it is decoded: a list of something else is no error
	// of syntax. These lists are short.
	if r := o.skip(&p.scan); r != scanned {
		return r
	}
	list := (*to)[:0]
	for i = space(b, i+1); b[i] != ']'; {
		if b[i] != '"' {
			p.mistyped = true
			return scanned
		}
		end, escaped, _ := p.scan.str(b, i+1)
		list = append(list, p.string(b[i+1:end-1], escaped))
		if i = space(b, end); b[i] == ',' {
			i = space(b, i+1)
		}
	}
	*to = list
	return scanned
}

// inner returns the members of the object that o has found.
func (o *object) inner() object {
	return object{b: o.b, i: o.start + 1, depth: o.depth + 1}
}

func (p *Parser) user(o *object, u *User) result {
	if o.b[o.start] != '{' {
		return p.null(o)
	}
	in := o.inner()
	r := in.name(&p.scan)
	for ; r == scanned; r = in.name(&p.scan) {
		switch string(in.key) {
		case "username":
			r = p.text(&in, &u.Username)
		case "uid":
			r = p.text(&in, &u.UID)
		case "groups":
			r = p.list(&in, &u.Groups)
		case "extra":
			if in.b[in.start] != '{' {
				r = p.null(&in)
				break
			}
			r = in.skip(&p.scan)
			u.extra = in.b[in.start:in.i]
		default:
			r = in.skip(&p.scan)
		}
		if r != scanned {
			return r
		}
	}
	return o.leave(&in, r)
}

// leave goes on behind an object that was read to its end.
func (o *object) leave(in *object, r result) result {
	if r == ended {
		o.i = in.i
		return scanned
	}
	return r
}

func (p *Parser) objectRef(o *object) result {
	if o.b[o.start] != '{' {
		return p.null(o)
	}
	ref := &p.event.ObjectRef
	in := o.inner()
	r := in.name(&p.scan)
	for ; r == scanned; r = in.name(&p.scan) {
		var to *string
		switch string(in.key) {
		case "resource":
			to = &ref.Resource
		case "subresource":
			to = &ref.Subresource
		case "namespace":
			to = &ref.Namespace
		case "name":
			to = &ref.Name
		case "uid":
			to = &ref.UID
		case "apiGroup":
			to = &ref.APIGroup
		case "apiVersion":
			to = &ref.APIVersion
		case "resourceVersion":
			to = &ref.ResourceVersion
		}
		if to != nil {
			r = p.text(&in, to)
		} else {
			r = in.skip(&p.scan)
		}
		if r != scanned {
			return r
		}
	}
	return o.leave(&in, r)
}

func (p *Parser) responseStatus(o *object) result {
	if o.b[o.start] != '{' {
		return p.null(o)
	}
	e := &p.event
	in := o.inner()
	r := in.name(&p.scan)
	for ; r == scanned; r = in.name(&p.scan) {
		switch string(in.key) {
		case "code":
			r = p.code(&in)
		case "status":
			r = p.text(&in, &e.Status)
		case "reason":
			r = p.text(&in, &e.Reason)
		case "message":
			r = p.text(&in, &e.Message)
		default:
			r = in.skip(&p.scan)
		}
		if r != scanned {
			return r
		}
	}
	return o.leave(&in, r)
}

func (p *Parser) code(o *object) result {
	r := o.skip(&p.scan)
	if v := o.b[o.start:o.i]; r == scanned && v[0] != 'n' {
		n, err := strconv.ParseInt(alias(v), 10, 32)
		p.event.Code = int(n)
		p.mistyped = p.mistyped || err != nil
	}
	return r
}

// parts finds the parts of the event that are kept as JSON.
func (p *Parser) parts() {
	e := &p.event
	e.User.Extra = p.part(&p.userExtra, e.User.extra, "user")
	e.ImpersonatedUser.Extra = p.part(&p.impersonatedExtra, e.ImpersonatedUser.extra, "impersonatedUser")
	for i := range e.members {
		m := &e.members[i]
		v := e.item[m.start:m.end]
		switch m.field {
		case fieldAnnotations:
			if len(v) > MaxBody {
				v = p.shortened(v)
				e.Omitted = append(e.Omitted, "annotations")
			}
			e.Annotations = p.part(&p.annotations, v, "annotations")
		case fieldAuthenticationMetadata:
			e.AuthenticationMetadata = p.part(&p.authentication, v, "authenticationMetadata")
		case fieldRequestObject:
			e.RequestObject = p.part(&p.request, v, "requestObject")
		case fieldResponseObject:
			e.ResponseObject = p.part(&p.response, v, "responseObject")
		}
	}
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

func (p *Parser) part(parser *fastjson.Parser, v []byte, name string) JSON {
	if len(v) == 0 || v[0] == 'n' {
		return JSON{}
	}
	if len(v) > MaxBody {
		p.event.Omitted = append(p.event.Omitted, name)
		return JSON{}
	}
	return JSON{raw: v, parser: parser}
}
