package tail

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/trail-operator/trail-operator/internal/auditpolicy"
	"github.com/trail-operator/trail-operator/internal/objectstore"
	"github.com/trail-operator/trail-operator/internal/objectstore/minio"
	"github.com/trail-operator/trail-operator/internal/receiverconfig"
	"github.com/trail-operator/trail-operator/internal/receiverstatus"
	"github.com/trail-operator/trail-operator/internal/record"
	"github.com/trail-operator/trail-operator/test/testenv"
)

const (
	namespace = "trail-operator-system"
	issuer    = "https://kubernetes.default.svc"
	patience  = 3 * time.Minute // the machine may be busy
)

// world is an API server whose audit log a tail follows.
type world struct {
	t        *testing.T
	dir      string
	cp       *testenv.ControlPlane
	kube     kubernetes.Interface
	in       *testenv.Installation
	receiver *testenv.Receiver
	tail     *testenv.Tail
	manager  *http.Client
	bucket   objectstore.Store
	auditLog string
}

// newWorld starts everything; webhook says whether the API server posts, too.
func newWorld(t *testing.T, webhook bool) *world {
	t.Helper()
	w := &world{t: t, dir: t.TempDir()}
	w.auditLog = filepath.Join(w.dir, "log", "audit.log")
	var err error
	w.cp, err = testenv.StartControlPlane(t.Context(), testenv.Options{Dir: w.mkdir("kube")})
	w.must(err)
	t.Cleanup(func() { _ = w.cp.Stop() })
	w.kube, err = kubernetes.NewForConfig(w.cp.Config)
	w.must(err)
	keys, err := w.kube.Discovery().RESTClient().Get().AbsPath("/openid/v1/jwks").DoRaw(t.Context())
	w.must(err)
	w.newReceiver(strings.ToLower(t.Name()), keys)

	var hook []byte
	if webhook {
		hook, err = w.in.Webhook(w.receiver.Address)
		w.must(err)
	}
	policy, err := auditpolicy.Standard.YAML()
	w.must(err)
	w.must(w.cp.RestartAPIServer(t.Context(), func(o *testenv.Options) {
		o.AuditPolicy, o.AuditWebhookConfig, o.AuditLog = policy, hook, w.auditLog
		// The last of two flags counts: files of one megabyte, all of them kept.
		o.ExtraArgs = []string{"--audit-log-maxsize=1", "--audit-log-maxbackup=10000", "--audit-log-compress"}
	}))
	if webhook {
		w.newTail(w.token())
	} else {
		w.newTail(w.token(), "--backfill")
	}
	return w
}

// newReceiver starts a receiver with a trail for everything into a bucket; keys
// are those of the tails' tokens, nil when none may post.
func (w *world) newReceiver(bucket string, keys []byte) {
	w.t.Helper()
	var err error
	w.in, err = testenv.NewInstallation(filepath.Join(w.dir, "config"))
	w.must(err)
	if keys != nil {
		w.in.Config.Tail = &receiverconfig.Tail{Issuer: issuer, Keys: keys, Namespace: namespace}
	}
	w.in.Trails = []receiverconfig.Trail{{
		UID: "00000000-0000-4000-8000-00000000000a", Name: "all", Generation: 1,
		ARN: record.TrailARN(testenv.Region, testenv.Account, "all"),
		Destination: receiverconfig.Destination{
			Endpoint: s3.Endpoint, Bucket: bucket, Region: s3.Region,
			AccessKeyID: s3.AccessKey, SecretAccessKey: s3.SecretKey, AllowPrivate: true,
		},
		LogFileValidation: true, MaxFileAgeSeconds: 30, MaxFileSizeMiB: 1,
	}}
	d := w.in.Trails[0].Destination
	w.bucket, err = minio.New(objectstore.Config{
		Endpoint: d.Endpoint, Region: d.Region, Bucket: d.Bucket, AccessKey: d.AccessKeyID, SecretKey: d.SecretAccessKey, AllowPrivate: true,
	})
	w.must(err)
	w.must(w.bucket.CreateBucket(w.t.Context()))
	w.must(w.in.Write())
	w.manager, err = w.in.ManagerClient()
	w.must(err)
	w.t.Cleanup(w.manager.CloseIdleConnections)
	w.startReceiver()
	w.t.Cleanup(func() { _ = w.receiver.Stop() })
	w.until("the trail to be in force", func(s *receiverstatus.Status) bool {
		return len(s.Trails) == 1 && s.Trails[0].Generation == 1
	})
}

