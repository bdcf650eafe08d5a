package pebble

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime/debug"
	"testing"

	"github.com/trail-operator/trail-operator/internal/spool"
)

// noiseChunk does not compress.
func noiseChunk(n uint64, size int) spool.Chunk {
	var seed [32]byte
	binary.LittleEndian.PutUint64(seed[:], n)
	c := spool.Chunk{ID: spool.ID(seed), Kind: spool.KindAudit, Items: 1}
	data := make([]byte, size)
	_, _ = rand.NewChaCha8(seed).Read(data)
	c.Data = spool.AppendItem(nil, data)
	return c
}

// TestTrimReturnsSpace writes 480 MB with a reader that trims behind itself:
// usage and memory stay bounded all the time.
func TestTrimReturnsSpace(t *testing.T) {
	if testing.Short() {
		t.Skip("writes 480 MB")
	}
	const size, chunks, behind, limit = 64 << 10, 480 << 20 / (64 << 10), 64, 240 << 20
	s := openStore(t, t.TempDir(), Options{})
	var peak int64
	for n := range uint64(chunks) {
		if _, err := s.Append(t.Context(), []spool.Chunk{noiseChunk(n, size)}); err != nil {
			t.Fatal(err)
		}
		if tail := s.Tail(); tail > behind {
			if err := s.Trim(tail - behind); err != nil {
				t.Fatal(err)
			}
		}
		if n%32 == 0 {
			peak = max(peak, s.Usage())
		}
	}
	t.Logf("peak usage %d MB", peak>>20)
	if peak > limit {
		t.Errorf("usage reached %d MB, the limit is %d MB", peak>>20, limit>>20)
	}
	if good, damaged := readAll(t, s, 0); len(good) != behind || len(damaged) != 0 {
		t.Errorf("%d chunks are left, want %d; damaged %v", len(good), behind, damaged)
	}
}

// TestFullRecovers fills a small volume without trimming until nothing more is
// accepted. When its reader has caught up, space returns by itself although
// nobody writes, and appending goes on.
func TestFullRecovers(t *testing.T) {
	if testing.Short() {
		t.Skip("writes 200 MB")
	}
	const volume, size = 200 << 20, 256 << 10
	var s *store
	s = openStore(t, t.TempDir(), Options{
		ReserveBytes: 64 << 20,
		FreeBytes:    func() (int64, error) { return volume - s.Usage(), nil },
	})
	n := uint64(0)
	fill := func() {
		for ; ; n++ {
			if n > 2*volume/size {
				t.Fatal("the volume is never full")
			}
			_, err := s.Append(t.Context(), []spool.Chunk{noiseChunk(n, size)})
			if errors.Is(err, spool.ErrFull) {
				return
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	fill()
	if err := s.Commit(spool.Set("cursor", []byte("1"))); err != nil {
		t.Fatalf("the reserve is not there for state: %v", err)
	}
	stored := s.Tail()
	if good, damaged := readAll(t, s, 0); len(good) != int(stored) || len(damaged) != 0 {
		t.Fatalf("%d of %d chunks can be read, damaged %v", len(good), stored, damaged)
	}
	if err := s.Trim(stored); err != nil {
		t.Fatal(err)
	}
	eventually(t, "space has returned", func() bool { return s.Usage() < volume/2 })
	fill()
	if more := s.Tail() - stored; more < 50 {
		t.Errorf("after space had returned only %d chunks fitted", more)
	}
}

// TestMemory: with much stored and read the spool itself holds little.
func TestMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("writes 200 MB")
	}
	before := resident(t)
	s := openStore(t, t.TempDir(), Options{})
	var peak int64
	for n := range uint64(200 << 20 / (256 << 10)) {
		if _, err := s.Append(t.Context(), []spool.Chunk{noiseChunk(n, 256<<10)}); err != nil {
			t.Fatal(err)
		}
		if n%16 == 0 {
			peak = max(peak, resident(t)-before)
		}
	}
	readAll(t, s, 0)
	peak = max(peak, resident(t)-before)
	t.Logf("at most %d MB", peak>>20)
	if peak > memoryBound {
		t.Errorf("%d MB were held", peak>>20)
	}
}

// resident is the memory of this process, without what is garbage. Pebble takes
// memory from the C library where there is cgo, so the Go heap does not tell.
func resident(t *testing.T) int64 {
	debug.FreeOSMemory()
	b, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Skip("needs /proc/self/statm: ", err)
	}
	var size, pages int64
	if _, err := fmt.Sscan(string(b), &size, &pages); err != nil {
		t.Fatal(err)
	}
	return pages * int64(os.Getpagesize())
}

// TestOwnEventsUseTheReserve: what a full volume costs can still be recorded.
func TestOwnEventsUseTheReserve(t *testing.T) {
	const reserve = 64 << 20
	free := int64(reserve / 2)
	s := openStore(t, t.TempDir(), Options{ReserveBytes: reserve, FreeBytes: func() (int64, error) { return free, nil }})
	own, audit := noiseChunk(1, 100), noiseChunk(2, 100)
	own.Kind = spool.KindOwn
	for name, chunks := range map[string][]spool.Chunk{"an audit event": {audit}, "both": {own, audit}} {
		if _, err := s.Append(t.Context(), chunks); !errors.Is(err, spool.ErrFull) {
			t.Errorf("%s on a full volume: %v", name, err)
		}
	}
	if _, err := s.Append(t.Context(), []spool.Chunk{own}); err != nil {
		t.Errorf("an event of our own on a full volume: %v", err)
	}
	free = reserve / stateShare
	own.ID[0]++
	if _, err := s.Append(t.Context(), []spool.Chunk{own}); !errors.Is(err, spool.ErrFull) {
		t.Errorf("an event of our own when even the reserve is gone: %v", err)
	}
}
