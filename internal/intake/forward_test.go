package intake

import (
	"context"
	"crypto/sha256"
	"fmt"
	"hash"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/utils/clock"

	"github.com/trail-operator/trail-operator/internal/forward"
	"github.com/trail-operator/trail-operator/internal/receiverconfig"
	"github.com/trail-operator/trail-operator/internal/spool"
)

// forwarding is a forwarder to a second receiver.
func forwarding(t *testing.T, to http.HandlerFunc, queue int64) *forward.Forwarder {
	t.Helper()
	f, err := forward.New(forward.Options{Dir: t.TempDir(), Clock: clock.RealClock{}, Log: logr.Discard()})
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(to)
	t.Cleanup(s.Close)
	if err := f.Configure(&receiverconfig.ForwardTo{URL: s.URL, TimeoutSeconds: 5, QueueBytes: queue}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); f.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	return f
}

// What is answered with 200 goes on as it came, and nothing else does.
func TestForwarded(t *testing.T) {
	bodies := make(chan string, 10)
	f := forwarding(t, func(_ http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		bodies <- string(b)
	}, 64<<20)
	s := newMemorySpool()
	r := run(t, s, func(o *Options) { o.Forward = f })
	secret := list(event("a", `"objectRef":{"resource":"secrets"}`, `"responseObject":{"data":{"password":"c2VjcmV0"}}`), "broken")
	r.send(secret, 200)
	s.fail(spool.ErrFull)
	r.send(list(event("refused")), 503)
	s.fail(nil)
	last := list(event("last"))
	r.send(last, 200)
	for _, want := range []string{secret, last} {
		select {
		case got := <-bodies:
			if got != want {
				t.Errorf("got %s, want %s", got, want)
			}
		case <-time.After(20 * time.Second):
			t.Fatal("nothing comes")
		}
	}
	if c := s.content(t); strings.Contains(strings.Join(c.Items, ""), "c2VjcmV0") {
		t.Error("what is forwarded is stored, too")
	}
}

// A second receiver that hangs, or is full, holds up no POST.
func TestForwardHangs(t *testing.T) {
	release := make(chan struct{})
	f := forwarding(t, func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-release:
		case <-r.Context().Done():
		}
	}, receiverconfig.MinForwardQueueBytes)
	defer close(release)
	s := newMemorySpool()
	r := run(t, s, func(o *Options) { o.Forward = f })
	large := list(event("a", `"requestObject":"`+strings.Repeat("x", 900<<10)+`"`))
	began := time.Now()
	for i := range 40 {
		r.send(strings.Replace(large, `"a"`, fmt.Sprintf(`"%d"`, i), 1), 200)
	}
	if took := time.Since(began); took > time.Minute {
		t.Errorf("40 POSTs took %v", took)
	}
	if got := f.Status(); got.Dropped == 0 || got.WaitingBytes > receiverconfig.MinForwardQueueBytes || got.Dropped+int64(got.Waiting) != 40 {
		t.Errorf("%+v", got)
	}
}

// hashing reads an EventList of a size and notes its hash.
type hashing struct {
	io.Reader
	hash.Hash
}

func (h hashing) Read(b []byte) (int, error) {
	n, err := h.Reader.Read(b)
	h.Write(b[:n])
	return n, err
}

// One POST of a real API server had 540 MB: memory does not grow with it, and all
// of it arrives.
func TestForwardLargeBodyWithFlatMemory(t *testing.T) {
	size := 500 << 20
	if raceDetector || testing.Short() {
		size = 100 << 20
	}
	const ceiling = 64 << 20
	item := event("ID", `"objectRef":{"resource":"configmaps"}`, `"requestObject":{"data":"`+strings.Repeat("x", 500<<10)+`"}`)
	var most atomic.Uint64
	sum := make(chan string, 1)
	f := forwarding(t, func(_ http.ResponseWriter, r *http.Request) {
		h := sha256.New()
		buffer := make([]byte, 256<<10)
		for {
			n, err := r.Body.Read(buffer)
			h.Write(buffer[:n])
			most.Store(max(most.Load(), heap()))
			if err != nil {
				break
			}
		}
		sum <- fmt.Sprintf("%x", h.Sum(nil))
	}, 2<<30)
	s := newMemorySpool()
	s.forget = true
	r := run(t, s, func(o *Options) { o.Forward = f })
	c := r.client(r.clients, apiServer1)
	r.send(list(event("first")), 200)
	<-sum
	runtime.GC()
	base := heap()
	body := hashing{&listReader{next: func(i int) string {
		if i*len(item) > size {
			return ""
		}
		if i%50 == 0 {
			most.Store(max(most.Load(), heap()))
		}
		return strings.Replace(item, "ID", fmt.Sprint(i), 1)
	}}, sha256.New()}
	req, err := http.NewRequest(http.MethodPost, "https://"+r.address+path1, body)
	if err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	resp, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	received := time.Since(start)
	if resp.StatusCode != 200 {
		t.Fatalf("status %d", resp.StatusCode)
	}
	select {
	case got := <-sum:
		if want := fmt.Sprintf("%x", body.Sum(nil)); got != want {
			t.Error("other bytes arrived")
		}
	case <-time.After(time.Minute):
		t.Fatal("nothing arrives")
	}
	if most.Load() > base+ceiling {
		t.Errorf("the heap grew by %d MiB", (most.Load()-base)>>20)
	}
	t.Logf("%d MiB received in %v, forwarded in %v, heap +%d MiB", size>>20, received.Round(time.Millisecond),
		(time.Since(start) - received).Round(time.Millisecond), (max(most.Load(), base)-base)>>20)
}
