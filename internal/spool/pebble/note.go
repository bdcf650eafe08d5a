package pebble

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	iofs "io/fs"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/go-logr/logr"
	"github.com/google/uuid"

	"github.com/trail-operator/trail-operator/internal/spool"
)

// The note says, beside Pebble's own files, how far the log was when its last
// sync returned. Pebble cannot tell a log whose end was damaged from one whose
// end was never written, and cuts both; nor does it know that a table is missing
// from a manifest that was cut. Opening compares.
//
// The note is written after each sync and synced once a second: a power loss may
// leave an older one, which says less and nothing wrong.
const (
	noteName = "acknowledged"
	// noteSlot is written in turn with the one behind it, so that a torn write
	// leaves the other.
	noteSlot         = 4 << 10
	noteLen          = 16 + 8 + 8 + 4
	noteSyncInterval = time.Second
)

// acknowledged is how far a spool was when its last sync returned.
type acknowledged struct {
	uuid   uuid.UUID
	groups uint64 // batches since the spool was made
	last   spool.Position
}

func (a acknowledged) append(b []byte) []byte {
	b = append(b, a.uuid[:]...)
	b = binary.BigEndian.AppendUint64(b, a.groups)
	b = binary.BigEndian.AppendUint64(b, uint64(a.last))
	return binary.BigEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

// parseAcknowledged is the inverse of append.
func parseAcknowledged(b []byte) (a acknowledged, ok bool) {
	if len(b) < noteLen || crc32.Checksum(b[:noteLen-4], castagnoli) != binary.BigEndian.Uint32(b[noteLen-4:]) {
		return a, false
	}
	copy(a.uuid[:], b)
	a.groups = binary.BigEndian.Uint64(b[16:])
	a.last = spool.Position(binary.BigEndian.Uint64(b[24:]))
	return a, true
}

// readNote returns the newest note in a folder; ok is false when there is none
// that can be read.
func readNote(fs vfs.FS, dir string) (newest acknowledged, ok bool, err error) {
	f, err := fs.Open(fs.PathJoin(dir, noteName))
	if errors.Is(err, iofs.ErrNotExist) {
		return newest, false, nil
	}
	if err != nil {
		return newest, false, err
	}
	defer func() { _ = f.Close() }()
	for slot := range int64(2) {
		var b [noteLen]byte
		if _, err := f.ReadAt(b[:], slot*noteSlot); err != nil && !errors.Is(err, io.EOF) {
			return newest, false, err
		}
		if a, valid := parseAcknowledged(b[:]); valid && (!ok || a.groups > newest.groups) {
			newest, ok = a, true
		}
	}
	return newest, ok, nil
}

// noteFile is the open file.
type noteFile struct {
	logger logr.Logger

	mu      sync.Mutex
	file    vfs.File
	slot    int64
	dirty   bool
	quiet   logLimit
	written acknowledged
}

func openNote(fs vfs.FS, dir string, logger logr.Logger) (*noteFile, error) {
	f, err := fs.OpenReadWrite(fs.PathJoin(dir, noteName), vfs.WriteCategoryUnspecified)
	if err != nil {
		return nil, err
	}
	n := &noteFile{file: f, logger: logger}
	info, err := f.Stat()
	if err == nil && info.Size() < 2*noteSlot { // from now on its size stays
		if _, err = f.WriteAt([]byte{0}, 2*noteSlot-1); err == nil {
			err = f.Sync()
		}
	}
	if err == nil {
		err = syncFolder(fs, dir)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return n, nil
}

// write notes how far the log is. A note that cannot be written is no reason to
// refuse anything: it is a second witness.
func (n *noteFile) write(a acknowledged) {
	n.mu.Lock()
	defer n.mu.Unlock()
	var b [noteLen]byte
	if _, err := n.file.WriteAt(a.append(b[:0]), n.slot*noteSlot); err != nil {
		n.complain(err)
		return
	}
	n.slot, n.dirty, n.written = 1-n.slot, true, a
}

// sync makes the newest note durable.
func (n *noteFile) sync() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.dirty {
		return
	}
	if err := n.file.Sync(); err != nil {
		n.complain(err)
		return
	}
	n.dirty = false
}

func (n *noteFile) complain(err error) {
	if n.quiet.allow(time.Now()) {
		n.logger.Error(err, "spool: cannot note how far the log is; damage at its end would not be noticed")
	}
}

func (n *noteFile) close() error {
	n.sync()
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.file.Close()
}

// syncNotes works until the spool is closed.
func (s *store) syncNotes() {
	defer s.workers.Done()
	ticker := time.NewTicker(noteSyncInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			s.note.sync()
		case <-s.closing:
			return
		}
	}
}
