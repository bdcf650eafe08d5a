package durability

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/trail-operator/trail-operator/internal/failpoint"
	"github.com/trail-operator/trail-operator/internal/objectstore"
	"github.com/trail-operator/trail-operator/internal/objectstore/minio"
	"github.com/trail-operator/trail-operator/internal/receiverconfig"
	"github.com/trail-operator/trail-operator/internal/receiverstatus"
	"github.com/trail-operator/trail-operator/internal/record"
	"github.com/trail-operator/trail-operator/test/testenv"
)

// patience is how long anything may take: the machine may be busy.
const patience = 60 * time.Second

// world is one receiver with one trail, its bucket and its clients. When the
// receiver ends it is started again, as a kubelet does.
type world struct {
	t       *testing.T
	ctx     context.Context
	dir     string
	in      *testenv.Installation
	bucket  objectstore.Store
	client  *http.Client // of the API server
	manager *http.Client
	ledger  ledger
	// waits is for how long a body is sent again, patience unless it is set.
	waits time.Duration

	address string

	mu       sync.Mutex
	receiver *testenv.Receiver
	ending   bool
	// kills are failpoints for the next starts; killed counts the deaths.
	kills  []string
	killed int
	// asked counts the receivers that were asked to end and have not ended yet.
	asked int

	supervised sync.WaitGroup
}

// buckets makes the names of buckets different.
var buckets atomic.Int64

// newWorld starts a receiver that kills itself at each of kills, one a start.
func newWorld(t *testing.T, dataDir string, flags []string, kills ...string) *world {
	t.Helper()
	return newWorldWith(t, dataDir, flags, func(*world) {}, kills...)
}

// newWorldWith does so with another configuration than that of the one trail.
func newWorldWith(t *testing.T, dataDir string, flags []string, configure func(*world), kills ...string) *world {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*patience+soak()+soak()/10)
	t.Cleanup(cancel)
	w := &world{t: t, ctx: ctx, dir: t.TempDir(), kills: kills}
	if dataDir == "" {
		dataDir = filepath.Join(w.dir, "data")
	}
	var err error
	if w.in, err = testenv.NewInstallation(filepath.Join(w.dir, "config")); err != nil {
		t.Fatal(err)
	}
	w.in.Flags = flags
	name := fmt.Sprintf("%s-%d", strings.ToLower(strings.ReplaceAll(t.Name(), "/", "-")), buckets.Add(1))
	w.in.Trails = []receiverconfig.Trail{{
		UID: "00000000-0000-4000-8000-00000000000a", Name: "all", Generation: 1,
		ARN: record.TrailARN(testenv.Region, testenv.Account, "all"),
		Destination: receiverconfig.Destination{
			Endpoint: s3.Endpoint, Bucket: name, Region: s3.Region, Prefix: "kill",
			AccessKeyID: s3.AccessKey, SecretAccessKey: s3.SecretKey, AllowPrivate: true,
		},
		// Files are closed by size: the age cannot be less.
		LogFileValidation: true, MaxFileAgeSeconds: 30, MaxFileSizeMiB: 1,
	}}
	if w.bucket, err = open(w.trail().Destination); err != nil {
		t.Fatal(err)
	}
	configure(w)
	if err := errors.Join(w.in.Write(), w.bucket.CreateBucket(ctx)); err != nil {
		t.Fatal(err)
	}
	if w.client, err = w.in.APIServerClient(); err != nil {
		t.Fatal(err)
	}
	if w.manager, err = w.in.ManagerClient(); err != nil {
		t.Fatal(err)
	}
	w.client.Timeout = 20 * time.Second
	w.start(dataDir)
	t.Cleanup(w.stop)
	return w
}

func open(d receiverconfig.Destination) (objectstore.Store, error) {
	return minio.New(objectstore.Config{
		Endpoint: d.Endpoint, Region: d.Region, Bucket: d.Bucket,
		AccessKey: d.AccessKeyID, SecretKey: d.SecretAccessKey, AllowPrivate: true,
	})
}

func (w *world) trail() *receiverconfig.Trail { return &w.in.Trails[0] }

