package pebble

import (
	"encoding/binary"
	"errors"
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
	s.uptimeBefore = uptime
	s.trim.upTo.Store(uint64(trimmed))
	s.trim.deleted = trimmed
	s.next = max(last, trimmed) + 1
	s.tail.n = uint64(s.next - 1)
	if err := s.recoverSeen(); err != nil {
		// Rather a chunk twice than none at all.
		s.opts.Logger.Error(err, "spool: the index of chunk IDs cannot be read; a chunk sent twice will be stored twice")
	}
	return nil
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

func parseTrimmed(b []byte) (spool.Position, error) {
	if b == nil {
		return 0, nil
	}
	if len(b) != 8 {
		return 0, errors.New("the record of the trimmed position is damaged")
	}
	return spool.Position(binary.BigEndian.Uint64(b)), nil
}
