package pebble

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"time"

	"github.com/klauspost/compress/s2"

	"github.com/trail-operator/trail-operator/internal/spool"
)

// A stored chunk is as follows. Version 2 is written only for what version 1
// cannot say.
//
//	version:1  crc32c:4 (little-endian, of everything behind it)
//	kind:1  codec:1  id:32
//	varint  seconds of Received since 1970, uvarint nanoseconds
//	uvarint Items, Skipped, Quarantined; in version 2 also Duplicates
//	uvarint length of Source, Source
//	uvarint length of Data
//	Data, compressed with the codec, up to the end
const (
	chunkVersion           = 1
	chunkVersionDuplicates = 2
	codecS2                = 1

	chunkChecked = 1 + 4 // what stands before the checked part
)

// lostVersion, and the reason behind it, stand in the place of a chunk that is
// lost, or of state: a reader gets it as damaged, in its turn.
const lostVersion = 0xff

const (
	lostTail byte = iota + 1
	lostState
)

func lostReason(b []byte) string {
	if len(b) == 2 && b[1] == lostState {
		return "a part of the spool's state is lost"
	}
	return "it was acknowledged, and the end of the log is lost"
}

const (
	// maxData is the largest Data of a chunk. Intake cuts at about 4 MiB; the
	// rest is room for one item that must not be cut.
	maxData   = 16 << 20
	maxSource = 4 << 10
	maxCount  = math.MaxInt32
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// checkChunk refuses what could not be read back.
func checkChunk(c *spool.Chunk) error {
	switch {
	case len(c.Data) > maxData:
		return fmt.Errorf("spool: a chunk of %d bytes is over the limit of %d", len(c.Data), maxData)
	case len(c.Source) > maxSource:
		return fmt.Errorf("spool: a source name of %d bytes is over the limit of %d", len(c.Source), maxSource)
	case !validCounts(c):
		return fmt.Errorf("spool: a chunk of %d bytes cannot have %d items, %d skipped, %d quarantined, %d duplicates",
			len(c.Data), c.Items, c.Skipped, c.Quarantined, c.Duplicates)
	}
	return nil
}

// validCounts: an item takes at least the byte of its length.
func validCounts(c *spool.Chunk) bool {
	return c.Items >= 0 && c.Items <= len(c.Data) &&
		c.Skipped >= 0 && c.Skipped <= maxCount && c.Quarantined >= 0 && c.Quarantined <= maxCount &&
		c.Duplicates >= 0 && c.Duplicates <= maxCount
}

// encodedBound is the most bytes that appendChunk adds.
func encodedBound(c *spool.Chunk) int {
	return chunkChecked + 2 + len(c.ID) + 8*binary.MaxVarintLen64 + len(c.Source) + s2.MaxEncodedLen(len(c.Data))
}

// appendChunk appends the stored form of a chunk that checkChunk accepts.
func appendChunk(b []byte, c *spool.Chunk) []byte {
	start := len(b)
	version := byte(chunkVersion)
	if c.Duplicates > 0 {
		version = chunkVersionDuplicates
	}
	b = append(b, version, 0, 0, 0, 0, byte(c.Kind), codecS2)
	b = append(b, c.ID[:]...)
	b = binary.AppendVarint(b, c.Received.Unix())
	b = binary.AppendUvarint(b, uint64(c.Received.Nanosecond()))
	b = binary.AppendUvarint(b, uint64(c.Items))
	b = binary.AppendUvarint(b, uint64(c.Skipped))
	b = binary.AppendUvarint(b, uint64(c.Quarantined))
	if c.Duplicates > 0 {
		b = binary.AppendUvarint(b, uint64(c.Duplicates))
	}
	b = binary.AppendUvarint(b, uint64(len(c.Source)))
	b = append(b, c.Source...)
	b = binary.AppendUvarint(b, uint64(len(c.Data)))
	n := s2.MaxEncodedLen(len(c.Data))
	if cap(b)-len(b) < n {
		b = append(b, make([]byte, n)...)[:len(b)]
	}
	b = b[:len(b)+len(s2.Encode(b[len(b):len(b)+n], c.Data))]
	sum := crc32.Checksum(b[start+chunkChecked:], castagnoli)
	binary.LittleEndian.PutUint32(b[start+1:], sum)
	return b
}

var (
	errShort    = errors.New("it is cut short")
	errChecksum = errors.New("its checksum does not match")
	errCounts   = errors.New("its counts are impossible")
)

// decodeChunk reads a stored chunk. Data is decompressed into buf when it fits;
// nothing else of the result refers to b or buf. The input is not trusted: any
// bytes give a chunk or an error.
func decodeChunk(b, buf []byte) (*spool.Chunk, error) {
	if len(b) < chunkChecked+2+len(spool.ID{}) {
		return nil, errShort
	}
	version := b[0]
	if version != chunkVersion && version != chunkVersionDuplicates {
		return nil, fmt.Errorf("it has version %d, this program reads versions up to %d", version, chunkVersionDuplicates)
	}
	if crc32.Checksum(b[chunkChecked:], castagnoli) != binary.LittleEndian.Uint32(b[1:]) {
		return nil, errChecksum
	}
	b = b[chunkChecked:]
	c := &spool.Chunk{Kind: spool.Kind(b[0])}
	if b[1] != codecS2 {
		return nil, fmt.Errorf("its codec %d is unknown", b[1])
	}
	b = b[2+copy(c.ID[:], b[2:]):]

	sec, w := binary.Varint(b)
	if w <= 0 {
		return nil, errShort
	}
	b = b[w:]
	var nsec, items, skipped, quarantined, duplicates, source, size uint64
	for _, f := range [...]struct {
		to    *uint64
		max   uint64
		since byte // the version
	}{
		{&nsec, 999_999_999, 1},
		{&items, maxData, 1},
		{&skipped, maxCount, 1},
		{&quarantined, maxCount, 1},
		{&duplicates, maxCount, chunkVersionDuplicates},
		{&source, maxSource, 1},
	} {
		if version < f.since {
			continue
		}
		if *f.to, w = binary.Uvarint(b); w <= 0 {
			return nil, errShort
		}
		if *f.to > f.max {
			return nil, errCounts
		}
		b = b[w:]
	}
	c.Received = time.Unix(sec, int64(nsec)).UTC()
	c.Items, c.Skipped, c.Quarantined, c.Duplicates = int(items), int(skipped), int(quarantined), int(duplicates)
	if uint64(len(b)) < source {
		return nil, errShort
	}
	c.Source, b = string(b[:source]), b[source:]
	if size, w = binary.Uvarint(b); w <= 0 {
		return nil, errShort
	}
	b = b[w:]
	// Both lengths are checked before anything is allocated.
	if n, err := s2.DecodedLen(b); err != nil || uint64(n) != size || n > maxData {
		return nil, errors.New("its compressed data has another length than its header says")
	}
	var err error
	if c.Data, err = s2.Decode(buf[:cap(buf)], b); err != nil {
		return nil, errors.New("its compressed data cannot be decompressed")
	}
	if !validCounts(c) {
		return nil, errCounts
	}
	return c, nil
}
