package integration

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/trail-operator/trail-operator/api/v1alpha1"
	"github.com/trail-operator/trail-operator/internal/auditpolicy"
	"github.com/trail-operator/trail-operator/internal/cli/doctor"
	"github.com/trail-operator/trail-operator/internal/manifests"
	"github.com/trail-operator/trail-operator/test/testenv"
)

// outside is an address of this machine that the API server's proxy may call:
// it refuses loopback addresses.
func outside(t *testing.T) net.IP {
	t.Helper()
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range addresses {
		if n, ok := a.(*net.IPNet); ok && n.IP.To4() != nil && !n.IP.IsLoopback() && !n.IP.IsLinkLocalUnicast() {
			return n.IP
		}
	}
	t.Skip("this machine has no address but loopback")
	return nil
}

// clinic is a world whose receiver the manager runs, as far as an API server
// without a node can tell.
type clinic struct {
	*world
	stopReceiver func()
	address      net.IP
	port         int
	forwardTo    string
}

func newClinic(t *testing.T) *clinic {
	t.Helper()
	c := &clinic{address: outside(t), world: &world{
		t: t, metrics: prometheus.NewRegistry(), auditLog: filepath.Join(t.TempDir(), "audit.log"), stop: func() {},
	}}
	var err error
	if c.s3, err = testenv.StartVersityGW(context.Background(), t.TempDir(), testenv.S3Options{Log: t.Output()}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.s3.Stop)
	if c.cp, err = testenv.StartControlPlane(t.Context(), testenv.Options{Dir: t.TempDir()}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.cp.Stop() })
	if c.admin, err = newClient(c.cp.Config); err != nil {
		t.Fatal(err)
	}
	if err := install(t.Context(), c.admin); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp4", "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	c.port = l.Addr().(*net.TCPAddr).Port
	c.receiver = net.JoinHostPort("127.0.0.1", strconv.Itoa(c.port))
	c.stopReceiver = c.startReceiver(l)
	c.manage("cp-1") // makes the certificates
	c.stop()         // or it would lose its lead while the API server restarts
	c.post()
	c.manage("cp-1")
	return c
}

// post connects the API server. The receiver is not at the address of its
// Service here: nothing leads there.
func (c *clinic) post() {
	t := c.t
	t.Helper()
	policy, err := auditpolicy.Standard.YAML()
	if err != nil {
		t.Fatal(err)
	}
	hook, errOut, exit := c.trail("webhook-config", "--apiserver", "cp-1")
	if exit != 0 {
		t.Fatal(errOut)
	}
	hook = strings.Replace(hook, c.clusterIP()+":8443", c.receiver, 1)
	err = c.cp.RestartAPIServer(t.Context(), func(o *testenv.Options) {
		o.AuditPolicy, o.AuditWebhookConfig, o.AuditLog = policy, []byte(hook), c.auditLog
	})
	if err != nil {
		t.Fatal(err)
	}
}

// manage starts a manager that knows these API servers.
func (c *clinic) manage(apiServers ...string) {
	c.t.Helper()
	intake := ""
	if c.forwardTo != "" {
		intake = fmt.Sprintf("intake: {forwardTo: {url: %q}}", c.forwardTo)
	}
	c.startManagerWith(fmt.Sprintf(`
apiVersion: config.trail-operator.io/v1alpha1
kind: ManagerConfig
account: "000000000042"
region: eu-1
namespace: %s
receiver: {address: %q, apiServers: [%s], workload: {image: trail-operator/receiver:dev}}
allowedAddresses: [127.0.0.1]
metricsBindAddress: "0"
healthBindAddress: "127.0.0.1:0"
leaderElection: true
%s
`, installed, c.receiver, strings.Join(apiServers, ", "), intake))
}

