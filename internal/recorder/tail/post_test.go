package tail

import (
	"context"
	"encoding/pem"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/google/uuid"
	"k8s.io/utils/clock"

	"github.com/trail-operator/trail-operator/internal/receiverconfig"
)

// server is a receiver over TLS with the folder of a tail.
func server(t *testing.T, h http.HandlerFunc) (dir string) {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	s.EnableHTTP2 = true
	s.StartTLS()
	t.Cleanup(s.Close)
	dir = t.TempDir()
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
	put(t, dir, map[string]string{FileURL: s.URL + "\n", FileAccount: "000000000042", FileCA: string(ca), FileToken: "secret\n"})
	return dir
}

func put(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func textBody(s string) body {
	return body{int64(len(s)), true, func() (io.Reader, error) { return strings.NewReader(s), nil }}
}

func TestPost(t *testing.T) {
	var got *http.Request
	var sent []byte
	answer := func(w http.ResponseWriter) {}
	dir := server(t, func(w http.ResponseWriter, r *http.Request) {
		got = r
		sent, _ = io.ReadAll(r.Body)
		answer(w)
	})
	s := &sender{dir: dir, apiServer: "node-1"}
	defer s.close()
	source := uuid.NewString()
	if a := s.post(t.Context(), source, 7, textBody("hello")); a.code != http.StatusOK || a.err != nil {
		t.Fatalf("%+v", a)
	}
	for what, pair := range map[string][2]string{
		"path":          {got.URL.Path, "/v1/audit/000000000042/node-1"},
		"protocol":      {got.Proto, "HTTP/1.1"},
		"authorization": {got.Header.Get("Authorization"), "Bearer secret"},
		"source":        {got.Header.Get(receiverconfig.HeaderTailSource), source},
		"sequence":      {got.Header.Get(receiverconfig.HeaderTailSequence), "7"},
		"type":          {got.Header.Get("Content-Type"), "application/json"},
		"body":          {string(sent), "hello"},
	} {
		if pair[0] != pair[1] {
			t.Errorf("%s: %q, want %q", what, pair[0], pair[1])
		}
	}
	if got.ContentLength != 5 {
		t.Errorf("length %d", got.ContentLength)
	}

	// The kubelet replaces the token.
	put(t, dir, map[string]string{FileToken: "other"})
	s.post(t.Context(), source, 8, textBody("x"))
	if got.Header.Get("Authorization") != "Bearer other" {
		t.Error("the old token was sent")
	}

	for name, tc := range map[string]struct {
		code  int
		head  string
		text  string
		mark  int64
		after time.Duration
		says  string
	}{
		"gap":           {http.StatusConflict, "", `{"sequence":5}`, 5, 0, "another sequence"},
		"gap, garbled":  {http.StatusConflict, "", `{"sequence":`, -1, 0, "another sequence"},
		"busy":          {http.StatusTooManyRequests, "3", "", -1, 3 * time.Second, "at the moment (429)"},
		"full":          {http.StatusServiceUnavailable, "86400", "", -1, time.Minute, "at the moment (503)"},
		"unauthorized":  {http.StatusUnauthorized, "", "", -1, 0, "refuses the token"},
		"forbidden":     {http.StatusForbidden, "", "", -1, 0, "service account trail-tail"},
		"redirected":    {http.StatusTemporaryRedirect, "", "", -1, 0, "status 307"},
		"hostile words": {http.StatusTeapot, "-1", strings.Repeat("<script>", 10_000), -1, 0, "status 418"},
	} {
		t.Run(name, func(t *testing.T) {
			answer = func(w http.ResponseWriter) {
				w.Header().Set("Location", "https://example.com/")
				w.Header().Set("Retry-After", tc.head)
				w.WriteHeader(tc.code)
				_, _ = io.WriteString(w, tc.text)
			}
			a := s.post(t.Context(), source, 9, textBody("x"))
			if a.code != tc.code || a.mark != tc.mark || a.after != tc.after || a.err == nil || !strings.Contains(a.err.Error(), tc.says) ||
				strings.Contains(a.err.Error(), "secret") || strings.Contains(a.err.Error(), "script") {
				t.Errorf("%+v", a)
			}
		})
	}
}

// TestPostFails: each failure says what is missing, and never the token.
func TestPostFails(t *testing.T) {
	for name, tc := range map[string]struct {
		spoil func(dir string)
		says  string
	}{
		"no address":   {func(dir string) { _ = os.Remove(filepath.Join(dir, FileURL)) }, "url is not there yet"},
		"no token":     {func(dir string) { _ = os.Remove(filepath.Join(dir, FileToken)) }, "token is not there yet"},
		"plain HTTP":   {func(dir string) { put(t, dir, map[string]string{FileURL: "http://a:1"}) }, "must be https://host:port"},
		"no CA":        {func(dir string) { put(t, dir, map[string]string{FileCA: "x"}) }, "no certificates in PEM"},
		"nobody there": {func(dir string) { put(t, dir, map[string]string{FileURL: "https://127.0.0.1:1"}) }, "does not answer"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := server(t, func(http.ResponseWriter, *http.Request) {})
			tc.spoil(dir)
			s := &sender{dir: dir, apiServer: "node-1"}
			defer s.close()
			a := s.post(t.Context(), uuid.NewString(), 1, textBody("x"))
			if a.code != 0 || a.err == nil || !strings.Contains(a.err.Error(), tc.says) || strings.Contains(a.err.Error(), "secret") {
				t.Errorf("%+v", a)
			}
		})
	}
	t.Run("another CA", func(t *testing.T) {
		dir := server(t, func(http.ResponseWriter, *http.Request) {})
		other := server(t, func(http.ResponseWriter, *http.Request) {})
		mine, err := os.ReadFile(filepath.Join(dir, FileURL))
		if err != nil {
			t.Fatal(err)
		}
		// httptest has one certificate for all its servers: a name that it does not
		// have is as good as another CA.
		put(t, other, map[string]string{FileURL: strings.Replace(string(mine), "127.0.0.1", "localhost", 1)})
		s := &sender{dir: other, apiServer: "node-1"}
		defer s.close()
		if a := s.post(t.Context(), uuid.NewString(), 1, textBody("x")); a.code != 0 || a.err == nil || !strings.Contains(a.err.Error(), "certificate") {
			t.Errorf("%+v", a)
		}
	})
}

