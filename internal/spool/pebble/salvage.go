package pebble

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/trail-operator/trail-operator/internal/spool"
)

// Salvaging reads Pebble's tables and logs without what holds them together, and
// writes what it finds into a new database. Chunks are never changed once they
// are written, so that each copy is as good as any other; of state the newest
// version counts, by Pebble's own sequence numbers.

const (
	// maxSalvageBatch bounds the memory for what has not been written yet.
	maxSalvageBatch = 4 << 20
	// maxTries is how many positions are tried behind a block that cannot be read.
	maxTries = 100_000
	// stateStep bytes of a state's key tell trails apart: "s", "trail/", a UID.
	stateStep = 1 + 6 + 36
)

// version is a state document, or what else there is one of.
type version struct {
	seq     uint64
	value   []byte
	deleted bool
}

// salvage collects what can still be read.
type salvage struct {
	fs    vfs.FS
	to    *pebble.DB
	batch *pebble.Batch

	state map[string]version
	first spool.Position // of the chunks that were found; 0 = none
	last  spool.Position
	// unreadable says where something could not be read that may have been state.
	unreadable []string
}

// salvageInto copies what can be read of the database in from into to.
func salvageInto(fs vfs.FS, from string, to *pebble.DB) (*salvage, error) {
	s := &salvage{fs: fs, to: to, batch: to.NewBatch(), state: map[string]version{}}
	defer func() { _ = s.batch.Close() }()
	names, err := fs.List(from)
	if err != nil {
		return nil, err
	}
	slices.Sort(names)
	for _, name := range names {
		path := fs.PathJoin(from, name)
		if number, ok := logNumber(name); ok {
			err = s.log(path, number)
		} else if strings.HasSuffix(name, ".sst") {
			err = s.table(path)
		}
		if err != nil {
			return nil, fmt.Errorf("salvage %s: %w", name, err)
		}
	}
	return s, s.finish()
}

// miss notes that a part of a file cannot be read.
func (s *salvage) miss(path string) {
	if name := s.fs.PathBase(path); !slices.Contains(s.unreadable, name) {
		s.unreadable = append(s.unreadable, name)
	}
}

// put takes one key.
func (s *salvage) put(kind pebble.InternalKeyKind, key, value []byte, seq uint64) error {
	if len(key) == 0 || kind != pebble.InternalKeyKindSet && kind != pebble.InternalKeyKindDelete {
		return nil // ranges are deleted of what is trimmed or forgotten, which is told by other means
	}
	switch key[0] {
	case chunkPrefix, seenPrefix, eventPrefix:
		if kind == pebble.InternalKeyKindDelete {
			return nil
		}
		if key[0] == chunkPrefix && len(key) == chunkKeyLen {
			p := spool.Position(binary.BigEndian.Uint64(key[1:]))
			s.last = max(s.last, p)
			if s.first == 0 || p < s.first {
				s.first = p
			}
		}
		if err := s.batch.Set(key, value, nil); err != nil {
			return err
		}
		if s.batch.Len() < maxSalvageBatch {
			return nil
		}
		return s.flush()
	default:
		if old, ok := s.state[string(key)]; !ok || seq >= old.seq {
			s.state[string(key)] = version{seq, bytes.Clone(value), kind == pebble.InternalKeyKindDelete}
		}
		return nil
	}
}

func (s *salvage) flush() error {
	err := s.to.Apply(s.batch, pebble.NoSync)
	s.batch.Reset()
	return err
}