// nodes does what kubelets and the controllers of Kubernetes do: it makes the
// pods' states, and what leads from the Service to the receiver.
func (c *clinic) nodes() {
	t := c.t
	t.Helper()
	deployment := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: installed, Name: "trail-manager"}, Spec: appsv1.DeploymentSpec{
		Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"a": "b"}},
		Template: corev1.PodTemplateSpec{
			ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"a": "b"}},
			Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "manager", Image: "x"}}},
		},
	}}
	apiServer := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: "kube-apiserver-cp-1", Labels: map[string]string{"component": "kube-apiserver"}},
		Spec: corev1.PodSpec{
			NodeName: "cp-1", Volumes: []corev1.Volume{{Name: "audit", VolumeSource: corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: "/etc/kubernetes/audit"}}}},
			Containers: []corev1.Container{{Name: "kube-apiserver", Image: "x", VolumeMounts: []corev1.VolumeMount{{Name: "audit", MountPath: "/etc/kubernetes/audit"}}}},
		},
	}
	for _, f := range auditpolicy.Flags(auditpolicy.Files{Policy: "/etc/kubernetes/audit/policy.yaml", Kubeconfig: "/etc/kubernetes/audit/webhook.kubeconfig"}) {
		apiServer.Spec.Containers[0].Command = append(apiServer.Spec.Containers[0].Command, f.String())
	}
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: installed, Name: "trail-receiver-0"},
		Spec:       corev1.PodSpec{NodeName: "node-1", Containers: []corev1.Container{{Name: "receiver", Image: "x"}}},
	}
	// API servers proxy by these still.
	endpoints := &corev1.Endpoints{ //nolint:staticcheck // see above
		ObjectMeta: metav1.ObjectMeta{Namespace: installed, Name: manifests.ReceiverName},
		Subsets: []corev1.EndpointSubset{{ //nolint:staticcheck // see above
			Addresses: []corev1.EndpointAddress{{
				IP: c.address.String(), TargetRef: &corev1.ObjectReference{Kind: "Pod", Namespace: installed, Name: pod.Name},
			}},
			Ports: []corev1.EndpointPort{{Name: "intake", Port: int32(c.port), Protocol: corev1.ProtocolTCP}},
		}},
	}
	c.create(deployment, apiServer, pod, endpoints)
	pod.Status.PodIP = c.address.String()
	pod.Status.PodIPs = []corev1.PodIP{{IP: c.address.String()}}
	if err := c.admin.Status().Update(t.Context(), pod); err != nil {
		t.Fatal(err)
	}
	deployment.Status.Conditions = []appsv1.DeploymentCondition{{Type: appsv1.DeploymentAvailable, Status: corev1.ConditionTrue}}
	if err := c.admin.Status().Update(t.Context(), deployment); err != nil {
		t.Fatal(err)
	}
	set := &appsv1.StatefulSet{}
	eventually(t, func() string {
		if err := c.admin.Get(t.Context(), client.ObjectKey{Namespace: installed, Name: manifests.ReceiverName}, set); err != nil {
			return err.Error()
		}
		set.Status.Replicas, set.Status.ReadyReplicas = 1, 1
		if err := c.admin.Status().Update(t.Context(), set); err != nil {
			return err.Error()
		}
		return ""
	})
}

// examine runs doctor, and returns what is not well.
func (c *clinic) examine(args ...string) (bad []doctor.Finding, exit int) {
	c.t.Helper()
	out, errOut, exit := c.trail(append([]string{"doctor", "-o", "json"}, args...)...)
	var report struct{ Findings []doctor.Finding }
	if err := json.Unmarshal([]byte(out), &report); err != nil {
		c.t.Fatalf("%v: %q %q", err, out, errOut)
	}
	for _, f := range report.Findings {
		if f.State != doctor.OK {
			bad = append(bad, f)
		}
	}
	return bad, exit
}

// finds waits until doctor finds it.
func (c *clinic) finds(state doctor.State, link, message string) {
	c.t.Helper()
	eventually(c.t, func() string {
		bad, exit := c.examine()
		for _, f := range bad {
			if f.State == state && f.Link == link && strings.Contains(f.Subject+": "+f.Message, message) {
				if want := map[doctor.State]int{doctor.Problem: 1}[state]; exit < want {
					return fmt.Sprintf("exit code %d", exit)
				}
				return ""
			}
		}
		return fmt.Sprintf("%s %s %q in %q", state, link, message, bad)
	})
}

