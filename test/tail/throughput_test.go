package tail

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/trail-operator/trail-operator/internal/receiverconfig"
	"github.com/trail-operator/trail-operator/internal/receiverstatus"
	"github.com/trail-operator/trail-operator/test/testenv"
)

// signer makes tokens of tails without an API server, and the keys by which the
// receiver knows them.
func signer(t *testing.T) (keys []byte, token string) {
	t.Helper()
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	key := jose.JSONWebKey{Key: private, KeyID: "1", Algorithm: "RS256", Use: "sig"}
	if keys, err = json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{key.Public()}}); err != nil {
		t.Fatal(err)
	}
	s, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: key}, nil)
	if err != nil {
		t.Fatal(err)
	}
	type m map[string]any
	now := time.Now()
	claims, err := json.Marshal(m{
		"iss": issuer, "sub": "system:serviceaccount:" + namespace + ":" + receiverconfig.TailServiceAccount,
		"aud": []string{receiverconfig.TailAudience}, "iat": now.Unix(), "nbf": now.Unix(), "exp": now.Add(time.Hour).Unix(),
		"kubernetes.io": m{
			"namespace": namespace, "serviceaccount": m{"name": receiverconfig.TailServiceAccount, "uid": "1"},
			"pod": m{"name": "trail-tail-0", "uid": "2"}, "node": m{"name": testenv.APIServer, "uid": "3"},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	signed, err := s.Sign(claims)
	if err == nil {
		token, err = signed.CompactSerialize()
	}
	if err != nil {
		t.Fatal(err)
	}
	return keys, token
}

// used is the CPU time of a process, and its largest resident size in bytes.
func used(t *testing.T, pid int) (cpu time.Duration, peak int64) {
	t.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	for _, f := range fields[11:13] {
		ticks, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		cpu += time.Duration(ticks) * 10 * time.Millisecond
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			if _, err := fmt.Sscan(rest, &peak); err != nil {
				t.Fatal(err)
			}
		}
	}
	return cpu, peak << 10
}

// TestThroughput compares events by the tail with the same events as an API
// server posts them: TRAIL_THROUGHPUT of them.
func TestThroughput(t *testing.T) {
	events, err := strconv.Atoi(os.Getenv("TRAIL_THROUGHPUT"))
	if err != nil {
		t.Skip("set TRAIL_THROUGHPUT to a number of events, such as 200000")
	}
	const perPost = 400
	keys, token := signer(t)
	delivered := func(w *world) {
		t.Helper()
		if s := w.flush(); s.Trails[0].Counts.Delivered != int64(events) {
			t.Fatalf("%d events were delivered, want %d", s.Trails[0].Counts.Delivered, events)
		}
	}

	direct := &world{t: t, dir: t.TempDir()}
	direct.newReceiver("throughput-direct", nil)
	client, err := direct.in.APIServerClient()
	direct.must(err)
	defer client.CloseIdleConnections()
	before, _ := used(t, direct.receiver.PID())
	bodies := make(chan []byte)
	var posts sync.WaitGroup
	for range 4 {
		posts.Go(func() {
			for b := range bodies {
				resp, err := client.Post("https://"+direct.receiver.Address+"/v1/audit/"+testenv.Account+"/"+testenv.APIServer, "application/json", bytes.NewReader(b))
				if err != nil || resp.StatusCode != http.StatusOK {
					t.Errorf("%v %v", resp, err)
					continue
				}
				resp.Body.Close()
			}
		})
	}
	g := testenv.NewEvents(1)
	for g.Made() < events {
		bodies <- g.List(nil, min(perPost, events-g.Made()))
	}
	close(bodies)
	posts.Wait()
	delivered(direct)
	after, _ := used(t, direct.receiver.PID())
	whole := after - before

	w := &world{t: t, dir: t.TempDir()}
	w.auditLog = w.mkdir("log") + "/audit.log"
	w.newReceiver("throughput-tail", keys)
	f, err := os.Create(w.auditLog)
	w.must(err)
	for g = testenv.NewEvents(1); g.Made() < events; {
		var list struct{ Items []json.RawMessage }
		w.must(json.Unmarshal(g.List(nil, min(perPost, events-g.Made())), &list))
		for _, item := range list.Items {
			_, err := f.Write(append(item, '\n'))
			w.must(err)
		}
	}
	w.must(f.Close())
	before, _ = used(t, w.receiver.PID())
	w.newTail(token, "--backfill")
	w.until("everything to arrive", func(s *receiverstatus.Status) bool { return s.Trails[0].Counts.Accepted == int64(events) })
	tail, peak := used(t, w.tail.PID())
	delivered(w)
	after, _ = used(t, w.receiver.PID())
	receiver := after - before

	perEvent := func(d time.Duration) float64 { return float64(d.Microseconds()) / float64(events) }
	t.Logf("posted by API servers: %.2f µs of the receiver an event, %.0f events a CPU-second", perEvent(whole), float64(events)/whole.Seconds())
	t.Logf("by the tail: %.2f µs of the tail and %.2f µs of the receiver, which keeps an index: %.0f events a CPU-second, %.2f of the former; the tail took %d MiB at most",
		perEvent(tail), perEvent(receiver), float64(events)/(tail+receiver).Seconds(), whole.Seconds()/(tail+receiver).Seconds(), peak>>20)
}
