package outbox

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Expired is a log file that its trail has given up, and that is kept while
// nobody needs its room.
type Expired struct {
	Entry Entry     `json:"entry"`
	At    time.Time `json:"at"`
	// Asked is when somebody asked for it to be delivered after all.
	Asked *time.Time `json:"asked,omitempty"`
}

// AllExpired is the prefix of the Expired documents.
func (k Keys) AllExpired() string { return k.prefix + "expired/" }

// Expired is the key of one Expired document.
func (k Keys) Expired(seq uint64) string { return fmt.Sprintf("%sexpired/%016x", k.prefix, seq) }

// Abandoned says since when a trail is gone whose files are left.
type Abandoned struct {
	Since time.Time `json:"since"`
	// Name and ARN are those of the trail, where they are known.
	Name string `json:"name,omitempty"`
	ARN  string `json:"arn,omitempty"`
}

// ParseAbandoned reads the document. Before there were names in it, it was the
// number of seconds since 1970.
func ParseAbandoned(raw []byte) (a Abandoned, err error) {
	if at, err := strconv.ParseInt(string(raw), 10, 64); err == nil {
		return Abandoned{Since: time.Unix(at, 0).UTC()}, nil
	}
	if err := json.Unmarshal(raw, &a); err != nil {
		return Abandoned{}, fmt.Errorf("the note of an abandoned trail is damaged: %w", err)
	}
	return a, nil
}

// DamagedSuffix is added to the name of a file that the volume has damaged.
const DamagedSuffix = ".damaged"

// DamagedFiles is the prefix of the DamagedFile documents of all trails, which
// are in the order of time.
const DamagedFiles = "damaged/"

// DamagedFile is a file that the volume has damaged, and that is kept aside.
type DamagedFile struct {
	Trail string    `json:"trail"` // its UID
	File  string    `json:"file"`  // base name in the trail's folder, with DamagedSuffix
	At    time.Time `json:"at"`
	// Entry is what was known of the file; nil when it was found on the volume.
	Entry *Entry `json:"entry,omitempty"`
}

// Key is that of the document.
func (f *DamagedFile) Key() string {
	return fmt.Sprintf("%s%013d-%s-%s", DamagedFiles, f.At.UnixMilli(), f.Trail, strings.TrimSuffix(f.File, DamagedSuffix))
}
