package doctor

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/trail-operator/trail-operator/internal/auditpolicy"
	"github.com/trail-operator/trail-operator/internal/cli/clitest"
	"github.com/trail-operator/trail-operator/internal/manifests"
	"github.com/trail-operator/trail-operator/internal/pki"
)

// files is what stands ready to be put in place, and a receiver that knows it.
type files struct {
	t       *testing.T
	cluster *clitest.Cluster
	policy  string
	webhook auditpolicy.Webhook
	hook    string // the webhook's kubeconfig, when it is not that of webhook
	pod     corev1.Pod
	raw     string // the manifest, when it is not that of pod
	mode    os.FileMode
	status  int // that the receiver answers
	ca      pki.KeyPair
}

func newFiles(t *testing.T) *files {
	t.Helper()
	now := time.Now()
	ca, err := pki.NewCA("intake", now)
	if err != nil {
		t.Fatal(err)
	}
	policy, err := auditpolicy.Standard.YAML()
	if err != nil {
		t.Fatal(err)
	}
	f := &files{t: t, policy: string(policy), mode: 0o600, status: http.StatusMethodNotAllowed, ca: ca}
	server, err := ca.IssueServer(now, "127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	f.webhook = auditpolicy.Webhook{URL: "https://" + f.serve(server), Account: "000000000042", APIServer: "cp-1", CA: ca.Cert}
	f.issue(now, "000000000042:cp-1")
	f.cluster = &clitest.Cluster{Objects: []client.Object{&corev1.ConfigMap{ObjectMeta: named(manifests.InstallationName), Data: map[string]string{
		manifests.InstallationAccount: "000000000042", manifests.InstallationReceiverURL: f.webhook.URL,
	}}}}
	f.pod = apiServer("cp-1", "")
	f.pod.APIVersion, f.pod.Kind = "v1", "Pod"
	return f
}

func (f *files) issue(at time.Time, name string) {
	f.t.Helper()
	pair, err := f.ca.IssueAPIServer(at, name)
	if err != nil {
		f.t.Fatal(err)
	}
	f.webhook.Cert, f.webhook.Key = pair.Cert, pair.Key
}

func (f *files) serve(server pki.KeyPair) string {
	f.t.Helper()
	pair, err := tls.X509KeyPair(server.Cert, server.Key)
	if err != nil {
		f.t.Fatal(err)
	}
	clients := x509.NewCertPool()
	clients.AppendCertsFromPEM(f.ca.Cert)
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet || r.ContentLength > 0 {
			f.t.Errorf("%s with %d bytes was sent", r.Method, r.ContentLength)
		}
		w.WriteHeader(f.status)
	}))
	s.Config.ErrorLog = nil
	s.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, ClientCAs: clients, ClientAuth: tls.RequireAndVerifyClientCert, MinVersion: tls.VersionTLS12}
	s.StartTLS()
	f.t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

func (f *files) run(args ...string) (string, error) {
	f.t.Helper()
	dir := f.t.TempDir()
	if f.hook == "" {
		b, err := f.webhook.Kubeconfig()
		if err != nil {
			f.t.Fatal(err)
		}
		f.hook = string(b)
	}
	if f.raw == "" {
		b, err := yaml.Marshal(f.pod)
		if err != nil {
			f.t.Fatal(err)
		}
		f.raw = string(b)
	}
	for name, content := range map[string]string{"policy": f.policy, "webhook": f.hook, "pod": f.raw} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), f.mode); err != nil {
			f.t.Fatal(err)
		}
	}
	if args == nil {
		args = []string{
			"--policy-file", filepath.Join(dir, "policy"), "--webhook-file", filepath.Join(dir, "webhook"), "--manifest", filepath.Join(dir, "pod"),
		}
	}
	out, _, err := clitest.Run(f.t, func(s genericiooptions.IOStreams) *cobra.Command {
		return NewPreflightCommand(f.cluster, s, clock.RealClock{})
	}, args...)
	return strings.ReplaceAll(out, dir, "DIR"), err
}

