package verify

import (
	"cmp"
	"fmt"
	"slices"
	"sync"
	"time"
)

// Result is what a run found out. It is the JSON that -o json prints.
type Result struct {
	TrailARN string `json:"trailARN"`
	Bucket   string `json:"bucket"`
	// Start and End are what the valid digests cover.
	Start time.Time `json:"startTime"`
	End   time.Time `json:"endTime"`
	Valid bool      `json:"valid"`
	// KeySource says where the public keys came from, KeysPinned whether
	// anything outside the bucket vouches for them.
	KeySource  string `json:"keySource"`
	KeysPinned bool   `json:"keysPinned"`
	// HeadChecked is true when missing newest digests would have been noticed.
	HeadChecked bool `json:"headChecked"`
	// Digests count what was found in the bucket, LogFiles what valid digests list.
	Digests  Count `json:"digests"`
	LogFiles Count `json:"logFiles"`
	// Undigested are log files that are too new to be in one of the digests.
	Undigested int `json:"undigestedLogFiles"`
	// Gaps are times between two chains, in which the trail did not record.
	Gaps  []Gap    `json:"gaps,omitempty"`
	Notes []string `json:"notes,omitempty"`
	// Findings are what makes a trail invalid, ordered by key. At most 10,000
	// are kept; FindingsOmitted counts the others.
	Findings        []Finding `json:"findings,omitempty"`
	FindingsOmitted int       `json:"findingsOmitted,omitempty"`
	// Notices are objects that are missing or cannot be read for a good reason,
	// as many as findings.
	Notices        []Finding `json:"notices,omitempty"`
	NoticesOmitted int       `json:"noticesOmitted,omitempty"`
}

// Count tells how many of the objects are valid, or cannot be validated for a
// good reason.
type Count struct {
	Total int `json:"total"`
	Valid int `json:"valid"`
	// Expired are gone, as the lifecycle rules say that a digest lists.
	Expired int `json:"expired,omitempty"`
	// Archived are there, and must be restored before they can be read.
	Archived int `json:"archived,omitempty"`
}

// Gap lies between the last digest of one chain and the first of the next.
type Gap struct {
	From time.Time `json:"from"`
	To   time.Time `json:"to"`
	// Closed is true when the chain before was ended on purpose, by a final digest.
	Closed bool `json:"closed"`
}

// Sources of public keys.
const (
	KeysFromBucket = "bucket"
	KeysGiven      = "given"
)

// Kind classifies a finding.
type Kind string

// Kinds of findings.
const (
	DigestMissing     Kind = "DigestMissing"     // others, or the head, say that it must exist
	DigestInvalid     Kind = "DigestInvalid"     // cannot be read as a digest
	DigestMoved       Kind = "DigestMoved"       // names another place as its own
	DigestForeign     Kind = "DigestForeign"     // lies among the digests, and has not the name of one of the trail
	DigestSignature   Kind = "DigestSignature"   // is not signed by the key it names
	KeyUnknown        Kind = "KeyUnknown"        // the key that a digest names is not known
	KeyUntrusted      Kind = "KeyUntrusted"      // nothing ties the key to the trusted one
	KeyRetired        Kind = "KeyRetired"        // an older digest is signed with a successor of the key
	KeyInvalid        Kind = "KeyInvalid"        // a published key does not describe itself
	ChainBroken       Kind = "ChainBroken"       // two neighbors contradict each other
	ChainCut          Kind = "ChainCut"          // a chain starts anew without naming the one before
	HeadMismatch      Kind = "HeadMismatch"      // the digest is not the one that the head names
	LogFileMissing    Kind = "LogFileMissing"    // a digest lists it
	LogFileInvalid    Kind = "LogFileInvalid"    // is not what its digest lists
	LogFileUnreadable Kind = "LogFileUnreadable" // is archived, and no rule says so
	LogFileDuplicate  Kind = "LogFileDuplicate"  // is listed more than once
	LogFileUnlisted   Kind = "LogFileUnlisted"   // lies among the log files, and no valid digest lists it
	LogFileElsewhere  Kind = "LogFileElsewhere"  // a digest places it in another bucket
)

// Kinds of notices.
const (
	DigestExpired   Kind = "DigestExpired"
	LogFileExpired  Kind = "LogFileExpired"
	LogFileArchived Kind = "LogFileArchived"
)

// Finding is one thing that is wrong, or worth a notice.
type Finding struct {
	Kind    Kind   `json:"kind"`
	Key     string `json:"key"`
	Message string `json:"message"`
}

func (f Finding) compare(g Finding) int {
	return cmp.Or(cmp.Compare(f.Key, g.Key), cmp.Compare(f.Kind, g.Kind), cmp.Compare(f.Message, g.Message))
}

// maxFindings bounds the findings that are kept; a variable for tests only.
var maxFindings = 10_000

// findings collects findings in bounded memory. Which ones are kept does not
// depend on the order in which they arrive: the smallest are.
type findings struct {
	mu      sync.Mutex
	list    []Finding
	omitted int
}

func (f *findings) add(kind Kind, key, format string, args ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.list = append(f.list, Finding{kind, key, fmt.Sprintf(format, args...)})
	if len(f.list) >= 2*maxFindings {
		f.compact()
	}
}

// compact sorts, leaves one finding of a kind for a key, and cuts off the rest.
func (f *findings) compact() {
	slices.SortFunc(f.list, Finding.compare)
	f.list = slices.CompactFunc(f.list, func(a, b Finding) bool { return a.Kind == b.Kind && a.Key == b.Key })
	if extra := len(f.list) - maxFindings; extra > 0 {
		f.omitted += extra
		f.list = slices.Clip(f.list[:maxFindings])
	}
}

func (f *findings) sorted() ([]Finding, int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.compact()
	return f.list, f.omitted
}
