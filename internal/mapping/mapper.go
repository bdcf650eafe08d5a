// Package mapping turns audit events into CloudTrail records. It is pure: what
// it writes depends on the event and the configuration alone.
package mapping

import (
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/valyala/fastjson"

	"github.com/trail-operator/trail-operator/internal/auditevent"
	"github.com/trail-operator/trail-operator/internal/receiverconfig"
	"github.com/trail-operator/trail-operator/internal/record"
)

// Version is the version of the mapping, noted with every log file. It rises
// when the same event gives another record.
const Version = 2

// MaxRecord bounds a record, in bytes of JSON. What is left out to keep it is
// shown in the record.
const MaxRecord = 256 << 10

// Bounds of the parts of a record, as CloudTrail has them, in bytes.
const (
	maxText       = 1 << 10   // userAgent, errorCode, errorMessage, requestID and all names
	maxBody       = 100 << 10 // requestParameters, responseElements, serviceEventDetails
	maxAdditional = 28 << 10  // additionalEventData
)

// Config is the part of the receiver's configuration on which records depend.
type Config struct {
	Installation receiverconfig.Installation
	// TrustedProxies are the CIDRs of proxies in front of the API servers, whose
	// X-Forwarded-For entries are believed.
	TrustedProxies []string
	// Kinds names the kinds that are not Kubernetes' own.
	Kinds receiverconfig.Kinds
}

// Source says how an event came to us.
type Source struct {
	// Cluster is part of the event key.
	Cluster string
	// APIServer is the name of the API server that wrote the event.
	APIServer string
	// Via is the way it took: "webhook".
	Via string
	// Replayed: the event was in quarantine before.
	Replayed bool
}

// Mapper makes records. It reuses its buffers: give each goroutine its own.
type Mapper struct {
	installation receiverconfig.Installation
	proxies      []netip.Prefix
	kinds        map[groupResource]string
	calls        map[callKey]*call

	// region and account are the ends of all records of the installation.
	region, account string

	second     int64 // of the last eventTime
	secondText []byte

	userARN, resourceARN []byte // what Facts alias
	options              []option
	decoded              []byte // the unescaped query
	nested               []byte
	extra                []byte          // the rest of user.extra
	parser               fastjson.Parser // of JSON inside strings
}

// New returns a mapper, or an error that names the proxy it cannot read.
func New(c Config) (*Mapper, error) {
	m := &Mapper{
		installation: c.Installation,
		kinds:        make(map[groupResource]string, len(c.Kinds.List)),
		calls:        map[callKey]*call{},
		second:       -1 << 63,
		region:       `,"awsRegion":` + string(appendString(nil, c.Installation.Region)),
		account:      string(appendString(nil, c.Installation.Account)),
	}
	for _, s := range c.TrustedProxies {
		p, err := netip.ParsePrefix(s)
		if err != nil {
			return nil, fmt.Errorf("trusted proxy %q is not a CIDR such as 10.0.0.0/8", s)
		}
		m.proxies = append(m.proxies, p.Masked())
	}
	for _, k := range c.Kinds.List {
		if kind := strings.Map(nameRune, cut(k.Kind, maxNamePart)); kind != "" {
			m.kinds[groupResource{k.Group, k.Resource}] = kind
		}
	}
	return m, nil
}

// Append appends the record of e to dst, as JSON on one line, and fills f. It
// never fails: what cannot be shown is left out visibly. The strings of f live
// until the next call or the next event of e's parser.
func (m *Mapper) Append(dst []byte, e *auditevent.Event, src Source, f *record.Facts) []byte {
	c := m.call(e)
	start := len(dst)
	dst = m.append(dst, e, c, src, f, true)
	if len(dst)-start > MaxRecord {
		// All but the answer is at most 100 KB of parameters, 28 KB of additional
		// data, and 17 texts of 1 KB which escapes can make six times as long.
		dst = m.append(dst[:start], e, c, src, f, false)
	}
	return dst
}

