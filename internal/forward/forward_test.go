package forward

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"k8s.io/utils/clock"

	"github.com/trail-operator/trail-operator/internal/receiverconfig"
)

// second is a webhook receiver that notes what it takes.
type second struct {
	*httptest.Server
	answer atomic.Int64 // status; 0 means 200
	tries  atomic.Int64
	hang   chan struct{} // not nil: answers wait until it is closed
	// poison answers to bodies that contain this word.
	poison func(http.ResponseWriter)

	mu     sync.Mutex
	bodies []string
	header http.Header
}

func (s *second) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.tries.Add(1)
	b, err := io.ReadAll(r.Body)
	if s.poison != nil && bytes.Contains(b, []byte("poison")) {
		s.poison(w)
		return
	}
	if s.hang != nil {
		select {
		case <-s.hang:
		case <-r.Context().Done():
			return
		}
	}
	if code := int(s.answer.Load()); code != 0 {
		w.WriteHeader(code)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil {
		s.bodies, s.header = append(s.bodies, string(b)), r.Header
	}
}

func (s *second) got() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.bodies...)
}

func newSecond(t *testing.T) *second {
	s := &second{}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

func (s *second) config() *receiverconfig.ForwardTo {
	return &receiverconfig.ForwardTo{URL: s.URL + "/k8s-audit", TimeoutSeconds: 5, QueueBytes: 1 << 20}
}

// start runs a forwarder, and returns how to end it.
func start(t *testing.T, c *receiverconfig.ForwardTo, change ...func(*Options)) (f *Forwarder, stop func()) {
	t.Helper()
	o := Options{Dir: filepath.Join(t.TempDir(), "forward"), Clock: clock.RealClock{}, Log: logr.Discard(), Registerer: prometheus.NewRegistry()}
	for _, fn := range change {
		fn(&o)
	}
	f, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	f.wait = time.Millisecond
	if err := f.Configure(c); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); f.Run(ctx) }()
	stop = sync.OnceFunc(func() { cancel(); <-done })
	t.Cleanup(stop)
	return f, stop
}

// post copies a body as intake does it.
func post(f *Forwarder, body string) {
	b := f.Begin(int64(len(body)))
	for r := strings.NewReader(body); ; {
		part := make([]byte, 1000)
		n, err := r.Read(part)
		b.Write(part[:n])
		if err != nil {
			break
		}
	}
	b.Commit()
	b.Abort() // as a deferred call does it
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("waited in vain: " + what)
		}
	}
}

func dropped(f *Forwarder, reason string) int {
	return int(testutil.ToFloat64(f.metrics.dropped.WithLabelValues(reason)))
}