func (w *world) start(dataDir string) {
	w.t.Helper()
	if err := w.startOnce(dataDir); err != nil {
		w.t.Fatal(err)
	}
	w.supervised.Go(func() {
		for failures := 0; ; {
			w.mu.Lock()
			r := w.receiver
			w.mu.Unlock()
			<-r.Done()
			w.mu.Lock()
			ending := w.ending
			if r.Killed() {
				w.killed++
			} else if w.asked > 0 && r.Exited() == 0 {
				w.asked--
			} else if !ending {
				failures++
			}
			w.mu.Unlock()
			if ending {
				return
			}
			if failures > 0 {
				w.t.Errorf("the receiver ended by itself: %s", w.log())
				return
			}
			if err := w.startOnce(dataDir); err != nil {
				w.t.Error(err)
				return
			}
		}
	})
}

// startOnce starts the receiver with the next failpoint.
func (w *world) startOnce(dataDir string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	var env []string
	if len(w.kills) > 0 {
		env = append(env, failpoint.Env+"="+w.kills[0])
		w.kills = w.kills[1:]
	}
	r, err := w.in.StartReceiver(binary, dataDir, filepath.Join(w.dir, "receiver.log"), w.address, env...)
	if err != nil {
		return err
	}
	w.receiver = r
	if w.address == "" { // the same at every start
		w.address = r.Address
	}
	return nil
}

// stop ends everything.
func (w *world) stop() {
	w.mu.Lock()
	w.ending = true
	r := w.receiver
	w.mu.Unlock()
	if err := r.Stop(); err != nil {
		w.t.Error(err)
	}
	w.supervised.Wait()
	w.client.CloseIdleConnections()
	w.manager.CloseIdleConnections()
	http.DefaultClient.CloseIdleConnections()
}

// kill ends the present receiver with SIGKILL.
func (w *world) kill() {
	w.mu.Lock()
	r := w.receiver
	w.mu.Unlock()
	r.Kill()
}

// terminate asks the present receiver to end, as a kubelet does, and waits until
// it has.
func (w *world) terminate() {
	w.mu.Lock()
	r := w.receiver
	w.asked++
	w.mu.Unlock()
	if err := r.Stop(); err != nil {
		w.t.Error(err)
	}
}

// deaths is how often the receiver was killed.
func (w *world) deaths() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.killed
}

func (w *world) log() string {
	b, err := os.ReadFile(filepath.Join(w.dir, "receiver.log"))
	if err != nil {
		return err.Error()
	}
	return string(b[max(0, len(b)-3000):])
}

// status asks the receiver, which may be away.
func (w *world) status() (*receiverstatus.Status, error) {
	ctx, cancel := context.WithTimeout(w.ctx, 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+w.address+receiverstatus.PathStatus, http.NoBody)
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

// until waits for a status of the trail.
func (w *world) until(what string, holds func(receiverstatus.Trail) bool) receiverstatus.Trail {
	w.t.Helper()
	last := "no status"
	for deadline := time.Now().Add(patience); time.Now().Before(deadline) && !w.t.Failed(); time.Sleep(20 * time.Millisecond) {
		s, err := w.status()
		switch {
		case err != nil:
			last = err.Error()
		case len(s.Trails) == 0:
			last = "no trail"
		case holds(s.Trails[0]):
			return s.Trails[0]
		default:
			last = string(record.MustJSON(s.Trails[0]))
		}
	}
	w.t.Fatalf("waiting for %s: %s\n%s", what, last, w.log())
	return receiverstatus.Trail{}
}

// configure changes the trail and waits until the receiver has it in force.
func (w *world) configure(change func(*receiverconfig.Trail)) {
	w.t.Helper()
	change(w.trail())
	w.trail().Generation++
	if err := w.in.Write(); err != nil {
		w.t.Fatal(err)
	}
	w.inForce()
}

func (w *world) inForce() {
	w.t.Helper()
	want := w.trail().Generation
	w.until(fmt.Sprintf("generation %d", want), func(t receiverstatus.Trail) bool { return t.Generation == want })
}

// suspend stops the trail and waits until everything is in the bucket, with a
// final digest.
func (w *world) suspend() receiverstatus.Trail {
	w.t.Helper()
	w.configure(func(t *receiverconfig.Trail) { t.Suspended = true })
	return w.until("everything to be delivered", func(t receiverstatus.Trail) bool { return t.Flushed })
}

func (w *world) resume() {
	w.t.Helper()
	w.configure(func(t *receiverconfig.Trail) { t.Suspended = false })
}