// finish writes the state, and how far the log was if that was not found.
func (s *salvage) finish() error {
	for key, v := range s.state {
		if v.deleted {
			continue
		}
		if err := s.batch.Set([]byte(key), v.value, nil); err != nil {
			return err
		}
	}
	last, uptime, err := parseLog(s.state[string(logKey)].value)
	if err != nil || last < s.last {
		if err := s.batch.Set(logKey, appendLog(nil, s.last, uptime), nil); err != nil {
			return err
		}
	}
	trimmed, err := parseTrimmed(s.state[string(trimmedKey)].value)
	if err != nil || trimmed == 0 && len(s.unreadable) > 0 {
		// It is lost, or there was none. What is not there any more was trimmed,
		// as far as anybody can know.
		trimmed = max(s.first, 1) - 1
		if s.first == 0 {
			trimmed = last
		}
		if err := s.batch.Set(trimmedKey, binary.BigEndian.AppendUint64(nil, uint64(trimmed)), nil); err != nil {
			return err
		}
	}
	if trimmed > 0 {
		if err := s.batch.DeleteRange(chunkKey(0), chunkKey(trimmed+1), nil); err != nil {
			return err
		}
	}
	if len(s.unreadable) > 0 {
		if err := s.batch.Set(salvagedKey, []byte(strings.Join(s.unreadable, " ")), nil); err != nil {
			return err
		}
	}
	return s.flush()
}

// log reads a log.
func (s *salvage) log(path string, number uint64) error {
	f, err := s.fs.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	broken, err := scanLog(f, uint32(number), func(batch []byte) error { // Pebble writes its lower half
		ok, err := operations(batch, s.put)
		if !ok {
			s.miss(path)
		}
		return err
	})
	if broken {
		s.miss(path)
	}
	return err
}

// table reads a table, as far as its blocks let it.
func (s *salvage) table(path string) error {
	f, err := s.fs.Open(path)
	if err != nil {
		return err
	}
	readable, err := sstable.NewSimpleReadable(f)
	if err != nil {
		return errors.Join(err, f.Close())
	}
	r, err := sstable.NewReader(context.Background(), readable, sstable.ReaderOptions{})
	if err != nil {
		if passes(err) {
			return err
		}
		s.miss(path)
		return nil
	}
	defer func() { _ = r.Close() }()
	iter, err := r.NewIter(sstable.NoTransforms, nil, nil, sstable.AssertNoBlobHandles)
	if err != nil {
		if passes(err) {
			return err
		}
		s.miss(path)
		return nil
	}
	defer func() { _ = iter.Close() }()
	var key []byte
	tries := 0
	for kv := iter.First(); ; {
		for ; kv != nil; kv = iter.Next() {
			value, _, err := kv.Value(nil)
			if err != nil {
				return err
			}
			key = append(key[:0], kv.K.UserKey...)
			if err := s.put(kv.Kind(), key, value, uint64(kv.SeqNum())); err != nil {
				return err
			}
		}
		err := iter.Error()
		if err == nil {
			return nil
		}
		if passes(err) {
			return err
		}
		// Behind a block that cannot be read it goes on at the next position
		// that can be, or at the next kind of keys.
		next, ok := following(key, tries)
		if !ok {
			s.miss(path)
			return nil
		}
		if len(key) == 0 || key[0] != chunkPrefix {
			s.miss(path)
		}
		tries++
		key = append(key[:0], next...)
		kv = iter.SeekGE(next, 0)
	}
}

// following is where reading goes on when the block behind key cannot be read.
func following(key []byte, tries int) ([]byte, bool) {
	switch {
	case len(key) == 0:
		return []byte{seenPrefix}, true
	case key[0] == chunkPrefix && len(key) == chunkKeyLen && tries < maxTries:
		return chunkKey(spool.Position(binary.BigEndian.Uint64(key[1:]) + 1)), true
	case key[0] < eventPrefix:
		return []byte{eventPrefix}, true
	case key[0] < metaPrefix:
		return []byte{metaPrefix}, true
	case key[0] < statePrefix:
		return []byte{statePrefix}, true
	case tries < maxTries:
		// Behind all keys that begin like this one: documents of other trails, say.
		next := bytes.TrimRight(key[:min(len(key), stateStep)], "\xff")
		next = bytes.Clone(next)
		next[len(next)-1]++
		return next, next[0] == statePrefix
	default:
		return nil, false
	}
}