// files are what the folder of the queue holds.
func files(t *testing.T, f *Forwarder) int {
	t.Helper()
	list, err := os.ReadDir(f.o.Dir)
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

// empty: nothing waits, takes room or lies on the volume.
func empty(t *testing.T, f *Forwarder) {
	t.Helper()
	eventually(t, "the queue is empty", func() bool {
		s := f.Status()
		return s != nil && s.Waiting == 0 && s.WaitingBytes == 0 && files(t, f) == 0
	})
}

// The same bytes arrive, in the order of their POSTs.
func TestSameBytesInOrder(t *testing.T) {
	s := newSecond(t)
	f, _ := start(t, s.config())
	var want []string
	for i, n := range []int{0, 1, 999, BufferSize - 1, BufferSize, BufferSize + 1, 3 * BufferSize, 200_000} {
		raw := make([]byte, n)
		_, _ = rand.Read(raw)
		body := fmt.Sprint(i, " ") + string(raw)
		want = append(want, body)
		post(f, body)
	}
	eventually(t, "all bodies arrive", func() bool { return len(s.got()) == len(want) })
	if d := cmp.Diff(want, s.got()); d != "" {
		t.Error("other bytes, or another order")
	}
	if s.header.Get("Content-Type") != "application/json" || s.header.Get("Authorization") != "" {
		t.Errorf("header %v", s.header)
	}
	empty(t, f)
	if got := f.Status(); got.Sent != int64(len(want)) || got.Dropped != 0 || got.Failure != nil {
		t.Errorf("%+v", got)
	}
}

// A body that intake does not store is not sent.
func TestAbort(t *testing.T) {
	s := newSecond(t)
	f, _ := start(t, s.config())
	b := f.Begin(-1)
	b.Write(bytes.Repeat([]byte("a"), 3*BufferSize))
	b.Abort()
	b.Commit()
	post(f, "next")
	eventually(t, "the next body arrives", func() bool { return len(s.got()) == 1 })
	if s.got()[0] != "next" {
		t.Error("an aborted body was sent")
	}
	empty(t, f)
}

// What lies on the volume shows nothing of the bodies.
func TestEncryptedOnTheVolume(t *testing.T) {
	s := newSecond(t)
	s.answer.Store(503)
	f, _ := start(t, s.config())
	post(f, strings.Repeat("correct horse battery staple ", 10_000))
	list, err := os.ReadDir(f.o.Dir)
	if err != nil || len(list) != 1 {
		t.Fatal(list, err)
	}
	raw, err := os.ReadFile(filepath.Join(f.o.Dir, list[0].Name()))
	if err != nil {
		t.Fatal(err)
	}
	if len(raw) != 290_000 || bytes.Contains(raw, []byte("horse")) {
		t.Errorf("%d bytes lie on the volume, readable", len(raw))
	}
}

// What an answer means for the body.
func TestAnswers(t *testing.T) {
	for _, c := range []struct {
		code    int
		tries   int64 // 0: without end
		dropped string
	}{
		{400, 1, reasonRefused},
		{413, 1, reasonRefused},
		{500, maxTries, reasonFailed},
		{302, 0, ""},
		{401, 0, ""},
		{404, 0, ""},
		{429, 0, ""},
		{503, 0, ""},
	} {
		t.Run(fmt.Sprint(c.code), func(t *testing.T) {
			s := newSecond(t)
			s.answer.Store(int64(c.code))
			f, _ := start(t, s.config())
			post(f, "first")
			if c.tries == 0 {
				eventually(t, "it is tried again and again", func() bool { return s.tries.Load() > maxTries+1 })
				if got := f.Status(); got.Failure == nil || got.Failure.Code != fmt.Sprintf("HTTP%d", c.code) || got.Waiting != 1 {
					t.Errorf("%+v", got)
				}
			} else {
				eventually(t, "it is dropped", func() bool { return dropped(f, c.dropped) == 1 })
				if got := s.tries.Load(); got != c.tries {
					t.Errorf("%d tries, want %d", got, c.tries)
				}
			}
			s.answer.Store(0)
			post(f, "second")
			want := []string{"first", "second"}
			if c.tries > 0 {
				want = want[1:]
			}
			eventually(t, "the rest arrives", func() bool { return len(s.got()) == len(want) })
			if d := cmp.Diff(want, s.got()); d != "" {
				t.Error(d)
			}
			empty(t, f)
			if got := f.Status(); got.Failure != nil {
				t.Errorf("the failure stays: %+v", got.Failure)
			}
		})
	}
}

// A body that the second receiver, or what is before it, cannot stand holds up
// the others for some tries only.
func TestPoison(t *testing.T) {
	for name, poison := range map[string]func(http.ResponseWriter){
		"403":   func(w http.ResponseWriter) { w.WriteHeader(403) },
		"503":   func(w http.ResponseWriter) { w.WriteHeader(503) },
		"reset": func(http.ResponseWriter) { panic(http.ErrAbortHandler) },
	} {
		for poisoned := range 4 {
			t.Run(fmt.Sprint(poisoned, " ", name), func(t *testing.T) {
				s := newSecond(t)
				s.poison = poison
				f, _ := start(t, s.config())
				post(f, "one")
				for i := range poisoned {
					post(f, fmt.Sprint("poison ", i))
				}
				want := []string{"one"}
				for i := range 10 {
					post(f, fmt.Sprint(i))
					want = append(want, fmt.Sprint(i))
				}
				eventually(t, "all others arrive", func() bool { return len(s.got()) == len(want) })
				if poisoned <= 1 {
					if d := cmp.Diff(want, s.got()); d != "" {
						t.Error(d)
					}
				}
				empty(t, f)
				if got := f.Status(); got.Dropped != int64(poisoned) || got.Sent != 11 || dropped(f, reasonFailed) != poisoned {
					t.Errorf("%+v", got)
				}
			})
		}
	}
}

// What is not ready for a while gets everything, whatever was tried meanwhile.
func TestNotReady(t *testing.T) {
	for _, code := range []int64{403, 503} {
		s := newSecond(t)
		s.answer.Store(code)
		f, _ := start(t, s.config())
		for i := range 10 {
			post(f, fmt.Sprint(i))
		}
		eventually(t, "others are tried", func() bool { return s.tries.Load() > 2*maxTries })
		s.answer.Store(0)
		eventually(t, "all arrive", func() bool { return len(s.got()) == 10 })
		empty(t, f)
		if got := f.Status(); got.Dropped != 0 || got.Sent != 10 || got.Failure != nil {
			t.Errorf("%+v", got)
		}
	}
}

// A receiver that becomes ready just when another body is tried loses none.
func TestReadyJustNow(t *testing.T) {
	s := newSecond(t)
	s.answer.Store(503)
	tries := 0
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if tries++; tries > maxTries {
			s.answer.Store(0)
		}
		s.ServeHTTP(w, r)
	}))
	t.Cleanup(front.Close)
	c := s.config()
	c.URL = front.URL
	f, _ := start(t, c)
	post(f, "a")
	post(f, "b")
	empty(t, f)
	if d := cmp.Diff([]string{"b", "a"}, s.got()); d != "" || f.Status().Dropped != 0 {
		t.Errorf("%+v %s", f.Status(), d)
	}
}

