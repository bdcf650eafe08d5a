package pebble

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"math"
	"runtime"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/trail-operator/trail-operator/internal/spool"
)

// seal corrects the checksum, so that the bytes behind it are parsed.
func seal(b []byte) []byte {
	if len(b) >= chunkChecked {
		binary.LittleEndian.PutUint32(b[1:], crc32.Checksum(b[chunkChecked:], castagnoli))
	}
	return b
}

func TestChunkRoundTrip(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		count := rapid.IntRange(0, maxCount)
		want := spool.Chunk{
			Kind:        spool.Kind(rapid.Byte().Draw(rt, "kind")),
			Source:      rapid.String().Draw(rt, "source"),
			Received:    time.Unix(rapid.Int64Range(-1<<40, 1<<40).Draw(rt, "seconds"), rapid.Int64Range(0, 999_999_999).Draw(rt, "nanoseconds")).UTC(),
			Data:        rapid.SliceOfN(rapid.ByteRange(0, 3), 0, 300).Draw(rt, "data"),
			Skipped:     count.Draw(rt, "skipped"),
			Quarantined: count.Draw(rt, "quarantined"),
			Duplicates:  rapid.OneOf(rapid.Just(0), count).Draw(rt, "duplicates"),
		}
		copy(want.ID[:], rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(rt, "id"))
		want.Items = rapid.IntRange(0, len(want.Data)).Draw(rt, "items")
		prefix := []byte("prefix")
		b := appendChunk(prefix, &want)
		if len(b)-len(prefix) > encodedBound(&want) {
			rt.Fatalf("%d bytes are over the bound of %d", len(b), encodedBound(&want))
		}
		got, err := decodeChunk(b[len(prefix):], nil)
		if err != nil {
			rt.Fatal(err)
		}
		if diff := cmp.Diff(&want, got, cmp.Comparer(bytes.Equal)); diff != "" {
			rt.Fatal(diff)
		}
	})
}

// TestChunkFlips: no single flipped bit and no cut goes unnoticed.
func TestChunkFlips(t *testing.T) {
	c := auditChunk(1, 600)
	testFlips(t, appendChunk(nil, &c))
	c.Duplicates = 7
	testFlips(t, appendChunk(nil, &c))
}

func testFlips(t *testing.T, b []byte) {
	t.Helper()
	for i := range b {
		for bit := range 8 {
			b[i] ^= 1 << bit
			if _, err := decodeChunk(b, nil); err == nil {
				t.Fatalf("bit %d of byte %d was flipped, and nobody noticed", bit, i)
			}
			b[i] ^= 1 << bit
		}
		if _, err := decodeChunk(b[:i], nil); err == nil {
			t.Fatalf("cut to %d bytes, and nobody noticed", i)
		}
	}
}

// TestChunkBombs: lengths that promise much more than there is cost nothing.
func TestChunkBombs(t *testing.T) {
	head := append([]byte{chunkVersion, 0, 0, 0, 0, 1, codecS2}, make([]byte, 34)...) // ID, time
	for name, tail := range map[string][]byte{
		"data":      binary.AppendUvarint([]byte{0, 0, 0, 0}, 1<<30),
		"data both": append(binary.AppendUvarint([]byte{0, 0, 0, 0}, 1<<30), binary.AppendUvarint(nil, 1<<30)...),
		"data max":  append(binary.AppendUvarint([]byte{0, 0, 0, 0}, math.MaxUint64), binary.AppendUvarint(nil, math.MaxUint64)...),
		"source":    binary.AppendUvarint([]byte{0, 0, 0}, math.MaxUint64),
		"items":     binary.AppendUvarint(nil, math.MaxUint64),
		"skipped":   binary.AppendUvarint([]byte{0}, 1<<40),
		"varint":    bytes.Repeat([]byte{0xff}, 30),
	} {
		b := seal(append(bytes.Clone(head), tail...))
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		if _, err := decodeChunk(b, nil); err == nil {
			t.Errorf("%s: accepted", name)
		}
		runtime.ReadMemStats(&after)
		if n := after.TotalAlloc - before.TotalAlloc; n > 1<<20 {
			t.Errorf("%s: %d bytes were allocated", name, n)
		}
	}
}

func FuzzDecodeChunk(f *testing.F) {
	for _, size := range []int{0, 1, 3000} {
		c := auditChunk(uint64(size), size)
		f.Add(appendChunk(nil, &c))
		c.Duplicates = 1 + size
		f.Add(appendChunk(nil, &c))
	}
	f.Add([]byte{})
	f.Add([]byte{chunkVersion, 0, 0, 0, 0, 1, codecS2})
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, b := range [][]byte{b, seal(bytes.Clone(b))} {
			c, err := decodeChunk(b, nil)
			if err != nil {
				continue
			}
			if err := checkChunk(c); err != nil {
				t.Fatalf("a chunk was read that would not be written: %v", err)
			}
			again, err := decodeChunk(appendChunk(nil, c), nil)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c, again, cmp.Comparer(bytes.Equal)); diff != "" {
				t.Fatal(diff)
			}
		}
	})
}