func TestPreflight(t *testing.T) {
	foreign := newFiles(t)
	for name, tc := range map[string]struct {
		harm func(*files)
		exit int
		want string // a line; empty: everything is well
	}{
		"all well":          {func(*files) {}, 0, ""},
		"minimal policy":    {func(f *files) { b, _ := auditpolicy.Minimal.YAML(); f.policy = string(b) }, 0, ""},
		"no YAML":           {func(f *files) { f.policy = "a: [" }, 1, "problem    policy        kube-apiserver does not read it in full"},
		"misspelled field":  {func(f *files) { f.policy = strings.Replace(f.policy, "omitStages", "omitStage", 1) }, 1, `unknown field "omitStage"`},
		"unknown level":     {func(f *files) { f.policy = strings.Replace(f.policy, "level: None", "level: Nothing", 1) }, 1, "kube-apiserver refuses it: rules[0].level"},
		"old version":       {func(f *files) { f.policy = strings.Replace(f.policy, "audit.k8s.io/v1", "audit.k8s.io/v1beta1", 1) }, 1, "does not read it in full"},
		"other kind":        {func(f *files) { f.policy = "apiVersion: audit.k8s.io/v1\nkind: EventList\n" }, 1, "does not read it in full"},
		"no rules":          {func(f *files) { f.policy = "apiVersion: audit.k8s.io/v1\nkind: Policy\n" }, 1, "it has no rules"},
		"large":             {func(f *files) { f.policy = strings.Repeat("#", maxFile+1) }, 1, "larger than 1 MiB"},
		"no kubeconfig":     {func(f *files) { f.hook = "a: [" }, 1, "problem    webhook file  it is no kubeconfig"},
		"no context":        {func(f *files) { f.change("current-context: audit", "") }, 1, "it has no current-context"},
		"unknown context":   {func(f *files) { f.change("current-context: audit", "current-context: x") }, 1, "kube-apiserver does not accept it"},
		"plain text":        {func(f *files) { f.change("server: https", "server: http") }, 1, "must be https://host:port"},
		"other path":        {func(f *files) { f.change("/v1/audit/", "/audit/") }, 1, "is not that of a receiver"},
		"file names":        {func(f *files) { f.change("client-key-data:", "client-key: /x\n    x:") }, 1, ""},
		"expired":           {func(f *files) { f.issue(time.Now().Add(-20*365*day), "000000000042:cp-1") }, 1, "its certificate expired on"},
		"of another server": {func(f *files) { f.issue(time.Now(), "000000000042:cp-2") }, 1, "not that of the API server cp-1"},
		"other key":         {func(f *files) { f.webhook.Key = f.ca.Key }, 1, "are not a pair"},
		"of another CA":     {func(f *files) { f.webhook.Cert, f.webhook.Key = foreign.webhook.Cert, foreign.webhook.Key }, 1, "issued by another CA"},
		"open":              {func(f *files) { f.mode = 0o644 }, 0, "others than its owner may use it (mode 0644)"},
		"open to a group":   {func(f *files) { f.mode = 0o640 }, 0, "others than its owner may use it (mode 0640)"},
		"other address": {func(f *files) {
			f.cluster.Objects[0].(*corev1.ConfigMap).Data[manifests.InstallationReceiverURL] = "https://10.0.0.1:8443"
		}, 1, "the receiver of this installation is at 10.0.0.1:8443"},
		"other account": {func(f *files) {
			f.cluster.Objects[0].(*corev1.ConfigMap).Data[manifests.InstallationAccount] = "000000000043"
		}, 1, "this installation is the account 000000000043"},
		"no cluster":         {func(f *files) { f.cluster.Down = errors.New("no cluster") }, 0, "unchecked  address       no cluster"},
		"no answer":          {func(f *files) { f.webhook.URL = "https://127.0.0.1:1"; f.cluster.Down = errors.New("no cluster") }, 0, "warning    receiver      127.0.0.1:1 does not answer here"},
		"receiver distrusts": {func(f *files) { f.status = http.StatusForbidden }, 1, "that of another API server or cluster"},
		"replaced":           {func(f *files) { f.status = http.StatusUnauthorized }, 1, "was replaced or has expired"},
		"no receiver":        {func(f *files) { f.status = http.StatusOK }, 1, "answers HTTP 200, as no receiver does"},
		"just started":       {func(f *files) { f.status = http.StatusServiceUnavailable }, 0, "it has no configuration yet"},
		"another receiver":   {func(f *files) { f.webhook.URL = foreign.webhook.URL; f.cluster.Down = errors.New("x") }, 1, "comes from another CA"},
		"no pod":             {func(f *files) { f.raw = "kind: [" }, 1, "problem    manifest      it is no manifest of a pod"},
		"unknown field":      {func(f *files) { f.raw = strings.Replace(mustYAML(f.pod), "command:", "comand:", 1) }, 1, `unknown field "comand"`},
		"another pod":        {func(f *files) { f.pod.Spec.Containers[0].Name = "etcd" }, 1, "not the manifest of kube-apiserver"},
		"not mounted":        {func(f *files) { f.pod.Spec.Containers[0].VolumeMounts = nil }, 1, "no volume is mounted at /etc/kubernetes/audit"},
		"different": {func(f *files) {
			c := &f.pod.Spec.Containers[0]
			c.Args = []string{"--audit-webhook-batch-max-size=1"}
		}, 0, "--audit-webhook-batch-max-size is 1 instead of 400"},
		"other file": {func(f *files) {
			f.pod.Spec.Volumes[0].HostPath = &corev1.HostPathVolumeSource{Path: "/etc/kubernetes/audit"}
		}, 0, "--audit-policy-file leads to /etc/kubernetes/audit/policy.yaml on the node, and DIR/policy was checked"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFiles(t)
			tc.harm(f)
			out, err := f.run()
			if exit(err) != tc.exit || !strings.Contains(out, tc.want) {
				t.Errorf("got %d (%v), want %d and %q:\n%s", exit(err), err, tc.exit, tc.want, out)
			}
			if tc.want == "" && tc.exit == 0 && !strings.HasSuffix(out, "Everything is well.\n") {
				t.Error(out)
			}
			if strings.Contains(out, "PRIVATE KEY") || strings.Contains(out, "BEGIN CERT") {
				t.Error("a key is shown")
			}
		})
	}
}