// newTail starts a tail of the audit log.
func (w *world) newTail(token string, flags ...string) {
	w.t.Helper()
	var err error
	w.tail, err = w.in.NewTail(filepath.Join(programs, "recorder"), w.mkdir("tail"), w.auditLog, w.receiver.Address, token)
	w.must(err)
	w.must(w.tail.Start(flags...))
	w.t.Cleanup(func() { _ = w.tail.Stop() })
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) mkdir(name string) string {
	w.t.Helper()
	path := filepath.Join(w.dir, name)
	w.must(os.MkdirAll(path, 0o700))
	return path
}

// startReceiver starts it where it was before.
func (w *world) startReceiver() {
	w.t.Helper()
	address := ""
	if w.receiver != nil {
		address = w.receiver.Address
	}
	var err error
	w.receiver, err = w.in.StartReceiver(filepath.Join(programs, "receiver"), filepath.Join(w.dir, "data"), filepath.Join(w.dir, "receiver.log"), address)
	w.must(err)
}

// token is one that a kubelet would get for a tail on the node of the API server.
func (w *world) token() string {
	w.t.Helper()
	core, ctx := w.kube.CoreV1(), w.t.Context()
	_, err := core.Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}, metav1.CreateOptions{})
	w.must(err)
	node, err := core.Nodes().Create(ctx, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: testenv.APIServer}}, metav1.CreateOptions{})
	w.must(err)
	account, err := core.ServiceAccounts(namespace).Create(ctx, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: receiverconfig.TailServiceAccount}}, metav1.CreateOptions{})
	w.must(err)
	pod, err := core.Pods(namespace).Create(ctx, &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "trail-tail-0"},
		Spec: corev1.PodSpec{
			NodeName: node.Name, ServiceAccountName: account.Name,
			Containers: []corev1.Container{{Name: "tail", Image: "tail"}},
		},
	}, metav1.CreateOptions{})
	w.must(err)
	hour := int64(3600)
	got, err := core.ServiceAccounts(namespace).CreateToken(ctx, account.Name, &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{
		Audiences: []string{receiverconfig.TailAudience}, ExpirationSeconds: &hour,
		BoundObjectRef: &authenticationv1.BoundObjectReference{Kind: "Pod", APIVersion: "v1", Name: pod.Name, UID: pod.UID},
	}}, metav1.CreateOptions{})
	w.must(err)
	return got.Status.Token
}

// load makes calls as a user of its own until stop is called, which returns how
// many there were.
func (w *world) load(pause time.Duration) (stop func() int) {
	w.t.Helper()
	config, err := w.cp.ClientConfig("load", "system:masters")
	w.must(err)
	kube, err := kubernetes.NewForConfig(config)
	w.must(err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan int, 1)
	go func() {
		n := 0
		for pad := strings.Repeat("x", 500); ctx.Err() == nil; n++ {
			_, err := kube.CoreV1().ConfigMaps("default").Create(context.Background(), &corev1.ConfigMap{
				ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("load-%06d", n)}, Data: map[string]string{"pad": pad},
			}, metav1.CreateOptions{})
			if err != nil {
				w.t.Errorf("call %d: %v", n, err)
				break
			}
			select {
			case <-ctx.Done():
			case <-time.After(pause):
			}
		}
		done <- n
	}()
	var calls int
	stopped := false
	stop = func() int {
		if !stopped {
			cancel()
			calls, stopped = <-done, true
		}
		return calls
	}
	w.t.Cleanup(func() { stop() })
	return stop
}

// status asks the receiver, which may be away.
func (w *world) status() (*receiverstatus.Status, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+w.receiver.Address+receiverstatus.PathStatus, http.NoBody)
	if err != nil {
		return nil, err
	}
	resp, err := w.manager.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	s := &receiverstatus.Status{}
	return s, json.NewDecoder(resp.Body).Decode(s)
}

func (w *world) until(what string, holds func(*receiverstatus.Status) bool) *receiverstatus.Status {
	w.t.Helper()
	var s *receiverstatus.Status
	w.eventually(what, func() bool {
		var err error
		s, err = w.status()
		return err == nil && holds(s)
	})
	return s
}

func (w *world) eventually(what string, holds func() bool) {
	w.t.Helper()
	for deadline := time.Now().Add(patience); !holds(); time.Sleep(100 * time.Millisecond) {
		if time.Now().After(deadline) || w.t.Failed() {
			w.t.Fatalf("waiting for %s\nthe tail: %s\nthe receiver: %s", what, end(w.tail.Log), end(filepath.Join(w.dir, "receiver.log")))
		}
	}
}

// end is the end of a file.
func end(path string) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	return string(b[max(0, len(b)-3000):])
}