func (m *Mapper) append(dst []byte, e *auditevent.Event, c *call, src Source, f *record.Facts, answer bool) []byte {
	who := identify(e)
	m.userARN = m.appendUserARN(m.userARN[:0], &who)
	failure := failureOf(e, c)
	eventTime := m.eventTime(e.Time)

	dst = append(dst, `{"eventVersion":"`+record.EventVersion+`","userIdentity":`...)
	dst = m.appendIdentity(dst, &who)
	dst = append(dst, `,"eventTime":"`...)
	dst = append(dst, eventTime...)
	dst = append(dst, c.head...)
	dst = appendString(dst, m.sourceIP(e.SourceIPs))
	dst = appendField(dst, `"userAgent":`, bounded(e.UserAgent, maxText))
	dst = appendField(dst, `"errorCode":`, bounded(failure.code, maxText))
	dst = appendField(dst, `"errorMessage":`, bounded(failure.message, maxText))
	readOnly := c.readOnly && !runsCommand(e, c)
	dst = append(dst, `,"requestParameters":`...)
	dst = m.appendRequest(dst, e, c)
	dst = append(dst, `,"responseElements":`...)
	dst = m.appendResponse(dst, e, c, readOnly, answer)
	dst = append(dst, `,"additionalEventData":`...)
	dst = m.appendAdditional(dst, e, &who, c, src, failure)
	dst = appendField(dst, `"requestID":`, bounded(e.AuditID, maxText))
	dst = append(dst, `,"eventID":"`...)
	key := e.Key(src.Cluster)
	dst = appendUUID(dst, key[:])
	dst = append(dst, `","readOnly":`...)
	dst = appendBool(dst, readOnly)

	*f = record.Facts{
		Category: record.CategoryManagement, ReadOnly: readOnly,
		EventName: c.eventName, EventSource: c.eventSource, EventType: record.TypeAPICall,
		UserARN: alias(m.userARN), EventTime: m.second, Resources: f.Resources[:0],
	}
	if who.kind == awsService {
		f.EventType = record.TypeServiceEvent
	}
	if c.data {
		f.Category = record.CategoryData
	}
	if c.resource != "" {
		f.Namespace = e.ObjectRef.Namespace
		m.resourceARN = m.appendResourceARN(m.resourceARN[:0], e, c)
		f.Resources = append(f.Resources, record.FactResource{Type: c.resourceType, ARN: alias(m.resourceARN)})
	}
	apiVersion := ""
	if e.HasObjectRef {
		apiVersion = bounded(e.ObjectRef.APIVersion, maxText)
	}
	return m.appendEnd(dst, f, apiVersion, nil)
}

// appendEnd appends what follows readOnly in every record.
func (m *Mapper) appendEnd(dst []byte, f *record.Facts, apiVersion string, details []byte) []byte {
	for i, r := range f.Resources {
		if i == 0 {
			dst = append(dst, `,"resources":[`...)
		} else {
			dst = append(dst, ',')
		}
		dst = append(dst, `{"ARN":`...)
		dst = appendString(dst, r.ARN)
		dst = append(dst, `,"accountId":`...)
		dst = append(dst, m.account...)
		dst = append(dst, `,"type":`...)
		dst = appendString(dst, r.Type)
		dst = append(dst, '}')
	}
	if len(f.Resources) > 0 {
		dst = append(dst, ']')
	}
	dst = append(dst, `,"eventType":"`...)
	dst = append(dst, f.EventType...)
	dst = append(dst, '"')
	dst = appendField(dst, `"apiVersion":`, apiVersion)
	dst = append(dst, `,"managementEvent":`...)
	dst = appendBool(dst, f.Category == record.CategoryManagement)
	dst = append(dst, `,"recipientAccountId":`...)
	dst = append(dst, m.account...)
	if len(details) > 0 {
		dst = append(dst, `,"serviceEventDetails":`...)
		dst = append(dst, details...)
	}
	dst = append(dst, `,"eventCategory":"`...)
	dst = append(dst, f.Category...)
	return append(dst, `"}`...)
}

// eventTime returns t in whole seconds and remembers them in m.second. Most
// events share their second with the one before.
func (m *Mapper) eventTime(t time.Time) []byte {
	t = t.UTC()
	if y := t.Year(); y < 0 || y > 9999 {
		t = time.Unix(0, 0).UTC() // the zone carried it over the edge of the format
	}
	if s := t.Unix(); s != m.second {
		m.second = s
		m.secondText = t.AppendFormat(m.secondText[:0], record.TimeFormat)
	}
	return m.secondText
}

func appendBool(dst []byte, b bool) []byte {
	if b {
		return append(dst, "true"...)
	}
	return append(dst, "false"...)
}
