package intake

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/trail-operator/trail-operator/internal/auditevent"
	"github.com/trail-operator/trail-operator/internal/receiverstatus"
	"github.com/trail-operator/trail-operator/internal/record"
	"github.com/trail-operator/trail-operator/internal/spool"
)

func TestBadInput(t *testing.T) {
	good := event("good")
	for name, c := range map[string]struct {
		body               string
		items, quarantined int
		skipped            int
		reason             string
		quarantinedLen     int
	}{
		"empty list":           {body: list()},
		"good":                 {body: list(good), items: 1},
		"broken JSON":          {body: "hello " + good, quarantined: 1, reason: "not valid JSON", quarantinedLen: 6 + len(good)},
		"empty body":           {body: "", quarantined: 1, reason: "ends in the middle"},
		"wrong kind":           {body: `{"kind":"PodList","apiVersion":"v1","items":[` + good + `]}`, quarantined: 1, reason: "EventList", quarantinedLen: 46 + len(good) + 1},
		"one bad item":         {body: list(good, `{"auditID":5}`, good), items: 2, quarantined: 1, reason: "wrong type", quarantinedLen: 13},
		"one broken item":      {body: list(good, `{"auditID":nope}`, good), items: 2, quarantined: 1, reason: "item is not valid JSON", quarantinedLen: 16},
		"breaks in the middle": {body: listHead + good + "," + good[:30], items: 1, quarantined: 1, reason: "ends in the middle", quarantinedLen: 30},
		"all of it":            {body: list(good, `[]`, strings.Replace(good, "Complete", "Nothing", 1), strings.Replace(good, "ResponseComplete", "RequestReceived", 1)), items: 1, skipped: 1, quarantined: 2, reason: "object", quarantinedLen: 2},
	} {
		t.Run(name, func(t *testing.T) {
			s := newMemorySpool()
			r := run(t, s)
			r.send(c.body, 200)
			got := s.content(t)
			if len(got.Items) != c.items || got.Skipped != c.skipped || got.Quarantined != c.quarantined || len(got.Own) != c.quarantined || len(got.Docs) != c.quarantined {
				t.Fatalf("%+v", got)
			}
			if c.quarantined > 0 {
				own := string(got.Own[0].Details)
				if got.Own[0].Name != record.EventEventQuarantined || !strings.Contains(own, c.reason) ||
					!strings.Contains(own, fmt.Sprintf(`"length":%d,`, c.quarantinedLen)) || !strings.Contains(own, `"source":"123456789012/cp-1"`) {
					t.Errorf("own event %s %s", got.Own[0].Name, own)
				}
				if strings.Count(r.log.String(), "in quarantine") != 1 {
					t.Errorf("log: %s", r.log.String())
				}
			}
			for result, want := range map[string]int{"accepted": c.items, "skipped": c.skipped, "quarantined": c.quarantined} {
				if got := testutil.ToFloat64(r.handler.metrics.items.WithLabelValues(result)); got != float64(want) {
					t.Errorf("%s counts %v, want %d", result, got, want)
				}
			}
		})
	}
}

// A batch that is sent again gives the same chunks and the same own events.
func TestSentAgain(t *testing.T) {
	s := newMemorySpool()
	r := run(t, s)
	body := list(event("a"), "5", event("b"))
	r.send(body, 200)
	first := s.content(t)
	r.clock.SetTime(r.clock.Now().Add(time.Minute))
	r.send(body, 200)
	if diff := cmp.Diff(first, s.content(t)); diff != "" {
		t.Fatal(diff)
	}
	if r.handler.Duplicates() != 3 {
		t.Errorf("%d duplicates", r.handler.Duplicates())
	}
	r.send(list(event("a"), "6", event("b")), 200)
	if got := s.content(t); len(got.Items) != 4 || len(got.Own) != 2 || got.Own[0].ID == got.Own[1].ID {
		t.Fatalf("%+v", got)
	}
}

