// Package spool is the durable log between intake and everything that reads
// events, together with the state documents that must move in step with it.
// Implementation: spool/pebble; spool/spooltest holds what each must do.
package spool

import (
	"context"
	"errors"
	"time"
)

// ErrFull is returned by Append when the volume has fallen below its reserve.
// The caller asks its client to come again later.
var ErrFull = errors.New("spool: volume is full")

// ErrConflict is returned by Commit when an expected document has changed.
var ErrConflict = errors.New("spool: state changed underneath")

// ErrClosed is returned by every call after Close, and by Wait and Read calls
// that Close has ended.
var ErrClosed = errors.New("spool: closed")

// Kind says what the items of a chunk are.
type Kind uint8

const (
	// KindAudit: audit.k8s.io/v1 events, redacted by intake.
	KindAudit Kind = 1
	// KindOwn: events of our own, as OwnEvent documents.
	KindOwn Kind = 2
	// KindReplayed: as KindAudit, out of quarantine. Quarantined counts the items
	// that are in it no more.
	KindReplayed Kind = 3
)

// ID identifies a chunk: a hash of its source and its bytes as received, by which
// it is recognized when it is sent again. Nobody outside can make two chunks
// with one ID.
type ID [32]byte

// Position is the place of a chunk in one spool, counted from 1. 0 stands
// before the first. Positions of different spools (see Spool.UUID) do not compare.
type Position uint64

// Chunk is the unit that is stored and read: at most about 4 MiB of items.
type Chunk struct {
	ID       ID
	Kind     Kind
	Source   string // <cluster>/<apiserver> of an audit chunk, and /tail behind it when it came from the audit log
	Received time.Time
	// Items is the number of items in Data. Data is their concatenation, each
	// preceded by its length as a uvarint (see AppendItem and Items).
	Items int
	Data  []byte
	// Skipped and Quarantined count the items of the same stretch of the body
	// that were left out of Data, so that accounts move with positions.
	Skipped, Quarantined int
	// Duplicates counts those that were left out because they had been stored
	// before in another chunk.
	Duplicates int
	// Events are noted in the index of events together with the chunk. They are
	// not read back.
	Events []EventKey
	// Attached is what the writer has already made of Data, for the reader. It is
	// handed over in memory alone: a chunk may always come without it.
	Attached Attached
}

// Attached is something attached to a chunk. Append takes it over. The first
// Read that comes to the chunk may pass it on, in the place of Data, to who has
// to release it then; in all other cases the spool releases it.
type Attached interface{ Release() }

// Appended tells what became of one chunk.
type Appended struct {
	Position  Position
	Duplicate bool // stored before, within the window; Position is the old one, or 0 if trimmed
}

// Spool is a durable log of chunks and a small durable key-value state.
// All methods are safe for concurrent use.
type Spool interface {
	// UUID is drawn when the volume is first used.
	UUID() string
	// Append returns when every chunk is durable: it survives kill -9 and
	// power loss. Either all chunks of a call are stored, together with ops,
	// or nothing is. Ops must not contain Expect. A call with chunks of KindOwn
	// only may use the reserve as Commit does.
	Append(ctx context.Context, chunks []Chunk, ops ...Op) ([]Appended, error)
	// Tail is the position up to which every chunk is durable.
	Tail() Position
	// Wait returns when Tail() > after or ctx is done.
	Wait(ctx context.Context, after Position) error
	// Read calls fn for each chunk after the given position up to Tail(), in
	// order, until fn returns an error, which Read returns. Each has either Data
	// or what is attached to it; who reads it again gets Data. A chunk that
	// cannot be read is passed as a *Damaged error through onDamage and kept
	// aside; reading goes on behind it. Each Read passes it again. Chunks that
	// were trimmed are passed over. Data is valid until fn returns.
	Read(ctx context.Context, after Position, fn func(Position, *Chunk) error, onDamage func(Damaged)) error
	// Trim allows the spool to delete chunks up to and including upTo, which
	// readers see no more. Space returns within seconds. A trim that was not
	// yet durable may be forgotten with the power; who trims repeats it.
	Trim(upTo Position) error

	// Get returns a copy of a state document, nil when there is none.
	Get(key string) ([]byte, error)
	// Scan calls fn for each document whose key has the prefix, in key order.
	Scan(prefix string, fn func(key string, value []byte) error) error
	// Commit applies all operations atomically and durably. It returns
	// ErrConflict, and does nothing, when an Expect operation does not hold.
	// Commit may use most of the disk reserve; ErrFull means that even that is gone.
	Commit(ops ...Op) error

	// Noted sets found[i] when keys[i] is in the index of events. It may show
	// what an Append has noted that has not returned yet.
	Noted(keys []EventKey, found []bool) error
	// EventSlots are the oldest that the index has keys of, at most limit, in
	// their order.
	EventSlots(limit int) ([]EventSlot, error)
	// ForgetEvents removes the keys of the slots before one from the index. It
	// may be forgotten with the power.
	ForgetEvents(before uint32) error

	// Usage is about the number of bytes on disk, with what is kept aside.
	Usage() int64
	Close() error
}

// Damaged describes a chunk that could not be read back.
type Damaged struct {
	Position Position
	Reason   string
}

// Op is one operation of a Commit.
type Op struct {
	Key    string
	Value  []byte // nil deletes
	Expect bool   // check instead of write: the document must equal Value (nil = absent)
}

// Set writes a document.
func Set(key string, value []byte) Op { return Op{Key: key, Value: value} }

// Delete removes a document.
func Delete(key string) Op { return Op{Key: key} }

// Expect makes the commit conditional on a document's present value.
func Expect(key string, value []byte) Op { return Op{Key: key, Value: value, Expect: true} }

// Keeper is a Spool that keeps aside what it could not read back.
type Keeper interface {
	// Aside describes it, the oldest first.
	Aside() ([]Aside, error)
	// RemoveAside removes it for good.
	RemoveAside(name string) error
}

// Aside is one chunk, or one file of chunks, that was kept aside.
type Aside struct {
	Name  string
	Bytes int64
	At    time.Time
}