// TestDoctor goes through the life of an installation, with a real API server,
// receiver and bucket.
func TestDoctor(t *testing.T) {
	c := newClinic(t)
	c.nodes()
	role, binding := manifests.Grant("shop", "bucket", manifests.Subject(managerUser))
	c.create(
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop"}}, c.credentials("shop"), role, binding,
		&v1alpha1.Trail{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "audit"}, Spec: v1alpha1.TrailSpec{Destination: v1alpha1.Destination{
			Endpoint: c.s3.Endpoint, Region: c.s3.Region, Bucket: "shop-audit", CredentialsSecretRef: &v1alpha1.CredentialsSecretRef{Name: "bucket"},
		}}},
	)
	// The same files that are in use pass before they are put in place.
	policy, webhook := filepath.Join(t.TempDir(), "policy"), filepath.Join(t.TempDir(), "webhook")
	for path, args := range map[string][]string{policy: {"audit-policy"}, webhook: {"webhook-config", "--apiserver", "cp-1"}} {
		content, errOut, exit := c.trail(args...)
		if exit != 0 {
			t.Fatal(errOut)
		}
		// The receiver is not at the address of its Service here: nothing leads there.
		content = strings.Replace(content, c.clusterIP()+":8443", c.receiver, 1)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	out, _, _ := c.trail("preflight", "--policy-file", policy, "--webhook-file", webhook)
	for _, want := range []string{"kube-apiserver reads it", "API server cp-1 posts to " + c.receiver, "it answers, and knows the certificate"} {
		if !strings.Contains(out, want) {
			t.Errorf("preflight does not say %q:\n%s", want, out)
		}
	}
	if !strings.Contains(out, "the file posts to "+c.receiver+", the receiver of this installation is at") {
		t.Errorf("preflight does not notice another address:\n%s", out)
	}

	eventually(t, func() string {
		bad, exit := c.examine()
		if exit != 0 || len(bad) > 0 {
			return fmt.Sprintf("%d %q", exit, bad)
		}
		return ""
	})
	out, errOut, exit := c.trail("doctor")
	if exit != 0 || errOut != "" || !strings.HasSuffix(out, "\nEverything is well.\n") ||
		!strings.Contains(out, "the API server that you use reaches the receiver's pod, which asks it for a certificate") {
		t.Errorf("%d %q\n%s", exit, errOut, out)
	}
	t.Log("\n" + out)

	// Whoever may read nothing is told what it takes.
	kubeconfig := filepath.Join(t.TempDir(), "kubeconfig")
	if err := c.cp.WriteKubeconfig(kubeconfig, "tenant"); err != nil {
		t.Fatal(err)
	}
	bad, exit := c.examine("--kubeconfig", kubeconfig)
	needs := 0
	for _, f := range bad {
		if strings.Contains(f.Message, "needs ") {
			needs++
		}
		if f.State == doctor.Problem {
			t.Errorf("a tenant finds %q", f)
		}
	}
	if exit != 0 || needs < 8 {
		t.Errorf("a tenant gets %d and %q", exit, bad)
	}

	// A certificate is asked for, and not put in place.
	if _, errOut, exit := c.trail("webhook-config", "--rotate", "--apiserver", "cp-1"); exit != 0 {
		t.Fatal(errOut)
	}
	c.finds(doctor.Warning, "certificates", "trail-apiserver-cp-1: the API server cp-1 posts with a certificate that was replaced")
	c.stop()
	c.post()
	c.forwardTo = "http://127.0.0.1:1/k8s-audit"
	c.manage("cp-1")
	c.finds(doctor.Warning, "certificates", "trail-apiserver-cp-1: it is in use, and the one that it replaces was ")
	c.finds(doctor.Warning, "forwarding", "the second receiver has taken nothing for ")

	c.manage("cp-1", "cp-2")
	c.finds(doctor.Warning, "events", "cp-2: it has sent nothing since the receiver was started")

	c.stopReceiver()
	c.finds(doctor.Problem, "receiver", "the manager cannot reach it")
	c.finds(doctor.Problem, "webhook", "where nobody listens")

	c.stop() // or it would make the Service again
	service := &corev1.Service{}
	if err := c.admin.Get(t.Context(), client.ObjectKey{Namespace: installed, Name: manifests.ReceiverName}, service); err != nil {
		t.Fatal(err)
	}
	old := service.Spec.ClusterIP
	if err := c.admin.Delete(t.Context(), service); err != nil {
		t.Fatal(err)
	}
	c.finds(doctor.Problem, "address", "there is no Service trail-receiver, which had the address "+old)
	service.ObjectMeta = metav1.ObjectMeta{Namespace: installed, Name: manifests.ReceiverName}
	service.Spec.ClusterIP, service.Spec.ClusterIPs = "10.0.0."+strconv.Itoa(77), nil
	c.create(service)
	c.finds(doctor.Problem, "address", "the Service trail-receiver has the address 10.0.0.77, and API servers were told to post to "+old+":8443")
	c.finds(doctor.Problem, "manager", "no manager leads")
}

func (c *clinic) clusterIP() string {
	c.t.Helper()
	service := &corev1.Service{}
	if err := c.admin.Get(c.t.Context(), client.ObjectKey{Namespace: installed, Name: manifests.ReceiverName}, service); err != nil {
		c.t.Fatal(err)
	}
	return service.Spec.ClusterIP
}
