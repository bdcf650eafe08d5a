package pebble

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/trail-operator/trail-operator/internal/spool"
)

// testChunk is a small chunk with an ID of its own.
func testChunk(n byte) spool.Chunk {
	return spool.Chunk{ID: spool.ID{n, n}, Kind: spool.KindAudit, Items: 1, Data: spool.AppendItem(nil, []byte{n})}
}

func openStore(t *testing.T, dir string, opts Options) *store {
	t.Helper()
	s, err := Open(dir, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s.(*store)
}

// eventually polls until a condition holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within 30 s: %s", what)
		}
	}
}

// gate holds syncs up while it is shut.
type gate struct {
	mu      sync.RWMutex
	waiting chan struct{}
}

// shut holds syncs up until open is called, or the test ends.
func (g *gate) shut(t *testing.T) (open func()) {
	g.mu.Lock()
	for len(g.waiting) > 0 {
		<-g.waiting
	}
	open = sync.OnceFunc(g.mu.Unlock)
	t.Cleanup(open) // before the spool is closed
	return open
}

func (g *gate) pass() {
	select {
	case g.waiting <- struct{}{}:
	default:
	}
	g.mu.RLock()
	defer g.mu.RUnlock()
}

// TestNothingIsVisibleBeforeItsSync: Pebble shows writes before they are
// synced; we do not.
func TestNothingIsVisibleBeforeItsSync(t *testing.T) {
	g := &gate{waiting: make(chan struct{}, 1)}
	s := openStore(t, "spool", Options{FS: &syncFS{FS: vfs.NewMem(), sync: g.pass}})
	if err := s.Commit(spool.Set("a", []byte("old"))); err != nil {
		t.Fatal(err)
	}
	open := g.shut(t)
	answered := make(chan error, 3)
	for n := range byte(3) {
		go func() {
			_, err := s.Append(context.Background(), []spool.Chunk{testChunk(n)}, spool.Set("a", []byte("new")))
			answered <- err
		}()
	}
	<-g.waiting
	eventually(t, "Pebble shows all three chunks", func() bool {
		value, err := s.get(chunkKey(3))
		return err == nil && value != nil
	})
	if tail := s.Tail(); tail != 0 {
		t.Errorf("the tail is at %d before the sync", tail)
	}
	got := make(chan []byte, 1)
	go func() {
		value, err := s.Get("a")
		if err != nil {
			t.Error(err)
		}
		got <- value
	}()
	select {
	case err := <-answered:
		t.Errorf("answered with %v before the sync", err)
	case value := <-got:
		t.Errorf("the document is shown as %q before the sync", value)
	case <-time.After(20 * time.Millisecond): // lets a wrong answer arrive
	}
	open()
	for range 3 {
		if err := <-answered; err != nil {
			t.Error(err)
		}
	}
	if value := <-got; string(value) != "new" {
		t.Errorf("the document is %q", value)
	}
	if tail := s.Tail(); tail != 3 {
		t.Errorf("the tail is at %d, want 3", tail)
	}
}

// TestGroupCommit: calls that come while a sync is under way share the next one.
func TestGroupCommit(t *testing.T) {
	g := &gate{waiting: make(chan struct{}, 1000)}
	s := openStore(t, "spool", Options{FS: &syncFS{FS: vfs.NewMem(), sync: g.pass}})
	open := g.shut(t)
	var wg sync.WaitGroup
	var started atomic.Int64
	const calls = 100
	for n := range byte(calls) {
		wg.Go(func() {
			started.Add(1)
			if _, err := s.Append(context.Background(), []spool.Chunk{testChunk(n)}); err != nil {
				t.Error(err)
			}
		})
	}
	eventually(t, "the calls have come", func() bool { return started.Load() == calls && s.inFlight.Load() > 0 })
	open()
	wg.Wait()
	if n := len(g.waiting); n > calls/2 {
		t.Errorf("%d calls needed %d syncs", calls, n)
	}
}

