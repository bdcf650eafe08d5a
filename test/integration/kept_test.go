package integration

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/klauspost/compress/gzip"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/trail-operator/trail-operator/internal/cli"
	"github.com/trail-operator/trail-operator/internal/cli/clitest"
	"github.com/trail-operator/trail-operator/internal/cli/kube"
	"github.com/trail-operator/trail-operator/internal/cli/quarantine"
	"github.com/trail-operator/trail-operator/internal/cli/redeliver"
	"github.com/trail-operator/trail-operator/internal/manifests"
	"github.com/trail-operator/trail-operator/internal/objectstore"
	"github.com/trail-operator/trail-operator/internal/objectstore/minio"
	dataplane "github.com/trail-operator/trail-operator/internal/receiver"
	"github.com/trail-operator/trail-operator/internal/receiverconfig"
	"github.com/trail-operator/trail-operator/internal/receiverstatus"
	"github.com/trail-operator/trail-operator/internal/record"
	"github.com/trail-operator/trail-operator/internal/signing"
	"github.com/trail-operator/trail-operator/test/testenv"
)

// keeper is a receiver with one trail in a real bucket, and the plugin beside it.
type keeper struct {
	t       *testing.T
	s3      *testenv.S3Server
	s3Dir   string
	in      *testenv.Installation
	data    string
	address string
	posts   *http.Client
	now     *dataplane.Receiver
	stop    func()
	cluster *clitest.Cluster
	events  int
}

const (
	keptTrail  = "00000000-0000-4000-8000-00000000000b"
	keptQuota  = 1 << 20
	keptBucket = "kept"
)

func newKeeper(t *testing.T) *keeper {
	t.Helper()
	k := &keeper{t: t, s3Dir: t.TempDir(), data: t.TempDir()}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	var err error
	k.s3, err = testenv.StartVersityGW(context.Background(), k.s3Dir, testenv.S3Options{Log: t.Output()})
	must(err)
	t.Cleanup(func() { k.s3.Stop() })
	must(k.bucket().CreateBucket(t.Context()))
	k.in, err = testenv.NewInstallation(filepath.Join(t.TempDir(), "config"))
	must(err)
	k.in.Trails = []receiverconfig.Trail{{
		UID: keptTrail, Name: "shop.audit", Namespace: "shop", Generation: 1,
		ARN: record.TrailARN(testenv.Region, testenv.Account, "shop.audit"),
		Destination: receiverconfig.Destination{
			Endpoint: k.s3.Endpoint, Bucket: keptBucket, Region: k.s3.Region, Prefix: "shop/audit",
			AccessKeyID: k.s3.AccessKey, SecretAccessKey: k.s3.SecretKey, AllowPrivate: true,
		},
		LogFileValidation: true, MaxFileAgeSeconds: 30, MaxFileSizeMiB: 1,
	}}
	must(k.in.Write())
	k.posts, err = k.in.APIServerClient()
	must(err)
	t.Cleanup(k.posts.CloseIdleConnections)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(err)
	k.address = l.Addr().String()
	k.start(l)
	t.Cleanup(func() { k.stop() })
	eventually(t, func() string { // before that nothing is recorded
		if k.trail().Generation != 1 {
			return "the trail"
		}
		return ""
	})
	k.cluster = &clitest.Cluster{Chosen: "shop", Objects: []client.Object{k.secret()}}
	return k
}

// start runs the receiver.
func (k *keeper) start(l net.Listener) {
	k.t.Helper()
	r, err := dataplane.New(dataplane.Options{
		ConfigDir: k.in.Dir, DataDir: k.data, TrailQuota: keptQuota, Open: minio.New,
		Clock: clock.RealClock{}, Log: logr.Discard(), Registerer: prometheus.NewRegistry(),
	})
	if err != nil {
		k.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx, l) }()
	k.now = r
	k.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			k.t.Error(err)
		}
	})
}

