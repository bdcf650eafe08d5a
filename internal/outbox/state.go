// Package outbox holds what a trail has to deliver: log files that are built
// once on the receiver's volume, and the state documents that say which of
// them are pending, delivered, or waiting for a digest. A file's bytes and its
// key never change once its entry is committed.
package outbox

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/trail-operator/trail-operator/api/v1alpha1"
	"github.com/trail-operator/trail-operator/internal/receiverconfig"
	"github.com/trail-operator/trail-operator/internal/record"
	"github.com/trail-operator/trail-operator/internal/spool"
)

// Entry is one file that has to be in the bucket: a log file or a digest.
type Entry struct {
	Seq  uint64 `json:"seq"`
	Key  string `json:"key"`
	File string `json:"file"` // base name in the trail's folder
	// SHA256 is that of the bytes as sent, RawSHA256 of the uncompressed ones; hex.
	SHA256    string `json:"sha256"`
	RawSHA256 string `json:"rawSHA256"`
	Size      int64  `json:"size"` // as sent
	Count     int64  `json:"count"`
	// Oldest and Newest are event times.
	Oldest time.Time `json:"oldest"`
	Newest time.Time `json:"newest"`
	// Generation of the trail and version of the mapping that made the file.
	Generation     int64     `json:"generation"`
	MappingVersion int       `json:"mappingVersion"`
	Closed         time.Time `json:"closed"`
	// Metadata and Head are set for digests.
	Metadata map[string]string `json:"metadata,omitempty"`
	Head     *record.Head      `json:"head,omitempty"`
	// Retention is the longest one of the log files that a digest lists: it is
	// kept at least as long.
	Retention Retention `json:"retention,omitzero"`
	// Redelivered: the file had expired before, and is counted as such until it
	// is delivered.
	Redelivered bool `json:"redelivered,omitempty"`
}

// Undigested is a delivered log file that no digest in the bucket lists yet.
type Undigested struct {
	Seq       uint64               `json:"seq"`
	File      record.DigestLogFile `json:"file"`
	Delivered time.Time            `json:"delivered"`
	// Retention is what was asked for the file.
	Retention Retention `json:"retention,omitzero"`
	// Digest is the number of the digest that lists the file but is not in the
	// bucket yet, counted from 1; 0 = none.
	Digest uint64 `json:"digest,omitempty"`
}

// Retention keeps an object in the bucket from being deleted; zero = none.
type Retention struct {
	Mode  string    `json:"mode"` // as in receiverconfig
	Until time.Time `json:"until"`
}

// Longer returns what protects at least as well as both.
func (r Retention) Longer(other Retention) Retention {
	if r.Mode == "" || other.Mode == receiverconfig.RetentionCompliance {
		r.Mode = other.Mode
	}
	if other.Until.After(r.Until) {
		r.Until = other.Until
	}
	return r
}

// Cursor is how far a trail has come in the spool. It is written together with
// the entry of the file that ends there, by the pipeline only.
// Accepted = SelectedOut + Filed.
type Cursor struct {
	Position    spool.Position `json:"position"`
	Accepted    int64          `json:"accepted"`
	SelectedOut int64          `json:"selectedOut"`
	Filed       int64          `json:"filed"`
	NextSeq     uint64         `json:"nextSeq"`
}

// Generation is one configuration of a trail and the position behind which it
// holds: events up to Start belong to the generation before.
type Generation struct {
	// Ordinal counts the generations of this receiver; Number is the
	// metadata.generation of the Trail object.
	Ordinal    int64                   `json:"ordinal"`
	Number     int64                   `json:"number"`
	Start      spool.Position          `json:"start"`
	Namespace  string                  `json:"namespace,omitempty"`
	Suspended  bool                    `json:"suspended,omitempty"`
	Deleting   bool                    `json:"deleting,omitempty"`
	Selection  v1alpha1.EventSelection `json:"selection"`
	Validation bool                    `json:"validation"`
	MaxAge     time.Duration           `json:"maxAge"`
	MaxSize    int64                   `json:"maxSize"` // bytes before compression
}