func TestConnectionCutShort(t *testing.T) {
	s := newMemorySpool()
	r := run(t, s)
	body := list(event("a"), event("b"))
	conn, err := tls.Dial("tcp", r.address, r.config(r.clients, apiServer1))
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", path1, len(body), body[:len(body)-5])
	if err := conn.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(conn)
	conn.Close()
	if len(answer) != 0 {
		t.Errorf("answer %q, %v", answer, err)
	}

	// The same over HTTP/2: the client resets the stream.
	ctx, cancel := context.WithCancel(context.Background())
	reader, writer := io.Pipe()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://"+r.address+path1, reader)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() {
		resp, err := r.client(r.clients, apiServer1).Do(req)
		if err == nil {
			resp.Body.Close()
			err = fmt.Errorf("status %d", resp.StatusCode)
		}
		done <- err
	}()
	if _, err := io.WriteString(writer, body[:len(body)-5]); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	writer.Close()
	eventually(t, func() bool { return testutil.ToFloat64(r.handler.metrics.posts.WithLabelValues("cut")) == 2 })
	if got := s.content(t); got.Chunks != 0 {
		t.Fatalf("stored: %+v", got)
	}
	r.send(body, 200)
	if got := s.content(t); len(got.Items) != 2 {
		t.Fatalf("%+v", got)
	}
}

func eventually(t *testing.T, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it does not happen")
		}
	}
}

// What a large body that was cut leaves behind is not stored twice.
func TestCutAfterTheFirstChunk(t *testing.T) {
	s := newMemorySpool()
	r := run(t, s)
	var items []string
	for i := range 12000 {
		items = append(items, event(fmt.Sprintf("id-%d-%s", i, strings.Repeat("x", 500))))
	}
	body := list(items...)
	conn, err := tls.Dial("tcp", r.address, r.config(r.clients, apiServer1))
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", path1, len(body), body[:len(body)-5])
	conn.Close()
	eventually(t, func() bool { return testutil.ToFloat64(r.handler.metrics.posts.WithLabelValues("cut")) == 1 })
	if s.content(t).Chunks == 0 {
		t.Fatal("no chunk was appended before the cut")
	}
	r.send(body, 200)
	if diff := cmp.Diff(items, s.content(t).Items); diff != "" {
		t.Fatal(diff)
	}
}

func TestSlowClientsAreCut(t *testing.T) {
	for name, http2 := range map[string]bool{"HTTP/1.1": false, "HTTP/2": true} {
		t.Run(name, func(t *testing.T) {
			s := newMemorySpool()
			r := run(t, s, func(o *Options) { o.ProgressTimeout = 100 * time.Millisecond })
			reader, writer := io.Pipe()
			stop := make(chan struct{})
			var dripping sync.WaitGroup
			dripping.Go(func() { // one byte after the other, without end
				for {
					select {
					case <-stop:
						return
					case <-time.After(5 * time.Millisecond):
						if _, err := writer.Write([]byte(" ")); err != nil {
							return
						}
					}
				}
			})
			resp, _, err := r.post(r.clientOf(r.config(r.clients, apiServer1), http2), path1, reader)
			if err == nil {
				t.Errorf("status %d", resp.StatusCode)
			}
			reader.Close()
			close(stop)
			dripping.Wait()
			if !strings.Contains(r.log.String(), "too slow") {
				t.Errorf("log: %s", r.log.String())
			}
		})
	}
}

// A slow volume is no reason to cut a client that has sent all.
func TestDeadlineEndsWithTheBody(t *testing.T) {
	for name, http2 := range map[string]bool{"HTTP/1.1": false, "HTTP/2": true} {
		t.Run(name, func(t *testing.T) {
			s := newMemorySpool()
			s.entered, s.hold = make(chan struct{}), make(chan struct{})
			r := run(t, s, func(o *Options) { o.ProgressTimeout = 50 * time.Millisecond })
			go func() {
				<-s.entered
				time.Sleep(200 * time.Millisecond)
				close(s.hold)
			}()
			resp, text, err := r.post(r.clientOf(r.config(r.clients, apiServer1), http2), path1, strings.NewReader(list(event("a"))))
			if err != nil || resp.StatusCode != 200 {
				t.Fatal(resp, text, err)
			}
		})
	}
}