// secret is what the manager makes for itself.
func (k *keeper) secret() *corev1.Secret {
	k.t.Helper()
	manager, err := k.in.ManagerClient()
	if err != nil {
		k.t.Fatal(err)
	}
	pair := manager.Transport.(*http.Transport).TLSClientConfig.Certificates[0]
	key, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		k.t.Fatal(err)
	}
	ca, err := os.ReadFile(filepath.Join(k.in.Dir, receiverconfig.FileClientCA))
	if err != nil {
		k.t.Fatal(err)
	}
	return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: kube.OperatorNamespace, Name: manifests.ManagerCertName}, Data: map[string][]byte{
		"ca.crt": ca, "tls.crt": pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: pair.Certificate[0]}),
		"tls.key": pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}),
	}}
}

func (k *keeper) bucket() objectstore.Store {
	k.t.Helper()
	s, err := minio.New(objectstore.Config{
		Endpoint: k.s3.Endpoint, Region: k.s3.Region, Bucket: keptBucket, AccessKey: k.s3.AccessKey, SecretKey: k.s3.SecretKey, AllowPrivate: true,
	})
	if err != nil {
		k.t.Fatal(err)
	}
	return s
}

// event is one of the trail's namespace.
func (k *keeper) event() string {
	k.events++
	return fmt.Sprintf(`{"level":"Metadata","auditID":"kept-%d","stage":"ResponseComplete","requestURI":"/api/v1/namespaces/shop/configmaps/c-%x","verb":"update",`+
		`"user":{"username":"ann","groups":["dev"]},"sourceIPs":["10.0.0.9"],"userAgent":"kubectl/%x%x",`+
		`"objectRef":{"resource":"configmaps","namespace":"shop","name":"c","apiVersion":"v1"},"responseStatus":{"code":200},`+
		`"requestReceivedTimestamp":"2026-11-21T10:20:00.000000Z","stageTimestamp":"2026-11-21T10:20:00.100000Z"}`,
		k.events, rand.Uint64(), rand.Uint64(), rand.Uint64())
}

// post sends a body, again until the receiver takes it.
func (k *keeper) post(body string) {
	k.t.Helper()
	eventually(k.t, func() string {
		resp, err := k.posts.Post("https://"+k.address+"/v1/audit/"+testenv.Account+"/"+testenv.APIServer, "application/json", strings.NewReader(body))
		if err != nil {
			return err.Error()
		}
		defer resp.Body.Close()
		if _, err := io.Copy(io.Discard, resp.Body); err != nil || resp.StatusCode != http.StatusOK {
			return resp.Status
		}
		return ""
	})
}

func eventList(items ...string) string {
	return `{"kind":"EventList","apiVersion":"audit.k8s.io/v1","items":[` + strings.Join(items, ",") + `]}`
}

// file sends as many events as fill a log file.
func (k *keeper) file() {
	k.t.Helper()
	var items []string
	for range 900 {
		items = append(items, k.event())
	}
	k.post(eventList(items...))
}

func (k *keeper) trail() receiverstatus.Trail {
	s := k.now.Status()
	if len(s.Trails) == 0 {
		return receiverstatus.Trail{}
	}
	return s.Trails[0]
}

// run runs a command of the plugin.
func (k *keeper) run(build func(kube.Cluster, genericiooptions.IOStreams) *cobra.Command, args ...string) (string, error) {
	k.t.Helper()
	out, errOut, err := clitest.Run(k.t, func(s genericiooptions.IOStreams) *cobra.Command { return build(k.cluster, s) }, append(args, "--receiver", k.address)...)
	if errOut != "" {
		k.t.Log(errOut)
	}
	return out, err
}

func quarantineCommand(c kube.Cluster, s genericiooptions.IOStreams) *cobra.Command {
	return quarantine.NewCommand(c, s, clock.RealClock{})
}

func redeliverCommand(c kube.Cluster, s genericiooptions.IOStreams) *cobra.Command {
	return redeliver.NewCommand(c, s, clock.RealClock{})
}

