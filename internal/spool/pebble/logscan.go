package pebble

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/batchrepr"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// A log of Pebble is made of blocks, and blocks of chunks, each with a checksum
// and the number of the log. Pebble stops reading at the first chunk that is not
// whole. scanLog goes on behind it, with the next chunk that is.
//
//	crc:4  length:2  type:1  number of the log:4  [offset:8]  payload
const (
	logBlock      = 32 << 10
	logHeader     = 11
	logSyncHeader = logHeader + 8
	// Types of chunks: the first four have the short header, the others the long one.
	logFull, logSyncLast = 5, 12
)

// Parts of a record that a chunk may be.
const (
	partFull = iota
	partFirst
	partMiddle
	partLast
)

// logChunk reads the chunk at the beginning of b.
func logChunk(b []byte, number uint32) (payload []byte, part, size int, ok bool) {
	if len(b) < logHeader || b[6] < logFull || b[6] > logSyncLast || binary.LittleEndian.Uint32(b[7:]) != number {
		return nil, 0, 0, false
	}
	header := logHeader
	if b[6] > logFull+partLast {
		header = logSyncHeader
	}
	size = header + int(binary.LittleEndian.Uint16(b[4:]))
	if size > len(b) {
		return nil, 0, 0, false
	}
	sum := crc32.Checksum(b[6:size], castagnoli)
	if (sum>>15|sum<<17)+0xa282ead8 != binary.LittleEndian.Uint32(b) {
		return nil, 0, 0, false
	}
	return b[header:size], int(b[6]-logFull) % 4, size, true
}

// scanLog calls fn with each batch of a log that is whole. It reports whether
// there was one behind something that is not.
func scanLog(f vfs.File, number uint32, fn func(batch []byte) error) (broken bool, err error) {
	var record []byte
	inside, gap := false, false
	block := make([]byte, logBlock)
	for at := int64(0); ; at += logBlock {
		n, err := f.ReadAt(block, at)
		if err != nil && !errors.Is(err, io.EOF) {
			return broken, err
		}
		if n == 0 {
			return broken, nil
		}
		for b := block[:n]; len(b) > 0; {
			payload, part, size, ok := logChunk(b, number)
			if !ok {
				// The end of a block that has no room for a chunk is zero.
				gap = gap || b[0] != 0 || len(b) >= logSyncHeader
				b = b[1:]
				continue
			}
			b = b[size:]
			starts := part == partFull || part == partFirst
			broken = broken || gap || inside == starts
			gap = false
			if inside == starts { // the end of the record before, or the beginning of this one, is missing
				inside = false
			}
			if starts {
				record, inside = record[:0], true
			}
			if !inside {
				continue
			}
			record = append(record, payload...)
			if part == partFull || part == partLast {
				inside = false
				if err := fn(record); err != nil {
					return broken, err
				}
			}
		}
	}
}

// operations calls fn with each operation of a batch. It is false when the batch
// is none.
func operations(batch []byte, fn func(kind pebble.InternalKeyKind, key, value []byte, seq uint64) error) (ok bool, err error) {
	if len(batch) < batchrepr.HeaderLen {
		return false, nil
	}
	seq := uint64(batchrepr.ReadSeqNum(batch))
	r := batchrepr.Read(batch)
	for {
		kind, key, value, more, err := r.Next()
		if err != nil {
			return false, nil //nolint:nilerr // what it is made of is not a batch
		}
		if !more {
			return true, nil
		}
		if kind == pebble.InternalKeyKindLogData {
			continue
		}
		if err := fn(kind, key, value, seq); err != nil {
			return true, err
		}
		seq++
	}
}

// keptLog begins the names of logs that are kept until it is known that Pebble
// has read them whole.
const keptLog = "replayed-"

// keepLogs links the logs that Pebble is about to replay, and then delete. That
// it cannot is no reason not to open.
func (s *store) keepLogs() {
	fs := s.opts.FS
	names, err := fs.List(s.dir)
	for _, name := range names {
		if _, ok := logNumber(name); !ok {
			continue
		}
		kept := fs.PathJoin(s.aside.dir, keptLog+name)
		if _, missing := fs.Stat(kept); missing != nil {
			err = errors.Join(err, vfs.LinkOrCopy(fs, fs.PathJoin(s.dir, name), kept))
		}
	}
	if err = errors.Join(err, s.aside.syncDir()); err != nil {
		s.opts.Logger.Error(err, "spool: a log cannot be kept while it is replayed")
	}
}

// keptLogs are those logs, the oldest first.
func (s *store) keptLogs() ([]string, error) {
	names, err := s.opts.FS.List(s.aside.dir)
	names = slices.DeleteFunc(names, func(name string) bool { return !strings.HasPrefix(name, keptLog) })
	slices.Sort(names)
	return names, err
}

// forgetLogs removes them; damaged says that they are the copies of something
// that was damaged, and stay.
func (s *store) forgetLogs(damaged bool) error {
	names, err := s.keptLogs()
	for _, name := range names {
		path := s.opts.FS.PathJoin(s.aside.dir, name)
		if damaged {
			err = errors.Join(err, s.opts.FS.Rename(path, s.opts.FS.PathJoin(s.aside.dir, strings.TrimPrefix(name, keptLog))))
		} else {
			err = errors.Join(err, s.opts.FS.Remove(path))
		}
	}
	if err != nil || !damaged {
		return err
	}
	return s.aside.syncDir()
}

// logNumber parses the name of a log.
func logNumber(name string) (uint64, bool) {
	base, found := strings.CutSuffix(name, ".log")
	number, err := strconv.ParseUint(base, 10, 64)
	return number, found && err == nil
}
