package record

import (
	"encoding/json"
	"time"
)

// Names of the events of our own. They are delivered like any other record, as
// type AwsServiceEvent from OwnEventSource.
const (
	OwnEventSource = "cloudtrail.trail-operator.io"

	EventCreateTrail        = "CreateTrail"
	EventUpdateTrail        = "UpdateTrail"
	EventDeleteTrail        = "DeleteTrail"
	EventStartLogging       = "StartLogging"
	EventStopLogging        = "StopLogging"
	EventPutEventSelectors  = "PutEventSelectors"
	EventEventQuarantined   = "EventQuarantined"
	EventEventsLost         = "EventsLost"
	EventEventsPossiblyLost = "EventsPossiblyLost"
	EventEventsRedelivered  = "EventsRedelivered"
	EventDamagedDataRemoved = "DamagedDataRemoved"
	EventObjectConflict     = "ObjectConflict"
	EventValidationFailed   = "ValidationFailed"
)

// OwnEvent is something that this installation itself has to record: a change
// of a trail, a loss, a quarantine. It travels through the spool like an audit
// event and becomes a record of type AwsServiceEvent.
type OwnEvent struct {
	// ID makes the event idempotent: the eventID of its record follows from it.
	ID   string    `json:"id"`
	Name string    `json:"name"`
	Time time.Time `json:"time"`
	// Trails are the UIDs of the trails that receive it; empty = every trail.
	Trails []string `json:"trails,omitempty"`
	// TrailARN is the trail it speaks of, if it speaks of one.
	TrailARN string `json:"trailARN,omitempty"`
	// Details become serviceEventDetails.
	Details json.RawMessage `json:"details,omitempty"`
}
