package pebble

import (
	"bytes"
	"fmt"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/go-logr/logr"
)

// Pebble is tuned for a log that is trimmed soon after it was written: most
// chunks die in the memtable and never reach a table. Chunks are compressed
// already. Memory is bounded by maxAdmitted of chunks and as much of their
// stored form and batches at most, two memtables and the cache.
const (
	formatVersion = pebble.FormatTableFormatV6

	memTableSize = 24 << 20
	cacheSize    = 8 << 20
	maxOpenFiles = 256

	// maxAdmitted bytes of Data may be inside Append; who brings more waits.
	maxAdmitted = 16 << 20
	maxQueued   = 256
	// maxGroup bytes of stored chunks go into one batch, well below half a
	// memtable, from where on Pebble would treat a batch as a table of its own.
	maxGroup = 4 << 20
	// maxSyncs batches may be queued behind the one that waits for its sync.
	// More of them were not measured to be faster.
	maxSyncs = 1

	// trimInterval is the least time between two range tombstones: each one
	// slows reading down until it has left the memtable.
	trimInterval = 100 * time.Millisecond
	// trimFlush is when a tombstone in the memtable is forced out, so that
	// space returns although nobody writes.
	trimFlush = 5 * time.Second
)

func (s *store) pebbleOptions() *pebble.Options {
	o := &pebble.Options{
		FS:                          s.opts.FS,
		Cache:                       s.cache,
		MaxOpenFiles:                maxOpenFiles,
		MemTableSize:                memTableSize,
		MemTableStopWritesThreshold: 2,
		MaxManifestFileSize:         8 << 20,
		FlushDelayDeleteRange:       trimFlush,
		LBaseMaxBytes:               256 << 20,
		// A table that cannot be read cannot be compacted either. Writing goes
		// on beside it.
		L0StopWritesThreshold: 1000,
		// Pinned: a newer format cannot be opened by an older receiver.
		FormatMajorVersion: formatVersion,
		Logger:             logger{s.opts.Logger, s.opts.Fatal},
		EventListener: &pebble.EventListener{
			DataCorruption: func(info pebble.DataCorruptionInfo) {
				s.aside.keepFile(info.Path)
				s.trim.corrupt.Store(true)
			},
			BackgroundError: s.backgroundError,
		},
	}
	o.Experimental.CompactionScheduler = s.compactions
	// Chunks have tables of their own: they never overlap, so that they are
	// moved and deleted without being read, also when they are corrupt.
	o.Experimental.SpanPolicyFunc = pebble.MakeStaticSpanPolicyFunc(bytes.Compare,
		pebble.KeyRange{Start: []byte{chunkPrefix}, End: []byte{chunkPrefix + 1}}, pebble.SpanPolicy{})
	o.TargetFileSizes[0] = 16 << 20
	for i := range o.Levels {
		o.Levels[i].Compression = func() *sstable.CompressionProfile { return sstable.NoCompression }
		o.Levels[i].FilterPolicy = bloom.FilterPolicy(10) // for chunk IDs not seen before
	}
	return o
}

// logger passes on what Pebble has to say.
type logger struct {
	logr.Logger
	fatal func(why string)
}

func (l logger) Infof(format string, args ...any) { l.V(2).Info(fmt.Sprintf(format, args...)) }

func (l logger) Errorf(format string, args ...any) {
	l.Logger.Error(nil, "spool: "+fmt.Sprintf(format, args...))
}

// Fatalf ends the process: Pebble calls it when it cannot write its log, and
// does not expect it to return. Nothing that was answered is lost.
func (l logger) Fatalf(format string, args ...any) {
	why := fmt.Sprintf(format, args...)
	l.Logger.Error(nil, "spool: the volume cannot be written, the process ends: "+why)
	l.fatal(why)
}