// TestAdmission: what waits inside Append is bounded, and waiting ends with the
// caller's context.
func TestAdmission(t *testing.T) {
	g := &gate{waiting: make(chan struct{}, 1)}
	s := openStore(t, "spool", Options{FS: &syncFS{FS: vfs.NewMem(), sync: g.pass}})
	open := g.shut(t)
	var wg sync.WaitGroup
	const calls = 12
	big := func(n byte) spool.Chunk {
		return spool.Chunk{ID: spool.ID{n}, Items: 1, Data: spool.AppendItem(nil, make([]byte, 4<<20))}
	}
	ctx, cancel := context.WithCancel(t.Context())
	refused := make(chan error, calls)
	for n := range byte(calls) {
		wg.Go(func() {
			if _, err := s.Append(ctx, []spool.Chunk{big(n)}); err != nil {
				refused <- err
			}
		})
	}
	eventually(t, "as many calls as fit are under way", func() bool {
		return s.inFlight.Load() > 0 && !s.admission.TryAcquire(4<<20+8)
	})
	cancel()
	if err := <-refused; !errors.Is(err, context.Canceled) {
		t.Errorf("a call that waited for admission ended with %v", err)
	}
	open()
	wg.Wait()
	if got := int(s.Tail()) + len(refused) + 1; got != calls {
		t.Errorf("%d calls were stored or refused, want %d", got, calls)
	}
}

// TestReserveCountsWhatIsUnderWay: what waits for its sync may not be on the
// volume yet, and is counted as if it were.
func TestReserveCountsWhatIsUnderWay(t *testing.T) {
	g := &gate{waiting: make(chan struct{}, 1)}
	s := openStore(t, "spool", Options{
		FS: &syncFS{FS: vfs.NewMem(), sync: g.pass}, ReserveBytes: 1 << 20,
		FreeBytes: func() (int64, error) { return 1<<20 + 1500, nil },
	})
	chunk := func(n byte) spool.Chunk { return noiseChunk(uint64(n), 1000) }
	open := g.shut(t)
	answered := make(chan error, 2)
	call := func(n byte) {
		_, err := s.Append(context.Background(), []spool.Chunk{chunk(n)})
		answered <- err
	}
	go call(1)
	eventually(t, "the first call is under way", func() bool { return s.inFlight.Load() > 0 })
	go call(2)
	eventually(t, "the second call is refused", func() bool { return testutil.ToFloat64(s.metrics.refused) == 1 })
	open()
	if err := errors.Join(<-answered, <-answered); !errors.Is(err, spool.ErrFull) {
		t.Errorf("refused with %v", err)
	}
	if _, err := s.Append(t.Context(), []spool.Chunk{chunk(2)}); err != nil {
		t.Errorf("after the sync of the first, the second call was refused: %v", err)
	}
}

// TestVolumeUnknown: when nobody can say what is free, nothing is accepted.
func TestVolumeUnknown(t *testing.T) {
	s := openStore(t, "spool", Options{
		FS: vfs.NewMem(), FreeBytes: func() (int64, error) { return 1 << 40, errors.New("no such device") },
	})
	if _, err := s.Append(t.Context(), []spool.Chunk{testChunk(1)}); !errors.Is(err, spool.ErrFull) {
		t.Errorf("Append: %v", err)
	}
	if err := s.Commit(spool.Set("a", []byte("b"))); !errors.Is(err, spool.ErrFull) {
		t.Errorf("Commit: %v", err)
	}
}

func TestMetrics(t *testing.T) {
	registry := prometheus.NewRegistry()
	dir := t.TempDir()
	s := openStore(t, dir, Options{Registerer: registry})
	for range 2 {
		if _, err := s.Append(t.Context(), []spool.Chunk{testChunk(1)}); err != nil {
			t.Fatal(err)
		}
	}
	err := testutil.GatherAndCompare(registry, strings.NewReader(`
# HELP trail_spool_appended_chunks_total Chunks stored.
# TYPE trail_spool_appended_chunks_total counter
trail_spool_appended_chunks_total 1
# HELP trail_spool_duplicate_chunks_total Chunks that had been stored before and were not stored again.
# TYPE trail_spool_duplicate_chunks_total counter
trail_spool_duplicate_chunks_total 1
# HELP trail_spool_tail_position Position up to which every chunk is durable.
# TYPE trail_spool_tail_position gauge
trail_spool_tail_position 1
`), "trail_spool_appended_chunks_total", "trail_spool_duplicate_chunks_total", "trail_spool_tail_position")
	if err != nil {
		t.Error(err)
	}
	if problems, err := testutil.GatherAndLint(registry); err != nil || len(problems) > 0 {
		t.Error(err, problems)
	}
	if _, err := Open(t.TempDir(), Options{Registerer: registry}); err == nil {
		t.Error("two spools share one registry")
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	openStore(t, dir, Options{Registerer: registry})
}

func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	openStore(t, dir, Options{})
	_, err := Open(dir, Options{})
	if err == nil || !strings.Contains(err.Error(), dir) {
		t.Errorf("opening a spool twice: %v", err)
	}
}
