// Package intake_test drives intake, on the real spool, with the client that
// kube-apiserver has built in.
package intake_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-logr/logr/testr"
	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	authnv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	auditinternal "k8s.io/apiserver/pkg/apis/audit"
	auditv1 "k8s.io/apiserver/pkg/apis/audit/v1"
	"k8s.io/apiserver/pkg/audit"
	"k8s.io/apiserver/plugin/pkg/audit/buffered"
	"k8s.io/apiserver/plugin/pkg/audit/truncate"
	"k8s.io/apiserver/plugin/pkg/audit/webhook"
	"k8s.io/utils/clock"

	"github.com/trail-operator/trail-operator/internal/auditevent"
	"github.com/trail-operator/trail-operator/internal/intake"
	"github.com/trail-operator/trail-operator/internal/pki"
	"github.com/trail-operator/trail-operator/internal/receiverconfig"
	"github.com/trail-operator/trail-operator/internal/spool"
	"github.com/trail-operator/trail-operator/internal/spool/pebble"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("k8s.io/klog/v2.(*flushDaemon).run.func1"),
		// The client has no way to close its connections.
		goleak.IgnoreAnyFunction("net/http.(*http2clientConnReadLoop).run"),
		goleak.IgnoreAnyFunction("net/http/internal/http2.(*clientConnReadLoop).run"),
		goleak.IgnoreAnyFunction("net/http.(*persistConn).writeLoop"), goleak.IgnoreAnyFunction("net/http.(*persistConn).readLoop"))
}

const (
	account = "123456789012"
	source  = account + "/cp-1"
)

// switchable is a spool that can be full.
type switchable struct {
	spool.Spool
	full atomic.Bool
}

func (s *switchable) Append(ctx context.Context, chunks []spool.Chunk, ops ...spool.Op) ([]spool.Appended, error) {
	if s.full.Load() {
		return nil, fmt.Errorf("append: %w", spool.ErrFull)
	}
	return s.Spool.Append(ctx, chunks, ops...)
}

// receiver is intake on a spool, and the kubeconfig for an API server.
type receiver struct {
	spool      *switchable
	handler    *intake.Handler
	answers    sync.Map // int → *atomic.Int64, how often
	kubeconfig string
}

func start(t *testing.T) *receiver {
	t.Helper()
	store, err := pebble.Open(t.TempDir(), pebble.Options{ReserveBytes: 1, Clock: clock.RealClock{}})
	if err != nil {
		t.Fatal(err)
	}
	r := &receiver{spool: &switchable{Spool: store}}
	r.handler, err = intake.New(intake.Options{Spool: r.spool, Clock: clock.RealClock{}, Log: testr.New(t)})
	if err != nil {
		t.Fatal(err)
	}
	r.handler.Configure(account, false, "")

	now := time.Now()
	must := func(p pki.KeyPair, err error) pki.KeyPair {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	ca := must(pki.NewCA("intake", now))
	server := must(ca.IssueServer(now, "127.0.0.1"))
	client := must(ca.IssueClient(now, account+":cp-1", receiverconfig.AuditOrganization))
	var certificates intake.Certificates
	if err := certificates.Set(server.Cert, server.Key, ca.Cert); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	counted := http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		c := &codeWriter{ResponseWriter: w}
		r.handler.ServeHTTP(c, req)
		n, _ := r.answers.LoadOrStore(c.code, new(atomic.Int64))
		n.(*atomic.Int64).Add(1)
	})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- intake.Serve(ctx, l, &certificates, counted, testr.New(t)) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	b64 := base64.StdEncoding.EncodeToString
	r.kubeconfig = filepath.Join(t.TempDir(), "kubeconfig")
	err = os.WriteFile(r.kubeconfig, fmt.Appendf(nil, `apiVersion: v1
kind: Config
clusters: [{name: c, cluster: {server: "https://%s%s%s", certificate-authority-data: %s}}]
users: [{name: u, user: {client-certificate-data: %s, client-key-data: %s}}]
contexts: [{name: x, context: {cluster: c, user: u}}]
current-context: x
`, l.Addr(), intake.PathPrefix, source, b64(ca.Cert), b64(client.Cert), b64(client.Key)), 0o600)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// codeWriter notes the status of the answer.
type codeWriter struct {
	http.ResponseWriter
	code int
}

func (c *codeWriter) WriteHeader(code int) {
	c.code = code
	c.ResponseWriter.WriteHeader(code)
}

