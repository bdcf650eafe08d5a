package pebble

import (
	"encoding/binary"
	"errors"
	"strings"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/google/uuid"

	"github.com/trail-operator/trail-operator/internal/spool"
)

// recover reads where the log stands. What Pebble shows after opening is
// durable: it has written what it found in its log to tables.
func (s *store) recover() error {
	id, err := s.get(uuidKey)
	if err != nil {
		return err
	}
	if id == nil {
		id = []byte(uuid.NewString())
		before, ok, err := readNote(s.opts.FS, s.dir)
		if err != nil {
			return err
		}
		if ok { // all of it is lost, but not that it was here
			id = []byte(before.uuid.String())
		}
		if err := s.db.Set(uuidKey, id, pebble.Sync); err != nil {
			return err
		}
	}
	s.uuid = string(id)

	log, err := s.get(logKey)
	if err != nil {
		return err
	}
	last, uptime, err := parseLog(log)
	if err != nil {
		return err
	}
	value, err := s.get(trimmedKey)
	if err != nil {
		return err
	}
	trimmed, err := parseTrimmed(value)
	if err != nil {
		return err
	}
	value, err = s.get(groupsKey)
	if err != nil {
		return err
	}
	if s.groups, err = parseGroups(value); err != nil {
		return err
	}
	s.uptimeBefore = uptime
	if last, err = s.recoverLosses(max(last, trimmed)); err != nil {
		return err
	}
	s.trim.upTo.Store(uint64(trimmed))
	s.trim.deleted = trimmed
	s.next = last + 1
	s.tail.n = uint64(s.next - 1)
	if err := s.recoverSeen(); err != nil {
		// Rather a chunk twice than none at all.
		s.opts.Logger.Error(err, "spool: the index of chunk IDs cannot be read; a chunk sent twice will be stored twice")
	}
	return nil
}

// recoverLosses compares what is there, up to last, with the note. For what is
// missing it stores marks, which readers get as damaged chunks, and returns the
// position of the last of them.
func (s *store) recoverLosses(last spool.Position) (spool.Position, error) {
	before, ok, err := readNote(s.opts.FS, s.dir)
	if err != nil {
		return 0, err
	}
	salvaged, err := s.get(salvagedKey)
	if err != nil {
		return 0, err
	}
	cut := ok && before.uuid.String() == s.uuid && before.groups > s.groups
	if !cut && salvaged == nil {
		return last, nil
	}
	batch := s.db.NewBatch()
	defer func() { _ = batch.Close() }()
	end := last
	if salvaged != nil {
		end++
		s.opts.Logger.Error(nil, "spool: state is lost that could not be salvaged", "files", string(salvaged))
		if err := batch.Set(chunkKey(end), []byte{lostVersion, lostState}, nil); err != nil {
			return 0, err
		}
		if err := batch.Delete(salvagedKey, nil); err != nil {
			return 0, err
		}
	}
	if cut {
		if end, err = s.recoverTail(batch, end, before); err != nil {
			return 0, err
		}
	}
	if err := batch.Set(groupsKey, binary.BigEndian.AppendUint64(nil, s.groups), nil); err != nil {
		return 0, err
	}
	if err := batch.Set(logKey, appendLog(nil, end, s.uptimeBefore), nil); err != nil {
		return 0, err
	}
	if err := s.db.Apply(batch, pebble.Sync); err != nil {
		return 0, err
	}
	return end, s.forgetLogs(true)
}