// delivered counts the records of the bucket by requestID, and the marked ones.
func (k *keeper) delivered() (byID map[string]int, replayed []string, own map[string]int) {
	k.t.Helper()
	byID, own = map[string]int{}, map[string]int{}
	store := k.bucket()
	for info, err := range store.List(k.t.Context(), "", "") {
		if err != nil {
			k.t.Fatal(err)
		}
		if !record.IsLogFileKey(info.Key) {
			continue
		}
		body, _, err := store.Get(k.t.Context(), info.Key)
		if err != nil {
			k.t.Fatal(err)
		}
		var f record.LogFile
		zip, err := gzip.NewReader(body)
		if err == nil {
			err = json.NewDecoder(zip).Decode(&f)
		}
		_ = body.Close()
		if err != nil {
			k.t.Fatal(err)
		}
		for i := range f.Records {
			r := &f.Records[i]
			if r.EventSource == record.OwnEventSource {
				own[r.EventName]++
				continue
			}
			byID[r.RequestID]++
			raw, err := json.Marshal(r.AdditionalEventData)
			if err != nil {
				k.t.Fatal(err)
			}
			if bytes.Contains(raw, []byte(`"replayed":true`)) {
				replayed = append(replayed, r.RequestID)
			}
		}
	}
	return byID, replayed, own
}

// TestQuarantineAndRedelivery: what cannot be read is shown masked and replayed
// once; what has expired in a bucket that was away is delivered once it is back;
// and the trail is valid then.
func TestQuarantineAndRedelivery(t *testing.T) {
	k := newKeeper(t)
	const canary = "hunter2-c4n4ry"
	secret := strings.Replace(k.event(), `"level"`, `"requestObject":{"kind":"Secret","data":{"p":"`+canary+`"}},"level"`, 1)
	secret = strings.Replace(secret, `"sourceIPs":[`, `"sourceIPs":[5,`, 1)
	k.post(eventList(k.event(), secret))
	k.post(strings.Replace(k.event(), "{", `{"kind":"Event","apiVersion":"audit.k8s.io/v1",`, 1)) // no list: the whole body is refused

	var list receiverstatus.KeptList
	out, err := k.run(quarantineCommand, "list", "-o", "json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(out), &list); err != nil || len(list.Items) != 2 {
		t.Fatalf("%s, %v", out, err)
	}
	for _, item := range list.Items {
		for _, format := range []string{"table", "json", "yaml"} {
			shown, err := k.run(quarantineCommand, "show", item.ID, "-o", format)
			if err != nil || strings.Contains(shown, canary) || !strings.Contains(shown, item.ID) || !strings.Contains(shown, item.SHA256) {
				t.Errorf("%s, %v", shown, err)
			}
		}
	}
	if shown, err := k.run(quarantineCommand, "list", "-o", "wide"); err != nil || strings.Contains(shown, canary) || !strings.Contains(shown, "wrong type") || !strings.Contains(shown, "SHA-256") {
		t.Errorf("%s, %v", shown, err)
	}
	for range 2 { // the second finds nothing to do
		out, err = k.run(quarantineCommand, "replay", "--all", "-o", "json")
		if err == nil || !strings.Contains(err.Error(), "not possible") {
			t.Errorf("the secret was replayed: %v", err)
		}
	}
	if !strings.Contains(out, receiverstatus.KeptRefused) || strings.Contains(out, receiverstatus.ReplayedNow) {
		t.Error(out)
	}
	if out, err = k.run(quarantineCommand, "list"); err != nil || strings.Count(out, " replayed ") != 1 {
		t.Errorf("%s, %v", out, err)
	}

	patiently(t, func() string {
		if byID, replayed, _ := k.delivered(); len(replayed) != 1 || replayed[0] != "kept-3" || byID["kept-2"] != 1 {
			return fmt.Sprintf("delivered %v, replayed %v", byID, replayed)
		}
		return ""
	})

	// The bucket goes away for so long that files expire.
	k.s3.Stop()
	deadline := time.Now().Add(3 * time.Minute)
	for k.trail().ExpiredFiles < 2 {
		if time.Now().After(deadline) {
			t.Fatalf("nothing expires: %+v", k.trail())
		}
		k.file()
	}
	// Restart: what is kept stays.
	k.stop()
	l, err := net.Listen("tcp", k.address)
	if err != nil {
		t.Fatal(err)
	}
	k.start(l)
	eventually(t, func() string {
		if k.trail().ExpiredFiles == 0 {
			return "no expired files"
		}
		return ""
	})
	if out, err = k.run(redeliverCommand, "--list"); err != nil || !strings.Contains(out, "expired-"+keptTrail) {
		t.Fatalf("%s, %v", out, err)
	}
	dir := t.TempDir()
	if out, err = k.run(redeliverCommand, "--all", "--to-dir", dir); err != nil || !strings.Contains(out, "saved") {
		t.Errorf("%s, %v", out, err)
	}
	if out, err = k.run(redeliverCommand, "--all", "--to-dir", dir); err != nil || !strings.Contains(out, "already saved") {
		t.Errorf("%s, %v", out, err)
	}
	if out, err = k.run(redeliverCommand, "--all"); err != nil || !strings.Contains(out, receiverstatus.DeliveryAsked) {
		t.Errorf("%s, %v", out, err)
	}
	asked := k.trail()
	if k.s3, err = testenv.StartVersityGW(context.Background(), k.s3Dir, testenv.S3Options{
		Log: t.Output(), Address: k.s3.Address(), AccessKey: k.s3.AccessKey, SecretKey: k.s3.SecretKey,
	}); err != nil {
		t.Fatal(err)
	}
	patiently(t, func() string {
		if s := k.trail(); s.ExpiredFiles > 0 || s.Counts.Redelivered == 0 || s.PendingFiles > 0 {
			return fmt.Sprintf("%+v; when it was asked for %+v", s, asked)
		}
		return ""
	})
	k.in.Trails[0].Suspended, k.in.Trails[0].Generation = true, 2
	if err := k.in.Write(); err != nil {
		t.Fatal(err)
	}
	patiently(t, func() string {
		if s := k.trail(); !s.Flushed {
			return fmt.Sprintf("%+v", s)
		}
		return ""
	})

	counts := k.trail().Counts
	byID, _, own := k.delivered()
	sum := 0
	for id, n := range byID {
		if n != 1 {
			t.Errorf("%s is there %d times", id, n)
		}
		sum += n
	}
	for _, n := range own {
		sum += n
	}
	if int64(sum) != counts.Delivered || counts.Accepted != counts.Delivered+counts.Expired || own[record.EventEventsRedelivered] == 0 {
		t.Errorf("%d records are in the bucket, %v of our own; the account is %+v", sum, own, counts)
	}
	// What was saved is in the bucket under the same keys.
	_ = filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		key, _ := filepath.Rel(dir, path)
		if _, err := k.bucket().Head(t.Context(), filepath.ToSlash(key)); err != nil {
			t.Errorf("%s: %v", key, err)
		}
		return nil
	})
	k.validate(len(byID))
}

