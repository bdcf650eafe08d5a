package integration

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	auditv1 "k8s.io/apiserver/pkg/apis/audit/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/trail-operator/trail-operator/api/v1alpha1"
	"github.com/trail-operator/trail-operator/controllers"
	"github.com/trail-operator/trail-operator/internal/lossaccount"
	"github.com/trail-operator/trail-operator/internal/manifests"
	"github.com/trail-operator/trail-operator/internal/receiverconfig"
	"github.com/trail-operator/trail-operator/internal/record"
	"github.com/trail-operator/trail-operator/internal/recorder/tail"
	"github.com/trail-operator/trail-operator/test/testenv"
)

// patiently waits longer than eventually does: comparisons take their time.
func patiently(t *testing.T, check func() string) {
	t.Helper()
	for deadline := time.Now().Add(4 * time.Minute); ; time.Sleep(100 * time.Millisecond) {
		missing := check()
		if missing == "" {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("still missing after four minutes: %s", missing)
		}
	}
}

// noLoss is the condition of a trail as "Status Reason: message".
func (w *world) noLoss(t client.Object) string {
	if err := w.admin.Get(w.t.Context(), client.ObjectKeyFromObject(t), t); err != nil {
		return err.Error()
	}
	var conditions []metav1.Condition
	switch t := t.(type) {
	case *v1alpha1.OrganizationTrail:
		conditions = t.Status.Conditions
	case *v1alpha1.Trail:
		conditions = t.Status.Conditions
	}
	c := meta.FindStatusCondition(conditions, v1alpha1.ConditionNoLoss)
	if c == nil {
		return "absent"
	}
	return fmt.Sprintf("%s %s: %s", c.Status, c.Reason, c.Message)
}

// says is what the API server says of itself.
func (w *world) says() lossaccount.Sample {
	w.t.Helper()
	c, err := kubernetes.NewForConfig(w.cp.Config)
	if err != nil {
		w.t.Fatal(err)
	}
	raw, err := c.RESTClient().Get().AbsPath("/metrics").DoRaw(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	s, err := lossaccount.ParseMetrics(bytes.NewReader(raw))
	if err != nil {
		w.t.Fatal(err)
	}
	return s
}

// dropped is how many events the API server says it has lost since it was started.
func (w *world) dropped() int64 {
	s := w.says()
	return s.Errors.Buffered + s.Errors.Webhook + s.Errors.Truncate
}

// metric is the value of one of the manager for the API server, 0 without.
func metric(t *testing.T, from *prometheus.Registry, name string) int64 {
	t.Helper()
	families, err := from.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			m := f.GetMetric()[0]
			return int64(m.GetCounter().GetValue() + m.GetGauge().GetValue())
		}
	}
	return 0
}