// metric is the value of a metric of the tail without labels; -1 while it is away.
func (w *world) metric(name string) float64 {
	resp, err := http.Get("http://" + w.tail.Metrics + "/metrics")
	if err != nil {
		return -1
	}
	defer resp.Body.Close()
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		var v float64
		if rest, ok := strings.CutPrefix(lines.Text(), name+" "); ok {
			if _, err := fmt.Sscan(rest, &v); err == nil {
				return v
			}
		}
	}
	return -1
}

// event is what is read of a line of the audit log.
type event struct {
	AuditID string `json:"auditID"`
	Stage   string `json:"stage"`
	Verb    string `json:"verb"`
	User    struct {
		Username string `json:"username"`
	} `json:"user"`
}

// logged are the audit IDs of a user's calls that the API server has logged, and
// how many rotated files there are.
func (w *world) logged(user string) (ids map[string]bool, files int) {
	w.t.Helper()
	ids = map[string]bool{}
	paths, err := filepath.Glob(filepath.Join(filepath.Dir(w.auditLog), "audit*"))
	w.must(err)
	for _, path := range paths {
		f, err := os.Open(path)
		w.must(err)
		var r io.Reader = f
		if strings.HasSuffix(path, ".gz") {
			if _, err := os.Stat(strings.TrimSuffix(path, ".gz")); err == nil {
				f.Close() // being compressed
				continue
			}
			zip, err := gzip.NewReader(f)
			w.must(err)
			r = zip
		}
		if path != w.auditLog {
			files++
		}
		lines := bufio.NewScanner(r)
		lines.Buffer(nil, 16<<20)
		for lines.Scan() {
			var e event
			w.must(json.Unmarshal(lines.Bytes(), &e))
			if e.User.Username == user && e.Stage == "ResponseComplete" {
				ids[e.AuditID] = true
			}
		}
		w.must(lines.Err())
		f.Close()
	}
	return ids, files
}

// recorded counts, in the bucket, the records of each audit ID of a user, and
// those of each event ID.
func (w *world) recorded(user string) (calls, events map[string]int) {
	w.t.Helper()
	calls, events = map[string]int{}, map[string]int{}
	for info, err := range w.bucket.List(w.t.Context(), "", "") {
		w.must(err)
		if !record.IsLogFileKey(info.Key) {
			continue
		}
		body, _, err := w.bucket.Get(w.t.Context(), info.Key)
		w.must(err)
		zip, err := gzip.NewReader(body)
		w.must(err)
		var f struct {
			Records []struct {
				EventID      string `json:"eventID"`
				EventName    string `json:"eventName"`
				RequestID    string `json:"requestID"`
				UserIdentity struct {
					UserName    string `json:"userName"`
					PrincipalID string `json:"principalId"`
				} `json:"userIdentity"`
			}
		}
		w.must(json.NewDecoder(zip).Decode(&f))
		w.must(body.Close())
		for _, r := range f.Records {
			events[r.EventID]++
			if r.UserIdentity.UserName == user || r.UserIdentity.PrincipalID == user {
				calls[r.RequestID]++
			}
			if strings.HasPrefix(r.EventName, "EventQuarantined") {
				w.t.Errorf("something was quarantined")
			}
		}
	}
	return calls, events
}

// flush waits until everything that was sent is in the bucket.
func (w *world) flush() *receiverstatus.Status {
	w.t.Helper()
	w.in.Trails[0].Suspended = true
	w.in.Trails[0].Generation++
	w.must(w.in.Write())
	return w.until("everything to be delivered", func(s *receiverstatus.Status) bool { return len(s.Trails) == 1 && s.Trails[0].Flushed })
}

// once checks that each call of a user is in the bucket once, and that nothing is
// there twice.
func (w *world) once(user string, calls int) {
	w.t.Helper()
	w.eventually("the tail to be at the end of the log", func() bool { return w.metric("trail_tail_behind_bytes") == 0 })
	w.flush()
	want, files := w.logged(user)
	got, events := w.recorded(user)
	if len(want) < calls {
		w.t.Errorf("%d calls were made, %d are in the log", calls, len(want))
	}
	lost := 0
	for id := range want {
		if got[id] == 0 {
			lost++
		}
	}
	twice := 0
	for _, n := range events {
		if n > 1 {
			twice++
		}
	}
	for _, n := range got {
		if n > 1 {
			twice++
		}
	}
	w.t.Logf("%d calls, %d rotated files, %d records, %d lost, %d twice", len(want), files, len(events), lost, twice)
	if lost > 0 || twice > 0 {
		w.t.Errorf("of %d calls %d are lost, and %d records are there twice\nthe tail: %s", len(want), lost, twice, end(w.tail.Log))
	}
	if files < 2 {
		w.t.Errorf("%d files were rotated; the test shows nothing", files)
	}
}