func (c *codeWriter) Unwrap() http.ResponseWriter { return c.ResponseWriter }

func (r *receiver) answered(code int) int64 {
	n, ok := r.answers.Load(code)
	if !ok {
		return 0
	}
	return n.(*atomic.Int64).Load()
}

// backend is kube-apiserver's webhook with its own pause between tries.
func (r *receiver) backend(t *testing.T) audit.Backend {
	t.Helper()
	b, err := webhook.NewBackend(r.kubeconfig, auditv1.SchemeGroupVersion,
		wait.Backoff{Duration: 10 * time.Second, Factor: 1.5, Jitter: 0.2, Steps: 5}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// stored is what the spool holds.
func (r *receiver) stored(t *testing.T) (ids []string, events map[string]*auditevent.Event, skipped int) {
	t.Helper()
	events = map[string]*auditevent.Event{}
	err := r.spool.Read(context.Background(), 0, func(_ spool.Position, c *spool.Chunk) error {
		skipped += c.Skipped
		if c.Quarantined != 0 || c.Kind != spool.KindAudit || c.Source != source {
			t.Errorf("chunk of %s, kind %d, %d quarantined", c.Source, c.Kind, c.Quarantined)
		}
		for item, err := range spool.Items(c.Data) {
			if err != nil {
				return err
			}
			var p auditevent.Parser
			e, err := p.Parse([]byte(string(item)))
			if err != nil {
				return err
			}
			ids = append(ids, e.AuditID)
			events[e.AuditID] = e
		}
		return nil
	}, func(d spool.Damaged) { t.Errorf("damaged: %+v", d) })
	if err != nil {
		t.Fatal(err)
	}
	return ids, events, skipped
}

func newEvent(id string) *auditinternal.Event {
	now := metav1.NowMicro()
	return &auditinternal.Event{
		Level: auditinternal.LevelRequestResponse, AuditID: types.UID(id), Stage: auditinternal.StageResponseComplete,
		RequestURI: "/api/v1/namespaces/d/configmaps?fieldManager=<x>&dryRun=All", Verb: "create",
		User:      authnv1.UserInfo{Username: "jürgen", Groups: []string{"a", "b"}, Extra: map[string]authnv1.ExtraValue{"k": {"v"}}},
		SourceIPs: []string{"10.0.0.1"}, UserAgent: "kubectl",
		ObjectRef:                &auditinternal.ObjectReference{Resource: "configmaps", Namespace: "d", Name: "n", APIVersion: "v1"},
		ResponseStatus:           &metav1.Status{Code: 201},
		RequestObject:            &runtime.Unknown{Raw: []byte(`{"kind":"ConfigMap","data":{"a":"b"}}`), ContentType: runtime.ContentTypeJSON},
		RequestReceivedTimestamp: now, StageTimestamp: now,
		Annotations: map[string]string{"authorization.k8s.io/decision": "allow"},
	}
}

func TestWebhook(t *testing.T) {
	r := start(t)
	b := r.backend(t)
	received := newEvent("c")
	received.Stage = auditinternal.StageRequestReceived
	if !b.ProcessEvents(newEvent("a"), received, newEvent("b")) {
		t.Fatal("the client reports an error")
	}
	ids, events, skipped := r.stored(t)
	if diff := cmp.Diff([]string{"a", "b"}, ids); diff != "" || skipped != 1 {
		t.Fatalf("%s, %d skipped", diff, skipped)
	}
	e := events["a"]
	if e.User.Username != "jürgen" || e.RequestURI != "/api/v1/namespaces/d/configmaps?fieldManager=<x>&dryRun=All" || e.Code != 201 ||
		string(e.RequestObject.Raw()) != `{"kind":"ConfigMap","data":{"a":"b"}}` || e.ObjectRef.Name != "n" || time.Since(e.Time) > time.Minute {
		t.Fatalf("%+v", e)
	}
	if s := r.handler.Sources(); len(s) != 1 || s[0].Cluster != account || s[0].APIServer != "cp-1" {
		t.Errorf("%+v", s)
	}
}

// What clients may write into their requests must not stop their events.
func TestWebhookWithOddRequests(t *testing.T) {
	r := start(t)
	deep := newEvent("deep")
	deep.RequestObject.Raw = []byte(`{"a":` + strings.Repeat("[", 5000) + strings.Repeat("]", 5000) + `}`)
	patch := newEvent("patch")
	patch.RequestObject.Raw = []byte("{\"a\":\"\xff\xc3(\"}")
	large := newEvent("large")
	large.RequestObject.Raw = []byte(`{"a":"` + strings.Repeat("<", 3<<20) + `"}`)
	long := newEvent("long")
	long.RequestURI = "/api?" + strings.Repeat("<", 1<<20)
	for range 100000 {
		long.SourceIPs = append(long.SourceIPs, "10.20.30.40")
	}
	long.SourceIPs = append(long.SourceIPs, "10.0.0.2")
	empty := newEvent("empty")
	empty.User, empty.ObjectRef, empty.ResponseStatus, empty.RequestObject = authnv1.UserInfo{}, nil, nil, nil
	empty.Annotations, empty.SourceIPs, empty.RequestReceivedTimestamp = nil, nil, metav1.MicroTime{}
	id := strings.Repeat(`"\<é`+"\x01", 1000)
	if !r.backend(t).ProcessEvents(deep, patch, large, long, empty, newEvent(id)) {
		t.Fatal("the client reports an error")
	}
	ids, events, _ := r.stored(t)
	if diff := cmp.Diff([]string{"deep", "patch", "large", "long", "empty", id}, ids); diff != "" {
		t.Fatal(diff)
	}
	if e := events["long"]; e.SourceIPs[len(e.SourceIPs)-1] != "10.0.0.2" || !cmp.Equal(e.Omitted, []string{"requestURI", "sourceIPs"}) && !cmp.Equal(e.Omitted, []string{"requestURI", "sourceIPs", "requestObject"}) {
		t.Errorf("omitted %v, last address %s", e.Omitted, e.SourceIPs[len(e.SourceIPs)-1])
	}
}

func TestBufferedAndTruncated(t *testing.T) {
	r := start(t)
	const n = 1100
	b := truncate.NewBackend(buffered.NewBackend(r.backend(t), buffered.BatchConfig{
		BufferSize: 10000, MaxBatchSize: 400, MaxBatchWait: time.Second, ThrottleEnable: true, ThrottleQPS: 10, ThrottleBurst: 15, AsyncDelegate: true,
	}), truncate.Config{MaxEventSize: 100 << 10, MaxBatchSize: 10 << 20}, auditv1.SchemeGroupVersion)
	stop := make(chan struct{})
	if err := b.Run(stop); err != nil {
		t.Fatal(err)
	}
	for i := range n {
		e := newEvent(fmt.Sprint(i))
		if i%100 == 0 {
			e.RequestObject.Raw = []byte(`{"a":"` + strings.Repeat("x", 200<<10) + `"}`)
		}
		if !b.ProcessEvents(e) {
			t.Fatal("the buffer refuses an event")
		}
	}
	close(stop)
	b.Shutdown()
	ids, events, _ := r.stored(t)
	if len(ids) != n || len(events) != n {
		t.Fatalf("%d events, %d different ones", len(ids), len(events))
	}
	if e := events["100"]; e.RequestObject.Raw() != nil || e.Annotations.Text("audit.k8s.io/truncated") != "true" {
		t.Errorf("event 100 is not as the API server cut it: %s", e.Annotations.Raw())
	}
}

// The client repeats a 503 with Retry-After inside one try, which is cheap: it
// does not wait for the ten seconds of its own back-off.
func TestFullVolumeHoldsTheClient(t *testing.T) {
	r := start(t)
	r.spool.full.Store(true)
	done := make(chan bool, 1)
	begin := time.Now()
	go func() { done <- r.backend(t).ProcessEvents(newEvent("a")) }()
	for deadline := time.Now().Add(20 * time.Second); r.answered(503) < 2; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the client does not come back")
		}
	}
	r.spool.full.Store(false)
	if !<-done {
		t.Fatal("the client reports an error")
	}
	if took := time.Since(begin); took > 9*time.Second {
		t.Errorf("it took %v", took)
	}
	if ids, _, _ := r.stored(t); len(ids) != 1 {
		t.Fatalf("stored %v", ids)
	}
}

// A batch that was stored, but whose answer got lost, comes again.
func TestSameBatchTwice(t *testing.T) {
	r := start(t)
	b := r.backend(t)
	e := newEvent("a")
	for range 2 {
		if !b.ProcessEvents(e) {
			t.Fatal("the client reports an error")
		}
	}
	if ids, _, _ := r.stored(t); len(ids) != 1 || r.handler.Duplicates() != 1 {
		t.Fatalf("stored %v, %d duplicates", ids, r.handler.Duplicates())
	}
}