func TestFullVolume(t *testing.T) {
	for name, http2 := range map[string]bool{"HTTP/1.1": false, "HTTP/2": true} {
		t.Run(name, func(t *testing.T) {
			s := newMemorySpool()
			r := run(t, s)
			c := r.clientOf(r.config(r.clients, apiServer1), http2)
			var items []string
			for i := range 12000 {
				items = append(items, event(fmt.Sprintf("id-%d-%s", i, strings.Repeat("x", 500))))
			}
			for err, text := range map[error]string{fmt.Errorf("append: %w", spool.ErrFull): "volume is full", errors.New("secret detail"): "try again"} {
				s.fail(err)
				for _, body := range []string{list(event("a")), list(items...)} {
					resp, got, err := r.post(c, path1, strings.NewReader(body))
					if err != nil {
						t.Fatal(err)
					}
					after, err := strconv.Atoi(resp.Header.Get("Retry-After"))
					if resp.StatusCode != 503 || err != nil || after < 1 || after > 3 || !strings.Contains(got, text) || strings.Contains(got, "secret") {
						t.Fatalf("status %d, Retry-After %d, %q", resp.StatusCode, after, got)
					}
				}
			}
			s.fail(nil)
			if resp, _, err := r.post(c, path1, strings.NewReader(list(event("a"), "7"))); err != nil || resp.StatusCode != 200 {
				t.Fatal(resp, err)
			}
			if got := s.content(t); len(got.Items) != 1 || len(got.Docs) != 1 {
				t.Fatalf("%+v", got)
			}
		})
	}
}

func TestMemoryIsShared(t *testing.T) {
	s := newMemorySpool()
	s.entered, s.hold = make(chan struct{}, 10), make(chan struct{})
	r := run(t, s, func(o *Options) { o.MemoryBytes = 700 << 10 })
	var posts sync.WaitGroup
	for i := range 2 {
		posts.Go(func() { r.send(list(event(fmt.Sprint(i))), 200) })
		<-s.entered
	}
	resp := r.send(list(event("c")), 429)
	if after := resp.Header.Get("Retry-After"); after < "1" || after > "3" {
		t.Errorf("Retry-After %q", after)
	}
	close(s.hold)
	posts.Wait()
	r.send(list(event("c")), 200)
	if got := s.content(t); len(got.Items) != 3 {
		t.Fatalf("%+v", got)
	}
}

func TestForgedAuditID(t *testing.T) {
	s := newMemorySpool()
	r := run(t, s)
	c := r.client(r.clients, apiServer1)
	var posts sync.WaitGroup
	limit := make(chan struct{}, 50)
	for i := range 1000 {
		limit <- struct{}{}
		posts.Go(func() {
			defer func() { <-limit }()
			item := event("forged", fmt.Sprintf(`"requestURI":"/api/v1/pods/p-%d"`, i), `"verb":"delete"`)
			if resp, text, err := r.post(c, path1, strings.NewReader(list(item))); err != nil || resp.StatusCode != 200 {
				t.Error(resp, text, err)
			}
		})
	}
	posts.Wait()
	keys := map[[sha256.Size]byte]bool{}
	var p auditevent.Parser
	for _, item := range s.content(t).Items {
		e, err := p.Parse([]byte(item))
		if err != nil {
			t.Fatal(err)
		}
		keys[e.Key(account)] = true
	}
	if len(keys) != 1000 {
		t.Fatalf("%d records", len(keys))
	}
}

func TestSourcesAreBounded(t *testing.T) {
	var s sources
	start := time.Unix(0, 0)
	for i := range 3 * maxSources {
		s.posted(source{"c", fmt.Sprint(i)}, "x", &arrivals{}, start.Add(time.Duration(i)*time.Second))
		s.posted(source{"c", "first"}, fmt.Sprint(i), &arrivals{}, start.Add(time.Duration(i)*time.Second))
	}
	list := s.list()
	if len(list) != maxSources || list[len(list)-1].APIServer != "first" {
		t.Fatalf("%d sources, last %+v", len(list), list[len(list)-1])
	}
	used := list[len(list)-1].Certificates
	if len(used) != receiverstatus.MaxSourceCertificates || used[0].SHA256 != fmt.Sprint(3*maxSources-1) {
		t.Errorf("its certificates: %v", used)
	}
}

func TestItemsLargerThanTheirBody(t *testing.T) {
	s := newMemorySpool()
	r := run(t, s)
	// Redaction makes these longer than they were.
	uri := `"requestURI":"/a?` + strings.Repeat("sig=1\\u0026", 100) + `"`
	var items []string
	for i := range 4000 {
		items = append(items, event(fmt.Sprint(i), uri))
	}
	r.send(list(items...), 200)
	got := s.content(t)
	if len(got.Items) != len(items) || bytes.Contains([]byte(strings.Join(got.Items, "")), []byte("sig=1")) {
		t.Fatalf("%d items", len(got.Items))
	}
}