// TestRun: the whole, over a network, until it is asked to end.
func TestRun(t *testing.T) {
	var mu sync.Mutex
	var lines []string
	refuse := 2
	dir := server(t, func(w http.ResponseWriter, r *http.Request) {
		raw, err := io.ReadAll(r.Body)
		mu.Lock()
		defer mu.Unlock()
		if refuse--; refuse >= 0 || err != nil {
			w.Header().Set("Retry-After", "1")
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		in := newInbox(t)
		in.store(raw)
		lines = append(lines, in.lines...)
	})
	logs, states := t.TempDir(), t.TempDir()
	w := newWriter(t, logs)
	options := Options{
		Path: filepath.Join(logs, "audit.log"), StateDir: states, ReceiverDir: dir, APIServer: "node-1",
		Interval: 10 * time.Millisecond, Clock: clock.RealClock{}, Log: logr.Discard(), Backfill: true,
	}
	for range 2 { // again, with the same state
		tail, err := New(options)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := New(options); !errors.Is(err, errLocked) {
			t.Errorf("a second tail: %v", err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- tail.Run(ctx) }()
		for range 3 {
			w.write(10)
			w.rotate()
			w.write(10)
		}
		for deadline := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
			mu.Lock()
			n := len(lines)
			mu.Unlock()
			if n == len(w.all) && tail.Trouble() == "" {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("%d of %d lines arrived; %s", n, len(w.all), tail.Trouble())
			}
		}
		cancel()
		if err := errors.Join(<-done, tail.Close()); err != nil {
			t.Fatal(err)
		}
	}
	wantLines(t, lines, w.all)
}

// TestSwitchedOnAgain: a state from before tails were switched off is not gone on
// with.
func TestSwitchedOnAgain(t *testing.T) {
	p, w := testPlace(t)
	p.receiver = t.TempDir()
	put(t, p.receiver, map[string]string{FileSince: "2026-11-21T10:00:00Z"})
	p.backfill = false
	again := func() {
		t.Helper()
		p.crash()
		if err := p.start(); err != nil {
			t.Fatal(err)
		}
		p.drain(t)
	}
	again()
	source := p.t.state.Source
	w.write(1)
	again()
	if p.t.state.Source != source {
		t.Error("the state is new without a reason")
	}
	w.write(2) // while they are off
	put(t, p.receiver, map[string]string{FileSince: "2026-11-22T10:00:00Z"})
	again()
	w.write(3)
	p.drain(t)
	wantLines(t, p.in.lines, []string{w.all[0], w.all[2]})
	if p.t.state.Source == source {
		t.Error("the source is that of before")
	}
}

// TestProbes: who cannot send is not ready, and says why.
func TestProbes(t *testing.T) {
	p, _ := testPlace(t)
	ask := func(h http.HandlerFunc) (int, string) {
		r := httptest.NewRecorder()
		h(r, httptest.NewRequest(http.MethodGet, "/", http.NoBody))
		return r.Code, r.Body.String()
	}
	if code, _ := ask(p.t.ServeReady); code != http.StatusOK {
		t.Errorf("ready: %d", code)
	}
	p.t.fail(errAway)
	if code, text := ask(p.t.ServeReady); code != http.StatusServiceUnavailable || !strings.Contains(text, "away") {
		t.Errorf("in trouble: %d %q", code, text)
	}
	if code, _ := ask(p.t.ServeHealth); code != http.StatusOK {
		t.Errorf("healthy: %d", code)
	}
	p.t.works()
	if code, _ := ask(p.t.ServeReady); code != http.StatusOK {
		t.Errorf("ready again: %d", code)
	}
}
