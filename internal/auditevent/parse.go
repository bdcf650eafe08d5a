package auditevent

import (
	"errors"

	"github.com/valyala/fastjson"
)

// Reasons why an item cannot become a record. They never quote the item.
var (
	errSyntax    = errors.New("item is not valid JSON")
	errShort     = errors.New("item ends in the middle of its JSON")
	errDeep      = errors.New("item is nested too deeply")
	errNoObject  = errors.New("item is not a JSON object")
	errKey       = errors.New("item has an escaped member name")
	errTwice     = errors.New("item has a member twice")
	errKind      = errors.New("item is not an audit.k8s.io/v1 Event")
	errType      = errors.New("item has a member of the wrong type")
	errAuditID   = errors.New("item has no auditID")
	errStage     = errors.New("item has no known stage")
	errTimestamp = errors.New("item has no valid stageTimestamp")
)

const (
	// keptMemory is the item size in bytes beyond which the parser's memory is
	// given back, since it grows to many times the size of the item.
	keptMemory = 64 << 10
	// keptStrings is the longest list whose memory is kept.
	keptStrings = 1024
	// maxShort is the size in bytes up to which annotations are decoded that
	// together are larger than MaxBody.
	maxShort = 4 << 10
)

// member is one of the members of an object: offsets into its bytes.
type member struct {
	field           field
	key, start, end int // the key's quote, the value, its end
}

// field is a member that has a meaning here.
type field uint8

const (
	fieldOther field = iota
	fieldKind
	fieldAPIVersion
	fieldLevel
	fieldAuditID
	fieldStage
	fieldRequestURI
	fieldVerb
	fieldUser
	fieldImpersonatedUser
	fieldSourceIPs
	fieldUserAgent
	fieldObjectRef
	fieldResponseStatus
	fieldRequestObject
	fieldResponseObject
	fieldRequestReceivedTimestamp
	fieldStageTimestamp
	fieldAnnotations
	fieldAuthenticationMetadata
	fieldOmitted
)

func fieldOf(key []byte) field {
	switch string(key) {
	case "kind":
		return fieldKind
	case "apiVersion":
		return fieldAPIVersion
	case "level":
		return fieldLevel
	case "auditID":
		return fieldAuditID
	case "stage":
		return fieldStage
	case "requestURI":
		return fieldRequestURI
	case "verb":
		return fieldVerb
	case "user":
		return fieldUser
	case "impersonatedUser":
		return fieldImpersonatedUser
	case "sourceIPs":
		return fieldSourceIPs
	case "userAgent":
		return fieldUserAgent
	case "objectRef":
		return fieldObjectRef
	case "responseStatus":
		return fieldResponseStatus
	case "requestObject":
		return fieldRequestObject
	case "responseObject":
		return fieldResponseObject
	case "requestReceivedTimestamp":
		return fieldRequestReceivedTimestamp
	case "stageTimestamp":
		return fieldStageTimestamp
	case "annotations":
		return fieldAnnotations
	case "authenticationMetadata":
		return fieldAuthenticationMetadata
	case omittedKey:
		return fieldOmitted
	}
	return fieldOther
}

// omittedKey is the member that intake adds to an event that was reduced.
const omittedKey = "trailOmitted"

// Parser parses events. It reuses its memory: an Event lives until the next
// call. It is not safe for concurrent use; the zero value is ready.
type Parser struct {
	event    Event
	scan     scanner
	mistyped bool   // a member has the wrong type
	foreign  bool   // kind or apiVersion is not that of an audit event
	minute   minute // of the event before
	unquoted []byte // what strings with escapes alias
	large    bool   // memory has grown and goes before the next item

	userExtra, impersonatedExtra, annotations, authentication, request, response fastjson.Parser
}

// Parse reads one item, as received or as intake stored it. It accepts every
// event that kube-apiserver writes, and refuses what cannot become a record.
func (p *Parser) Parse(item []byte) (*Event, error) {
	start := space(item, 0)
	end, r, err := p.head(item, start)
	if r != scanned {
		return nil, r.fault()
	}
	if err == nil && space(item, end) != len(item) {
		err = errSyntax
	}
	if err != nil {
		return nil, err
	}
	p.parts()
	return &p.event, nil
}

// head reads all but the parts of the item that begins at start. Unless r is
// scanned its end was not found. err says why an item that ends at end cannot
// become a record.
func (p *Parser) head(b []byte, start int) (end int, r result, err error) {
	p.reset()
	if start == len(b) {
		return start, short, nil
	}
	if b[start] != '{' {
		end, r = p.scan.value(b, start, 0)
		return end, r, errNoObject
	}
	if end, r, err = p.walk(b, start); r != scanned {
		return end, r, nil
	}
	p.large = end-start > keptMemory
	if err == nil {
		p.event.item, p.event.high = b[start:end], p.scan.high
		err = p.check()
	}
	return end, r, err
}

// walk reads the object that begins at start.
func (p *Parser) walk(b []byte, start int) (end int, r result, err error) {
	e := &p.event
	var seen uint32
	o := object{b: b, i: start + 1, depth: 1}
	for r = o.name(&p.scan); r == scanned; r = o.name(&p.scan) {
		f := fieldOf(o.key)
		if o.escaped {
			err = errKey
		}
		if f != fieldOther {
			if seen>>f&1 == 1 {
				err = errTwice
			}
			seen |= 1 << f
		}
		if r = p.member(f, &o); r != scanned {
			break
		}
		e.members = append(e.members, member{f, o.at - start, o.start - start, o.i - start})
	}
	if r == ended {
		r = scanned
	}
	if p.mistyped && err == nil {
		err = errType
	}
	return o.i, r, err
}

// reset forgets the event before, and the memory that a large one took.
func (p *Parser) reset() {
	e := &p.event
	if p.large {
		*p = Parser{}
		return
	}
	*e = Event{
		User:             User{Groups: kept(e.User.Groups)},
		ImpersonatedUser: User{Groups: kept(e.ImpersonatedUser.Groups)},
		SourceIPs:        kept(e.SourceIPs),
		Omitted:          kept(e.Omitted),
		members:          e.members[:0],
		encoded:          e.encoded[:0],
	}
	p.unquoted = p.unquoted[:0]
	p.scan.high, p.mistyped, p.foreign = false, false, false
}

func kept(list []string) []string {
	if cap(list) > keptStrings {
		return nil
	}
	return list[:0]
}

func (r result) fault() error {
	switch r {
	case short:
		return errShort
	case deep:
		return errDeep
	}
	return errSyntax
}
