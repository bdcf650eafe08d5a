package durability

import (
	"bytes"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/trail-operator/trail-operator/internal/receiverstatus"
	"github.com/trail-operator/trail-operator/test/testenv"
)

const (
	diskSize = 384 << 20
	// reserve leaves room for what Pebble writes when nothing more is accepted:
	// a memtable and the next log, 24 MiB each.
	reserve = 96 << 20
)

// TestFullDisk takes the space away under load, on a small file system of the
// receiver's own, kills the receiver there, and gives the space back.
func TestFullDisk(t *testing.T) {
	disk := t.TempDir()
	if err := syscall.Mount("tmpfs", disk, "tmpfs", 0, "size="+strconv.Itoa(diskSize)); err != nil {
		t.Skipf("a small file system cannot be mounted, which takes root: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(disk, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	w := newWorld(t, filepath.Join(disk, "data"), []string{"--reserve-bytes", strconv.Itoa(reserve)})
	defer w.stop()
	w.inForce()
	w.sendSome()
	w.configureFull(disk)
	for _, left := range []int64{reserve / 2, reserve / 16, 0} {
		w.sendSome()
		leave(t, disk, left)
		var over atomic.Bool
		wait := w.startLoad(over.Load, smallBody)
		w.wantFull()
		w.kill()
		if left > 0 { // without a single byte it starts when there are some
			w.until("the receiver on a full volume", func(receiverstatus.Trail) bool { return true })
			w.wantFull()
		}
		over.Store(true)
		leave(t, disk, diskSize)
		wait() // what was refused is taken now
	}
	if n := w.deaths(); n != 3 {
		t.Errorf("the receiver died %d times, and was killed three times", n)
	}
	w.promise()
}

// configureFull changes the trail while its state cannot be stored: the change
// is in force when there is space again.
func (w *world) configureFull(disk string) {
	w.t.Helper()
	leave(w.t, disk, 0)
	w.trail().MaxFileAgeSeconds++
	w.trail().Generation++
	if err := w.in.Write(); err != nil {
		w.t.Fatal(err)
	}
	for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		s, err := w.status()
		if err == nil && s.ConfigError != "" {
			break
		}
		if time.Now().After(deadline) {
			w.t.Fatalf("the status does not tell that the configuration is not in force: %+v, %v", s, err)
		}
	}
	leave(w.t, disk, diskSize)
	w.inForce()
}

func (w *world) sendSome() {
	w.t.Helper()
	before := len(w.ledger.acked)
	w.load(func() bool {
		w.ledger.mu.Lock()
		defer w.ledger.mu.Unlock()
		return len(w.ledger.acked) >= before+100
	})
}

// wantFull requires the answer of a full volume, again and again, from a
// receiver that lives and says so.
func (w *world) wantFull() {
	w.t.Helper()
	deaths := w.deaths()
	for range 20 {
		status, header, err := w.post(w.probe())
		if err != nil || status != http.StatusServiceUnavailable {
			w.t.Fatalf("a full volume answers %d (%v)\n%s", status, err, w.log())
		}
		if n, err := strconv.Atoi(header.Get("Retry-After")); err != nil || n < 1 || n > 30 {
			w.t.Fatalf("Retry-After is %q", header.Get("Retry-After"))
		}
	}
	if s, err := w.status(); err != nil || !s.Spool.Full {
		w.t.Errorf("the status does not tell that the volume is full: %v, %v", s, err)
	}
	if w.deaths() != deaths {
		w.t.Error("the receiver died")
	}
}

// probe is a body whose one event makes no record, whether it is taken or not.
func (w *world) probe() []byte {
	body := testenv.NewEvents(seeds.Add(1)).List(nil, 1)
	return bytes.Replace(body, []byte(`"ResponseComplete"`), []byte(`"RequestReceived"`), 1)
}

// leave makes a file so large that so many bytes are free, or removes it.
func leave(t *testing.T, disk string, free int64) {
	t.Helper()
	path := filepath.Join(disk, "ballast")
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	var s syscall.Statfs_t
	if err := syscall.Statfs(disk, &s); err != nil {
		t.Fatal(err)
	}
	size := int64(s.Bavail)*s.Bsize - free
	if size <= 0 {
		return
	}
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for deadline := time.Now().Add(patience); ; {
		err := syscall.Fallocate(int(f.Fd()), 0, 0, size)
		if err == nil {
			return
		}
		if !errors.Is(err, syscall.EINTR) || time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}
