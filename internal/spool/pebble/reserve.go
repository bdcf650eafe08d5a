package pebble

import (
	"errors"
	"math"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// stateShare of the reserve is kept even by writes of state, so that Pebble can
// always write its log and its tables: it ends the process when it cannot.
const stateShare = 8

// free is what the volume has left, less what is on its way there.
func (s *store) free() int64 {
	free, err := s.opts.FreeBytes()
	if err != nil {
		s.opts.Logger.Error(err, "spool: cannot find out how much space the volume has; nothing is accepted")
		return 0
	}
	return free - s.inFlight.Load()
}

// freeBytes asks the file system. A file system that has no notion of it, in
// memory, is never full.
func freeBytes(fs vfs.FS, dir string) (int64, error) {
	usage, err := fs.GetDiskUsage(dir)
	if errors.Is(err, vfs.ErrUnsupported) {
		return math.MaxInt64, nil
	}
	if err != nil {
		return 0, err
	}
	return int64(min(usage.AvailBytes, math.MaxInt64)), nil
}
