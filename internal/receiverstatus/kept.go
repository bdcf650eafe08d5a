package receiverstatus

import "time"

// Paths of what the receiver keeps though it is in no bucket. They are served
// like the others: to the manager's certificate only, which who installs the
// operator can read. Nothing here is of one namespace alone.
//
//	GET  /v1/kept?kind=&trail=&limit=&continue=  → KeptList
//	GET  /v1/kept/{id}                           → Kept, with Copy
//	GET  /v1/kept/{id}/content                   → the bytes of an expired or abandoned file
//	POST /v1/replay     ← KeptIDs → KeptOutcomes
//	POST /v1/redeliver  ← KeptIDs → KeptOutcomes
const (
	PathKept      = "/v1/kept"
	PathReplay    = "/v1/replay"
	PathRedeliver = "/v1/redeliver"
)

// Kinds of what is kept, in the order in which they are listed.
const (
	// KeptAbandoned is a file of a trail that is gone.
	KeptAbandoned = "abandoned"
	// KeptChunk is what the spool could not read back.
	KeptChunk = "chunk"
	// KeptExpired is a log file that a trail gave up over its quota.
	KeptExpired = "expired"
	// KeptFile is a file of a trail that the volume has damaged.
	KeptFile = "file"
	// KeptItem is an item of a POST that could not become a record.
	KeptItem = "item"
)

// KeptKinds are all of them.
var KeptKinds = [...]string{KeptAbandoned, KeptChunk, KeptExpired, KeptFile, KeptItem}

// Bounds of the API.
const (
	// MaxKeptPage is the most of one KeptList, and what it holds unless less is
	// asked for.
	MaxKeptPage = 500
	// MaxKeptIDs is the most IDs of one request.
	MaxKeptIDs = 500
)

// KeptList is one page, ordered by kind and, in each, by trail and age.
type KeptList struct {
	Items []Kept `json:"items"`
	// Continue is given back for the next page; empty on the last.
	Continue string `json:"continue,omitempty"`
}

// Kept is one thing that is kept.
type Kept struct {
	ID   string    `json:"id"`
	Kind string    `json:"kind"`
	Time time.Time `json:"time"` // since when
	// Source is <cluster>/<API server> of an item, Trail the UID of the trail of
	// a file.
	Source string `json:"source,omitempty"`
	Trail  string `json:"trail,omitempty"`
	// TrailName is that of a trail that is gone, where it is known.
	TrailName string `json:"trailName,omitempty"`
	Reason    string `json:"reason"`
	// Bytes are those of the item or the file. SHA256 is theirs, hex; empty when
	// it is not known.
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256,omitempty"`
	// Until is when it goes at the latest; nil when only space decides.
	Until *time.Time `json:"until,omitempty"`

	// Replayable is true of an item of which the whole is kept. Replayed is when
	// it became a record after all.
	Replayable bool       `json:"replayable,omitempty"`
	Replayed   *time.Time `json:"replayed,omitempty"`
	// Copy is the beginning of an item with all its values masked. It is not
	// in lists.
	Copy string `json:"copy,omitempty"`

	// Of a file: its key, its records, and the times of their events.
	Key     string     `json:"key,omitempty"`
	Records int64      `json:"records,omitempty"`
	Oldest  *time.Time `json:"oldest,omitempty"`
	Newest  *time.Time `json:"newest,omitempty"`
	// Asked is when its delivery was asked for, which is still to come.
	Asked *time.Time `json:"asked,omitempty"`
}

// KeptIDs names what a request is for.
type KeptIDs struct {
	IDs []string `json:"ids"`
}

// Outcomes of a replay.
const (
	// ReplayedNow: the item is recorded, or was skipped for its stage.
	ReplayedNow = "replayed"
	// ReplayedBefore: nothing was done.
	ReplayedBefore = "already replayed"
	// KeptRefused: it still cannot become a record, or cannot be delivered.
	KeptRefused = "refused"
	// KeptGone: there is no such thing, or no more.
	KeptGone = "gone"
	// DeliveryAsked: the trail delivers the file as soon as it can.
	DeliveryAsked = "asked"
)

// KeptOutcome says what became of one of a request.
type KeptOutcome struct {
	ID string `json:"id"`
	// Outcome is one of the constants; Reason explains a refusal.
	Outcome string `json:"outcome"`
	Reason  string `json:"reason,omitempty"`
	// Records that came or come of it.
	Records int64 `json:"records,omitempty"`
}

// KeptOutcomes are in the order of the request.
type KeptOutcomes struct {
	Items []KeptOutcome `json:"items"`
}

// KeptStatus counts what is kept.
type KeptStatus struct {
	Items     int   `json:"items"`     // in quarantine
	ItemBytes int64 `json:"itemBytes"` // that they take on the volume
	// Replayable of the items are kept as a whole and not replayed yet.
	Replayable     int   `json:"replayable"`
	AbandonedFiles int   `json:"abandonedFiles"`
	AbandonedBytes int64 `json:"abandonedBytes"`
	ExpiredFiles   int   `json:"expiredFiles"`
	ExpiredBytes   int64 `json:"expiredBytes"`
	// Damaged are chunks and files together.
	Damaged      int   `json:"damaged"`
	DamagedBytes int64 `json:"damagedBytes"`
	// Removed counts, since the start of the receiver, the files that had to go:
	// expired, abandoned and damaged.
	Removed map[string]int64 `json:"removed,omitempty"`
}
