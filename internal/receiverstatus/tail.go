package receiverstatus

import "time"

// Tail is one source that sends what stands in the audit log of an API server.
type Tail struct {
	Cluster   string `json:"cluster"`
	APIServer string `json:"apiServer"`
	// Source is a UUID: a tail that has lost its state gets another.
	Source string `json:"source"`
	// Sequence is that of the last POST of which all is stored.
	Sequence uint64    `json:"sequence"`
	LastPost time.Time `json:"lastPost"`
	// Newest is the time of the newest event of its last POST that had events, and
	// LagSeconds how long ago that was.
	Newest     *time.Time `json:"newest,omitempty"`
	LagSeconds int64      `json:"lagSeconds"`
	// Accepted and Duplicates count its events since the receiver was started that
	// became records, and those that were stored before.
	Accepted   int64 `json:"accepted"`
	Duplicates int64 `json:"duplicates"`
}

// MaxTails is how many tails are told, those of an API server one after the
// other, the one first that has posted last.
const MaxTails = 1000

// EventIndex is what the receiver knows of events that it has stored, so that
// what comes from a tail and from a webhook is recorded once.
type EventIndex struct {
	// Since is before all times of which it knows every event: older ones that a
	// tail sends may be recorded twice.
	Since time.Time `json:"since"`
	// Bytes that it takes on the volume, about, of QuotaBytes at most.
	Bytes      int64 `json:"bytes"`
	QuotaBytes int64 `json:"quotaBytes"`
}