// A trail knows that nothing is lost, does not know it after an API server was
// started anew, and has the number of kube-apiserver itself when its buffer
// overflows: in the condition, in a metric, and in records.
func TestLossAccounting(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	registry := prometheus.NewRegistry()
	w.change = func(o *controllers.Options) {
		o.LossInterval, o.LossLag, o.Metrics = time.Second, 30*time.Second, registry
	}
	w.startManager("")
	w.create(w.credentials(installed), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop"}})
	role, binding := manifests.Grant("shop", "bucket", manifests.Subject(managerUser))
	w.create(w.credentials("shop"), role, binding)
	var all v1alpha1.OrganizationTrail
	if err := yaml.UnmarshalStrict(fmt.Appendf(nil, organizationManifest+"  delivery: {maxFileAgeSeconds: 30}\n", "loss-all", w.s3.Endpoint), &all); err != nil {
		t.Fatal(err)
	}
	shop := v1alpha1.Trail{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "audit"},
		Spec: v1alpha1.TrailSpec{Destination: v1alpha1.Destination{
			Endpoint: w.s3.Endpoint, Bucket: "loss-shop", CredentialsSecretRef: &v1alpha1.CredentialsSecretRef{Name: "bucket"},
		}},
	}
	w.create(&all, &shop)

	patiently(t, func() string {
		for _, trail := range []client.Object{&all, &shop} {
			if got := w.noLoss(trail); !strings.HasPrefix(got, "True NothingLost: ") {
				return "True of " + trail.GetName() + "; it is " + got
			}
		}
		return ""
	})

	restart := func(args ...string) {
		w.auditLog += "-next"
		if err := w.cp.RestartAPIServer(t.Context(), func(o *testenv.Options) { o.ExtraArgs, o.AuditLog = args, w.auditLog }); err != nil {
			t.Fatal(err)
		}
	}
	restart()
	// It counts each stage that it logs, once, although it has two backends.
	patiently(t, func() string {
		before := w.says().Events
		logged := int64(0)
		w.eachLogged(func(*auditv1.Event) { logged++ })
		if after := w.says().Events; before == 0 || logged < before || logged > after {
			return fmt.Sprintf("%d to %d events that are counted; %d are logged", before, after, logged)
		}
		return ""
	})
	patiently(t, func() string {
		for _, trail := range []client.Object{&all, &shop} {
			if got := w.noLoss(trail); !strings.HasPrefix(got, "Unknown TailNotEnabled: ") {
				return "Unknown of " + trail.GetName() + "; it is " + got
			}
		}
		return ""
	})

	// Its buffer has room for no more than a few events now.
	restart("--audit-webhook-batch-buffer-size=100", "--audit-webhook-batch-max-size=50",
		"--audit-webhook-batch-throttle-qps=4", "--audit-webhook-batch-throttle-burst=4")
	for w.dropped() == 0 {
		w.burst()
	}
	told := int64(0)
	patiently(t, func() string {
		before := w.dropped()
		got := w.noLoss(&all)
		if strings.HasPrefix(got, "True") {
			t.Fatal("it is True without a tail: " + got)
		}
		var since string
		_, rest, _ := strings.Cut(got, "False EventsLost: The API server cp-1 lost ")
		if n, _ := fmt.Sscanf(strings.ReplaceAll(rest, ",", ""), "%d events since %s", &told, &since); n != 2 {
			return "a number; it is " + got
		}
		if after := w.dropped(); told != before || told != after {
			return fmt.Sprintf("the number %d to %d; it is %d", before, after, told)
		}
		if n := metric(t, registry, "trail_apiserver_lost_events_total"); n != told {
			return fmt.Sprintf("the metric of %d events; it is %d", told, n)
		}
		return ""
	})
	patiently(t, func() string {
		if got, want := w.noLoss(&shop), fmt.Sprintf("%d events since ", told); !strings.Contains(strings.ReplaceAll(got, ",", ""), want) || strings.Contains(got, "cp-1") {
			return want + "for the tenant; it is " + got
		}
		return ""
	})
	patiently(t, func() string {
		recorded, possible := int64(0), false
		for _, r := range w.records("loss-all") {
			var details struct {
				Cause     string `json:"cause"`
				APIServer string `json:"apiServer"`
				Events    int64  `json:"events"`
			}
			if raw, err := json.Marshal(r.ServiceEventDetails); err == nil {
				_ = json.Unmarshal(raw, &details)
			}
			switch {
			case r.EventName == record.EventEventsLost && details.Cause == "APIServerDropped" && details.APIServer == "cp-1":
				recorded += details.Events
			case r.EventName == record.EventEventsPossiblyLost && details.Cause == "APIServerProcessChanged":
				possible = true
			}
		}
		if now := w.dropped(); recorded != now || !possible {
			return fmt.Sprintf("records of %d events, and of the restart; there are %d, and %v", now, recorded, possible)
		}
		return ""
	})

	// Who has seen it says so, and hears no more of it.
	eventually(t, func() string {
		if err := w.admin.Patch(t.Context(), &all, client.RawPatch(types.MergePatchType, fmt.Appendf(nil, `{"metadata":{"annotations":{%q:%q}}}`,
			v1alpha1.AnnotationAcknowledgeLoss, time.Now().UTC().Format(time.RFC3339)))); err != nil {
			return err.Error()
		}
		if got := w.noLoss(&all); strings.Contains(strings.ReplaceAll(got, ",", ""), fmt.Sprintf("lost %d events", told)) || strings.Contains(got, "TailNotEnabled") {
			return "the end of " + got
		}
		return ""
	})
}