// A receiver that is dead for a while loses nothing that fits into the queue.
func TestDead(t *testing.T) {
	s := newSecond(t)
	address := s.Listener.Addr().String()
	c := s.config()
	s.Close()
	f, _ := start(t, c)
	for i := range 10 {
		post(f, fmt.Sprint(i))
	}
	eventually(t, "it is found dead", func() bool { return f.Status().Failure != nil })
	if got := f.Status(); got.Failure.Code != "Unreachable" || got.Waiting != 10 {
		t.Errorf("%+v", got)
	}
	alive := &second{}
	alive.Server = httptest.NewUnstartedServer(alive)
	_ = alive.Listener.Close()
	var err error
	if alive.Listener, err = listen(t, address); err != nil {
		t.Skip("somebody took the port: " + err.Error())
	}
	alive.Start()
	t.Cleanup(alive.Close)
	eventually(t, "all arrive", func() bool { return len(alive.got()) == 10 })
	if d := cmp.Diff("0123456789", strings.Join(alive.got(), "")); d != "" {
		t.Error(d)
	}
}

// The queue is bounded: the oldest go, and they are counted.
func TestDropOldest(t *testing.T) {
	s := newSecond(t)
	s.hang = make(chan struct{})
	c := s.config()
	f, _ := start(t, c)
	const posts = 200
	body := func(i int) string { return fmt.Sprintf("%03d", i) + strings.Repeat("x", 20_000) }
	post(f, body(0))
	eventually(t, "the first is on its way", func() bool { return s.tries.Load() == 1 })
	for i := 1; i < posts; i++ {
		post(f, body(i))
		if used := f.Status().WaitingBytes; used > c.QueueBytes {
			t.Fatalf("%d bytes wait", used)
		}
	}
	if n := files(t, f); int64(n)*20_000 > c.QueueBytes {
		t.Errorf("%d files lie on the volume", n)
	}
	lost := dropped(f, reasonQueue)
	close(s.hang)
	eventually(t, "the others arrive", func() bool { return len(s.got()) == posts-lost })
	got := s.got()
	if got[0] != body(0) { // was on its way
		t.Error("the first was dropped although it was on its way")
	}
	for i := 1; i < len(got); i++ {
		if got[i] != body(lost+i) {
			t.Fatalf("body %d is not the one of POST %d", i, lost+i)
		}
	}
	if want := int64(lost); f.Status().Dropped != want || lost == 0 {
		t.Errorf("%d dropped, want %d", f.Status().Dropped, want)
	}
	empty(t, f)
}

// Tiny bodies take room, too: the files are bounded.
func TestTinyBodies(t *testing.T) {
	s := newSecond(t)
	s.answer.Store(503)
	f, _ := start(t, s.config())
	for range 1000 {
		post(f, "{}")
	}
	if n := files(t, f); n > 1<<20/minCost {
		t.Errorf("%d files", n)
	}
}

// A body larger than the queue is not taken, and drops none for its sake that is
// known in advance.
func TestTooLarge(t *testing.T) {
	s := newSecond(t)
	s.answer.Store(503)
	f, _ := start(t, s.config())
	b := f.Begin(-1)
	b.Write(make([]byte, 2<<20))
	b.Commit()
	post(f, "small")
	if b := f.Begin(1<<20 + 1); b != nil {
		t.Error("a body larger than the queue was begun")
	}
	if got := dropped(f, reasonTooLarge); got != 2 {
		t.Errorf("%d dropped", got)
	}
	s.answer.Store(0)
	empty(t, f)
	if len(s.got()) != 1 {
		t.Error("the small one went with them")
	}
}

// Copies give way when the volume is short of space.
func TestVolume(t *testing.T) {
	s := newSecond(t)
	s.answer.Store(503)
	var free atomic.Int64
	free.Store(1000)
	f, _ := start(t, s.config(), func(o *Options) {
		o.KeepFree, o.FreeBytes = 500, func() (int64, error) { return free.Load(), nil }
	})
	post(f, "a")
	free.Store(400)
	post(f, "b")
	eventually(t, "copies give way", func() bool { return dropped(f, reasonVolume) >= 1 })
	free.Store(1000)
	post(f, "c")
	s.answer.Store(0)
	eventually(t, "the last arrives", func() bool { g := s.got(); return len(g) > 0 && g[len(g)-1] == "c" })
	empty(t, f)
}

