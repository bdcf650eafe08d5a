package pebble

import (
	"encoding/binary"

	"github.com/trail-operator/trail-operator/internal/spool"
)

// Layout of the key space. Numbers are big-endian, so that keys sort like them.
//
//	c <position:8>               a stored chunk (see chunk.go)
//	d <generation:8> <id:32>     a chunk ID seen lately (see dedupe.go)
//	e <event key:20>             an event that was stored lately (see events.go)
//	m groups                     number of batches since the spool was made
//	m log                        last position and receiver uptime
//	m salvaged                   files of which something could not be salvaged, until that is told
//	m trimmed                    last position that was trimmed
//	m uuid                       UUID of the spool
//	s <key>                      a state document
const (
	chunkPrefix = 'c'
	seenPrefix  = 'd'
	eventPrefix = 'e'
	metaPrefix  = 'm'
	statePrefix = 's'
)

var (
	groupsKey   = []byte("mgroups")
	logKey      = []byte("mlog")
	salvagedKey = []byte("msalvaged")
	trimmedKey  = []byte("mtrimmed")
	uuidKey     = []byte("muuid")
)

const chunkKeyLen = 1 + 8

func appendChunkKey(b []byte, p spool.Position) []byte {
	return binary.BigEndian.AppendUint64(append(b, chunkPrefix), uint64(p))
}

func chunkKey(p spool.Position) []byte { return appendChunkKey(make([]byte, 0, chunkKeyLen), p) }

const seenKeyLen = 1 + 8 + len(spool.ID{})

func appendSeenKey(b []byte, generation uint64, id *spool.ID) []byte {
	b = binary.BigEndian.AppendUint64(append(b, seenPrefix), generation)
	return append(b, id[:]...)
}

// parseSeenKey is the inverse of appendSeenKey.
func parseSeenKey(key []byte) (generation uint64, id spool.ID, ok bool) {
	if len(key) != seenKeyLen || key[0] != seenPrefix {
		return 0, id, false
	}
	copy(id[:], key[1+8:])
	return binary.BigEndian.Uint64(key[1:]), id, true
}

// seenGenerationKey stands before all IDs of a generation.
func seenGenerationKey(generation uint64) []byte {
	return binary.BigEndian.AppendUint64([]byte{seenPrefix}, generation)
}

func stateKey(key string) []byte {
	b := make([]byte, 0, 1+len(key))
	return append(append(b, statePrefix), key...)
}

// stateBounds are the first key with the prefix and the first key behind.
func stateBounds(prefix string) (lower, upper []byte) {
	lower = stateKey(prefix)
	upper = stateKey(prefix)
	for i := len(upper) - 1; i >= 0; i-- {
		if upper[i] < 0xff {
			upper[i]++
			return lower, upper[:i+1]
		}
	}
	return lower, nil // unreachable: the first byte is statePrefix
}
