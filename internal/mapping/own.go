package mapping

import (
	"encoding/json"
	"strings"

	"github.com/trail-operator/trail-operator/internal/record"
)

// AppendOwn appends the record of an event of this installation itself and
// fills f, as Append does.
func (m *Mapper) AppendOwn(dst []byte, e *record.OwnEvent, f *record.Facts) []byte {
	eventTime := m.eventTime(e.Time)
	*f = record.Facts{
		Category: record.CategoryManagement, EventName: e.Name, EventSource: record.OwnEventSource,
		EventType: record.TypeServiceEvent, EventTime: m.second, Resources: f.Resources[:0], Trails: e.Trails,
	}
	if e.TrailARN != "" {
		f.Resources = append(f.Resources, record.FactResource{Type: trailType(e.TrailARN), ARN: cut(e.TrailARN, maxText)})
	}
	dst = append(dst, `{"eventVersion":"`+record.EventVersion+`","userIdentity":{"type":"`+awsService+`","accountId":`...)
	dst = append(dst, m.account...)
	dst = append(dst, `,"invokedBy":"`+record.OwnEventSource+`"},"eventTime":"`...)
	dst = append(dst, eventTime...)
	dst = append(dst, `","eventSource":"`+record.OwnEventSource+`","eventName":`...)
	dst = appendString(dst, bounded(e.Name, maxText))
	dst = append(dst, m.region...)
	dst = append(dst, `,"sourceIPAddress":"`+record.OwnEventSource+`","requestParameters":null,"responseElements":null,"eventID":"`...)
	dst = appendUUID(dst, []byte("own/"+e.ID))
	dst = append(dst, `","readOnly":false`...)
	return m.appendEnd(dst, f, "", m.ownDetails(e.Details))
}

// ownDetails returns serviceEventDetails: an object, or nothing.
func (m *Mapper) ownDetails(details []byte) []byte {
	if len(details) == 0 {
		return nil
	}
	omission := func(reason string) []byte {
		return append(appendOmission([]byte{'{'}, reason, len(details)), '}')
	}
	if len(details) > maxBody {
		return omission(reasonSize)
	}
	if !json.Valid(details) {
		return omission(reasonUnread)
	}
	v, err := m.parser.ParseBytes(details)
	if err != nil || v.GetObject() == nil {
		return omission(reasonUnread)
	}
	if m.nested = appendBody(m.nested[:0], v, policyOpen); len(m.nested) > maxBody {
		return omission(reasonSize)
	}
	return m.nested
}

// trailType returns the resource type of a trail: only that of a Trail has a dot
// in its name.
func trailType(arn string) string {
	_, name, _ := strings.Cut(arn, ":trail/")
	kind := "OrganizationTrail"
	if strings.Contains(name, ".") {
		kind = "Trail"
	}
	return "K8S::trail-operator.io::" + kind
}