// Delivery is what has happened outside: written by the trail's deliverer only.
type Delivery struct {
	Delivered int64 `json:"delivered"` // records
	Expired   int64 `json:"expired"`   // records
	Damaged   int64 `json:"damaged"`   // records of files that the volume lost
	// Redelivered are the records that had expired and are not lost any more, or
	// not for that reason.
	Redelivered int64 `json:"redelivered,omitempty"`
	Bytes       int64 `json:"bytes"`
	// LastLoss is when Expired or Damaged last grew.
	LastLoss *time.Time `json:"lastLoss,omitempty"`
	// Hours holds the bytes of each of the last 24 hours, by hour since 1970.
	Hours        map[int64]int64  `json:"hours,omitempty"`
	LastDelivery *time.Time       `json:"lastDelivery,omitempty"`
	LastObject   string           `json:"lastObject,omitempty"`
	LastDigest   *time.Time       `json:"lastDigest,omitempty"`
	Head         *record.Head     `json:"head,omitempty"`
	Chain        *Chain           `json:"chain,omitempty"`
	LastChain    *record.ChainEnd `json:"lastChain,omitempty"`
	Digests      uint64           `json:"digests"` // built so far; numbers them from 1
}

// Chain is the digest chain that is being written.
type Chain struct {
	ID    string    `json:"id"`
	Start time.Time `json:"start"`
	// End is the end of the last window, or the start of the chain.
	End time.Time `json:"end"`
	// Final is set when the last digest has been built.
	Final    bool  `json:"final,omitempty"`
	Sequence int64 `json:"sequence"` // of the last digest; 0 = none yet
	// Bucket, Object, HashValue and Signature are those of the last digest.
	Bucket        string           `json:"bucket,omitempty"`
	Object        string           `json:"object,omitempty"`
	HashValue     string           `json:"hashValue,omitempty"`
	Signature     string           `json:"signature,omitempty"`
	PreviousChain *record.ChainEnd `json:"previousChain,omitempty"`
	// Resolved is set once the chain before, if any, has been looked for.
	Resolved bool `json:"resolved,omitempty"`
	// Taken is an end of a window whose key belongs to a foreign object.
	Taken *time.Time `json:"taken,omitempty"`
}

// Keys of the documents of one trail.
type Keys struct{ prefix string }

// KeysOf returns the document keys of the trail with this UID.
func KeysOf(uid string) Keys { return Keys{"trail/" + uid + "/"} }

// All is the prefix of every document of the trail.
func (k Keys) All() string { return k.prefix }

// Cursor is the key of the Cursor.
func (k Keys) Cursor() string { return k.prefix + "cursor" }

// Generations is the key of the []Generation.
func (k Keys) Generations() string { return k.prefix + "generations" }

// Delivery is the key of the Delivery.
func (k Keys) Delivery() string { return k.prefix + "delivery" }

// Logs is the prefix of the entries of log files.
func (k Keys) Logs() string { return k.prefix + "log/" }

// Log is the key of the entry of one log file.
func (k Keys) Log(seq uint64) string { return fmt.Sprintf("%slog/%016x", k.prefix, seq) }

// Digests is the prefix of the entries of digests.
func (k Keys) Digests() string { return k.prefix + "digest/" }

// Digest is the key of the entry of one digest.
func (k Keys) Digest(seq uint64) string { return fmt.Sprintf("%sdigest/%016x", k.prefix, seq) }

// AllUndigested is the prefix of the Undigested documents.
func (k Keys) AllUndigested() string { return k.prefix + "undigested/" }

// Undigested is the key of one Undigested document.
func (k Keys) Undigested(seq uint64) string { return fmt.Sprintf("%sundigested/%016x", k.prefix, seq) }

// Abandoned is the key of the Abandoned document of a trail that left the
// configuration with files still pending.
func (k Keys) Abandoned() string { return k.prefix + "abandoned" }

// Load reads one document into v and reports whether there is one.
func Load(s spool.Spool, key string, v any) (bool, error) {
	b, err := s.Get(key)
	if err != nil || b == nil {
		return false, err
	}
	if err := json.Unmarshal(b, v); err != nil {
		return false, fmt.Errorf("state document %s is damaged: %w", key, err)
	}
	return true, nil
}

// List reads all documents under prefix in key order.
func List[T any](s spool.Spool, prefix string) ([]T, error) {
	var list []T
	err := s.Scan(prefix, func(key string, value []byte) error {
		var v T
		if err := json.Unmarshal(value, &v); err != nil {
			return fmt.Errorf("state document %s is damaged: %w", key, err)
		}
		list = append(list, v)
		return nil
	})
	return list, err
}
