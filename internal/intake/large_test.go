package intake

import (
	"fmt"
	"io"
	"net/http"
	"runtime"
	runtimemetrics "runtime/metrics"
	"strings"
	"testing"
	"time"
)

// listReader makes an EventList of any size on the way.
type listReader struct {
	next  func(i int) string // item i, "" at the end
	i     int
	rest  string
	ended bool
}

func (l *listReader) Read(b []byte) (int, error) {
	for l.rest == "" {
		if l.ended {
			return 0, io.EOF
		}
		item := l.next(l.i)
		switch {
		case item == "":
			l.rest, l.ended = listTail, true
		case l.i == 0:
			l.rest = listHead + item
		default:
			l.rest = "," + item
		}
		l.i++
	}
	n := copy(b, l.rest)
	l.rest = l.rest[n:]
	return n, nil
}

// heap returns the bytes of the objects that the last garbage collection found alive.
// What waits for the next one is not counted: how much that is depends on the load
// of the machine.
func heap() uint64 {
	s := []runtimemetrics.Sample{{Name: "/gc/heap/live:bytes"}}
	runtimemetrics.Read(s)
	return s[0].Value.Uint64()
}

// One POST of a real API server had 540 MB. Memory must not grow with it.
func TestLargeBodyWithFlatMemory(t *testing.T) {
	size := 500 << 20
	if raceDetector || testing.Short() {
		size = 100 << 20
	}
	const ceiling = 64 << 20
	huge := event("ID", `"objectRef":{"resource":"configmaps"}`, `"requestObject":{"data":"`+strings.Repeat("x", 900<<10)+`"}`,
		`"responseObject":{"data":"`+strings.Repeat("x", 900<<10)+`"}`)
	small := event("ID", `"requestURI":"/api/v1/namespaces/d/pods"`, `"requestObject":{"data":"`+strings.Repeat("x", 4000)+`"}`)
	item := func(i int) string {
		if i%20 == 0 {
			return strings.Replace(huge, "ID", fmt.Sprint(i), 1)
		}
		return strings.Replace(small, "ID", fmt.Sprint(i), 1)
	}
	perRound := 0
	for i := range 20 {
		perRound += len(item(i))
	}
	items := size / perRound * 20

	s := newMemorySpool()
	s.forget = true
	r := run(t, s)
	c := r.client(r.clients, apiServer1)
	r.send(list(event("first")), 200)
	runtime.GC()
	base := heap()
	stop, sampled := make(chan struct{}), make(chan uint64)
	go func() {
		var most uint64
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				most = max(most, heap())
			case <-stop:
				sampled <- most
				return
			}
		}
	}()
	sent := 0
	body := &listReader{next: func(i int) string {
		if i == items {
			return ""
		}
		s := item(i)
		sent += len(s)
		return s
	}}
	req, err := http.NewRequest(http.MethodPost, "https://"+r.address+path1, body)
	if err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	resp, err := c.Do(req)
	close(stop)
	most := <-sampled
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != 200 {
		t.Fatalf("status %d", resp.StatusCode)
	}
	stored := -1
	for _, chunk := range s.chunks {
		stored += chunk.Items
	}
	if stored != items {
		t.Errorf("%d of %d items are stored", stored, items)
	}
	if most > base+ceiling {
		t.Errorf("the heap grew by %d MiB", (most-base)>>20)
	}
	t.Logf("%d MiB in %v, heap +%d MiB", sent>>20, time.Since(start).Round(time.Millisecond), (max(most, base)-base)>>20)
}