// follow runs a tail of the API server's audit log until the test ends. It has the
// token that a kubelet would give it.
func (w *world) follow() {
	t := w.t
	t.Helper()
	w.create(&corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: installed, Name: receiverconfig.TailServiceAccount}})
	w.tailPod("tail-1", receiverconfig.TailServiceAccount, "cp-1")
	hook := &corev1.Secret{}
	if err := w.admin.Get(t.Context(), client.ObjectKey{Namespace: installed, Name: manifests.APIServerCertName("cp-1")}, hook); err != nil {
		t.Fatal(err)
	}
	kubeconfig, err := clientcmd.RESTConfigFromKubeConfig(hook.Data[manifests.KeyKubeconfig])
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, content := range map[string]string{
		tail.FileURL: "https://" + w.receiver, tail.FileAccount: "000000000042", tail.FileCA: string(kubeconfig.CAData),
		tail.FileToken: w.token(receiverconfig.TailServiceAccount, "tail-1", receiverconfig.TailAudience),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	follower, err := tail.New(tail.Options{
		Path: w.auditLog, StateDir: t.TempDir(), ReceiverDir: dir, APIServer: "cp-1", Interval: 200 * time.Millisecond,
		Clock: clock.RealClock{}, Log: logr.Discard(),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- follower.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := errors.Join(<-done, follower.Close()); err != nil {
			t.Error(err)
		}
	})
}

// With a tail nothing is lost, and that is known: neither when the API server is
// started anew, nor when its buffer overflows.
func TestLossAccountingWithTail(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	registry := prometheus.NewRegistry()
	w.change = func(o *controllers.Options) {
		o.LossInterval, o.LossLag, o.Metrics = time.Second, 30*time.Second, registry
	}
	w.startManagerWith(fmt.Sprintf(`
apiVersion: config.trail-operator.io/v1alpha1
kind: ManagerConfig
account: "000000000042"
region: eu-1
namespace: %s
receiver: {address: %q, apiServers: [cp-1]}
intake: {tail: {enabled: true}}
allowedAddresses: [127.0.0.1]
metricsBindAddress: "0"
healthBindAddress: "127.0.0.1:0"
`, installed, w.receiver))
	w.follow()
	w.create(w.credentials(installed))
	var all v1alpha1.OrganizationTrail
	if err := yaml.UnmarshalStrict(fmt.Appendf(nil, organizationManifest, "loss-tail", w.s3.Endpoint), &all); err != nil {
		t.Fatal(err)
	}
	w.create(&all)
	patiently(t, func() string {
		if got := w.noLoss(&all); !strings.HasPrefix(got, "True NothingLost: ") || metric(t, registry, "trail_apiserver_accounted_timestamp_seconds") == 0 {
			return "True; it is " + got
		}
		return ""
	})
	stopped := time.Now().Unix()
	err := w.cp.RestartAPIServer(t.Context(), func(o *testenv.Options) {
		o.ExtraArgs = []string{
			"--audit-webhook-batch-buffer-size=100", "--audit-webhook-batch-max-size=50",
			"--audit-webhook-batch-throttle-qps=4", "--audit-webhook-batch-throttle-burst=4",
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	for w.dropped() == 0 {
		w.burst()
	}
	patiently(t, func() string {
		got := w.noLoss(&all)
		if strings.HasPrefix(got, "False") || strings.Contains(got, v1alpha1.ReasonTailNotEnabled) {
			t.Fatal("nothing is lost: " + got)
		}
		recovered, dropped := metric(t, registry, "trail_apiserver_recovered_events_total"), w.dropped()
		if accounted := metric(t, registry, "trail_apiserver_accounted_timestamp_seconds"); accounted <= stopped || recovered < dropped {
			return fmt.Sprintf("a comparison after the restart, and %d events that the tail has brought; there are %d", dropped, recovered)
		}
		if !strings.HasPrefix(got, "True NothingLost: ") {
			return "True again; it is " + got
		}
		return ""
	})
	for _, name := range []string{"trail_apiserver_lost_events_total", "trail_apiserver_unaccounted_stops_total"} {
		if n := metric(t, registry, name); n != 0 {
			t.Errorf("%s is %d", name, n)
		}
	}
}

// burst makes more calls at once than the API server has room for.
func (w *world) burst() {
	w.t.Helper()
	c := w.as("anna")
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 60 {
				_ = c.Get(w.t.Context(), client.ObjectKey{Name: "shop"}, &corev1.Namespace{})
			}
		})
	}
	wg.Wait()
}