// recoverTail takes what is behind the damage in the logs that Pebble has given
// up, and marks what is not there. It returns the last position.
func (s *store) recoverTail(batch *pebble.Batch, last spool.Position, acknowledged acknowledged) (spool.Position, error) {
	found := map[spool.Position]bool{}
	groups := map[uint64]bool{}
	names, err := s.keptLogs()
	for _, name := range names {
		number, _ := logNumber(strings.TrimPrefix(name, keptLog))
		f, oerr := s.opts.FS.Open(s.opts.FS.PathJoin(s.aside.dir, name))
		if oerr != nil {
			return 0, oerr
		}
		_, err = scanLog(f, uint32(number), func(b []byte) error { // Pebble writes its lower half
			return s.takeBatch(b, found, groups)
		})
		if err = errors.Join(err, f.Close()); err != nil {
			return 0, err
		}
	}
	if err != nil {
		return 0, err
	}
	end := max(last, acknowledged.last)
	for p := range found {
		end = max(end, p)
	}
	missing := 0
	for p := last + 1; p <= end; p++ {
		if !found[p] {
			missing++
			if err := batch.Set(chunkKey(p), []byte{lostVersion, lostTail}, nil); err != nil {
				return 0, err
			}
		}
		if batch.Len() >= maxSalvageBatch { // there may be millions; the next start begins anew
			if err := s.db.Apply(batch, pebble.NoSync); err != nil {
				return 0, err
			}
			batch.Reset()
		}
	}
	lost := acknowledged.groups - s.groups
	for g := range groups {
		if g <= acknowledged.groups {
			lost--
		}
		s.groups = max(s.groups, g)
	}
	s.groups = max(s.groups, acknowledged.groups)
	if missing == 0 { // what is lost was state, or nothing is
		if lost == 0 {
			return end, nil
		}
		end++
		if err := batch.Set(chunkKey(end), []byte{lostVersion, lostTail}, nil); err != nil {
			return 0, err
		}
	}
	s.opts.Logger.Error(nil, "spool: a part of the end of the log is lost", "batches", lost, "chunks", missing, "tail", end)
	return end, nil
}

// takeBatch applies a batch of a log that is behind what the database has.
func (s *store) takeBatch(b []byte, found map[spool.Position]bool, groups map[uint64]bool) error {
	var group uint64
	_, err := operations(b, func(kind pebble.InternalKeyKind, key, value []byte, _ uint64) error {
		if kind == pebble.InternalKeyKindSet && string(key) == string(groupsKey) && len(value) == 8 {
			group = binary.BigEndian.Uint64(value)
		}
		return nil
	})
	if err != nil || group <= s.groups {
		return err
	}
	groups[group] = true
	batch := s.db.NewBatch()
	defer func() { _ = batch.Close() }()
	_, err = operations(b, func(kind pebble.InternalKeyKind, key, value []byte, _ uint64) error {
		switch kind {
		case pebble.InternalKeyKindSet:
			if len(key) == chunkKeyLen && key[0] == chunkPrefix {
				found[spool.Position(binary.BigEndian.Uint64(key[1:]))] = true
			}
			return batch.Set(key, value, nil)
		case pebble.InternalKeyKindDelete:
			return batch.Delete(key, nil)
		case pebble.InternalKeyKindRangeDelete:
			return batch.DeleteRange(key, value, nil)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return s.db.Apply(batch, pebble.NoSync)
}

// acknowledged is what the note says after a batch.
func (s *store) acknowledged(groups uint64, last spool.Position) acknowledged {
	id, err := uuid.Parse(s.uuid)
	if err != nil {
		id = uuid.Nil // of no spool: nothing is compared with it
	}
	return acknowledged{uuid: id, groups: groups, last: last}
}

func appendLog(b []byte, last spool.Position, uptime time.Duration) []byte {
	b = binary.BigEndian.AppendUint64(b, uint64(last))
	return binary.BigEndian.AppendUint64(b, uint64(uptime))
}

func parseLog(b []byte) (spool.Position, time.Duration, error) {
	if b == nil {
		return 0, 0, nil
	}
	if len(b) != 16 {
		return 0, 0, errors.New("the record of the last position is damaged")
	}
	return spool.Position(binary.BigEndian.Uint64(b)), time.Duration(binary.BigEndian.Uint64(b[8:])), nil
}

// parseGroups: spools of before have no such record.
func parseGroups(b []byte) (uint64, error) {
	if b == nil {
		return 0, nil
	}
	if len(b) != 8 {
		return 0, errors.New("the record of the number of batches is damaged")
	}
	return binary.BigEndian.Uint64(b), nil
}

func parseTrimmed(b []byte) (spool.Position, error) {
	if b == nil {
		return 0, nil
	}
	if len(b) != 8 {
		return 0, errors.New("the record of the trimmed position is damaged")
	}
	return spool.Position(binary.BigEndian.Uint64(b)), nil
}