// change replaces text of the webhook's kubeconfig.
func (f *files) change(old, by string) {
	f.t.Helper()
	b, err := f.webhook.Kubeconfig()
	if err != nil {
		f.t.Fatal(err)
	}
	if f.hook = strings.Replace(string(b), old, by, 1); f.hook == string(b) {
		f.t.Fatalf("there is no %q in the kubeconfig", old)
	}
}

func mustYAML(pod corev1.Pod) string {
	b, err := yaml.Marshal(pod)
	if err != nil {
		panic(err)
	}
	return string(b)
}

func TestPreflightOffline(t *testing.T) {
	f := newFiles(t)
	f.cluster.Down, f.status = errors.New("asked"), http.StatusTeapot
	dir := t.TempDir()
	b, err := f.webhook.Kubeconfig()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "webhook")
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := f.run("--offline", "--webhook-file", path)
	if err != nil || !strings.Contains(out, "Everything is well.") {
		t.Errorf("got %v: %s", err, out)
	}
}

func TestPreflightErrors(t *testing.T) {
	for want, args := range map[string][]string{
		"takes no arguments":    {"x"},
		"there is nothing to":   {"--offline"},
		"not the name of a nam": {"--policy-file", "x", "--operator-namespace", "A"},
	} {
		if _, err := newFiles(t).run(args...); exit(err) != 2 || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	out, err := newFiles(t).run("--policy-file", filepath.Join(t.TempDir(), "absent"), "--manifest", t.TempDir())
	if exit(err) != 1 || !strings.Contains(out, "it cannot be read: no such file") || !strings.Contains(out, "it is no file") {
		t.Errorf("got %v: %s", err, out)
	}
}

func FuzzPreflightFiles(f *testing.F) {
	b, err := auditpolicy.Minimal.YAML()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte("apiVersion: v1\nkind: Config\ncurrent-context: a\ncontexts: [{name: a, context: {cluster: c, user: u}}]\nclusters: [{name: c, cluster: {server: 'https://a:1/v1/audit/1/b'}}]\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		path := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		policy := checkPolicy(path)
		w, findings := loadWebhook(path, clitest.Now)
		for _, one := range append(findings, policy) {
			if len(one.Message) > 2000 || strings.Contains(one.Message, "\n") {
				t.Errorf("a line of %d bytes", len(one.Message))
			}
		}
		if w != nil && count(findings, Problem) > 0 {
			t.Error("what is broken would be called")
		}
		_ = (&preflight{manifest: path}).checkManifest()
	})
}