// Intake does not notice that the folder is gone.
func TestBrokenVolume(t *testing.T) {
	s := newSecond(t)
	f, _ := start(t, s.config())
	if err := os.RemoveAll(f.o.Dir); err != nil {
		t.Fatal(err)
	}
	post(f, "a")
	if dropped(f, reasonVolume) != 1 || f.Status().WaitingBytes != 0 {
		t.Errorf("%+v", f.Status())
	}
}

// Another address takes over what waits, without a restart; none drops it.
func TestConfigure(t *testing.T) {
	first, other := newSecond(t), newSecond(t)
	first.hang = make(chan struct{})
	defer close(first.hang)
	f, _ := start(t, first.config())
	post(f, "a")
	eventually(t, "it is on its way", func() bool { return first.tries.Load() == 1 })
	if err := f.Configure(other.config()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the other gets it", func() bool { return len(other.got()) == 1 })
	if err := f.Configure(&receiverconfig.ForwardTo{CA: []byte("no PEM")}); err == nil {
		t.Error("a CA that is none was taken")
	}
	other.answer.Store(503)
	post(f, "b")
	if err := f.Configure(nil); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the folder is empty", func() bool { return files(t, f) == 0 })
	if f.Status() != nil || f.On() || dropped(f, reasonDisabled) != 1 {
		t.Error("nothing is forwarded any more, and that does not show")
	}
	post(f, "c")
	if files(t, f) != 0 {
		t.Error("a body was copied")
	}
}

// The end of the process sends what it can; a start counts what was left.
func TestRestart(t *testing.T) {
	s := newSecond(t)
	f, stop := start(t, s.config())
	for i := range 20 {
		post(f, fmt.Sprint(i))
	}
	stop()
	if len(s.got()) != 20 || files(t, f) != 0 {
		t.Errorf("%d arrived, %d files are left", len(s.got()), files(t, f))
	}
	s.answer.Store(503)
	f, stop = start(t, s.config())
	post(f, "lost")
	stop()
	if dropped(f, reasonRestart) != 1 || files(t, f) != 0 {
		t.Errorf("%d dropped, %d files are left", dropped(f, reasonRestart), files(t, f))
	}
	dir := t.TempDir()
	for _, name := range []string{"0000000000000001.due", "0000000000000002.due", "0000000000000003.part"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	f, _ = start(t, s.config(), func(o *Options) { o.Dir = dir })
	if dropped(f, reasonRestart) != 2 || files(t, f) != 0 {
		t.Errorf("%d dropped, %d files are left", dropped(f, reasonRestart), files(t, f))
	}
}

// A receiver that takes a connection and says nothing costs one timeout a try.
func TestSlow(t *testing.T) {
	s := newSecond(t)
	s.hang = make(chan struct{})
	c := s.config()
	c.TimeoutSeconds = 5
	f, _ := start(t, c)
	began := time.Now()
	post(f, "a")
	if took := time.Since(began); took > 4*time.Second {
		t.Errorf("a POST waited %v", took)
	}
	eventually(t, "the try ends", func() bool { g := f.Status(); return g.Failure != nil && g.Failure.Code == "Timeout" })
	close(s.hang)
	eventually(t, "it arrives", func() bool { return len(s.got()) == 1 })
}

// Over TLS the token is sent and the certificate is checked.
func TestTLS(t *testing.T) {
	s := &second{}
	s.Server = httptest.NewUnstartedServer(s)
	s.EnableHTTP2 = true
	s.StartTLS()
	t.Cleanup(s.Close)
	c := s.config()
	c.Token = "t0ken"
	f, _ := start(t, c)
	post(f, strings.Repeat("x", 300_000))
	eventually(t, "the certificate is refused", func() bool { g := f.Status(); return g.Failure != nil && g.Failure.Code == "Unreachable" })
	if len(s.got()) != 0 {
		t.Fatal("a body went to a server that is not trusted")
	}
	trusted := *c
	trusted.CA = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
	if err := f.Configure(&trusted); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it arrives", func() bool { return len(s.got()) == 1 })
	if s.header.Get("Authorization") != "Bearer t0ken" {
		t.Error("the token was not sent")
	}
	if m := f.Status(); m.Failure != nil {
		t.Errorf("%+v", m.Failure)
	}
}