// validate runs validate-logs against the bucket.
func (k *keeper) validate(events int) {
	t := k.t
	t.Helper()
	p, err := signing.Publish(k.in.Key.Public(), time.Now().Add(-time.Hour), nil)
	if err != nil {
		t.Fatal(err)
	}
	layout := record.Layout{Prefix: "shop/audit", Account: testenv.Account, Region: testenv.Region}
	raw := record.MustJSON(p)
	if err := k.bucket().Create(t.Context(), layout.DigestKey(p.Fingerprint), bytes.NewReader(raw), int64(len(raw)), objectstore.PutOptions{SHA256: sha256.Sum256(raw)}); err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]string{
		"AWS_ACCESS_KEY_ID": k.s3.AccessKey, "AWS_SECRET_ACCESS_KEY": k.s3.SecretKey,
		"AWS_CONFIG_FILE": os.DevNull, "AWS_SHARED_CREDENTIALS_FILE": os.DevNull, "AWS_EC2_METADATA_DISABLED": "true",
	} {
		t.Setenv(name, value)
	}
	streams, _, out, errOut := genericiooptions.NewTestIOStreams()
	if exit := cli.Run(t.Context(), []string{
		"kubectl-trail", "validate-logs", "--bucket", keptBucket, "--prefix", "shop/audit", "--account", testenv.Account, "--region", testenv.Region,
		"--trail", "shop.audit", "--endpoint", k.s3.Endpoint, "--bucket-region", k.s3.Region, "--trust", k.in.Key.Public().Trust(),
	}, streams); exit != 0 {
		t.Errorf("exit %d: %s %s", exit, out.String(), errOut.String())
	}
	t.Logf("%d events: %s", events, out.String())
}
