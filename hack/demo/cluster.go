package main

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/trail-operator/trail-operator/hack/assets"
	"github.com/trail-operator/trail-operator/internal/manifests"
	"github.com/trail-operator/trail-operator/internal/receiverconfig"
	"github.com/trail-operator/trail-operator/test/testenv"
)

const (
	namespace       = "shop"                  // of the tenant
	systemNamespace = "trail-operator-system" // of the installation
	apiServer       = "api-1"
	region          = "demo-1"
	bucket          = "audit-trail"
	managerUser     = "system:serviceaccount:" + systemNamespace + ":trail-operator-manager"
	kubeletUser     = "system:serviceaccount:" + systemNamespace + ":trail-mount"
)

// demo is the story with everything that runs in it.
type demo struct {
	*story
	processes processes
	cluster   *testenv.ControlPlane
	s3        *testenv.S3Server
	root      string // of the repository
	receiver  string // host:port
	seen      finding
}

func (d *demo) stop() {
	d.processes.stop()
	if d.cluster != nil {
		_ = d.cluster.Stop()
	}
	if d.s3 != nil {
		d.s3.Stop()
	}
}

// build makes our programs and finds the others.
func (d *demo) build() error {
	d.chapter("Building (the first time takes some minutes: Kubernetes is compiled from source)")
	paths, err := assets.Ensure(d.ctx, d.out, "kube-apiserver", "etcd", "kubectl", "versitygw")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(d.path, 0o700); err != nil {
		return err
	}
	if err := os.Symlink(paths["kubectl"], filepath.Join(d.path, "kubectl")); err != nil {
		return err
	}
	if d.root, err = filepath.Abs("."); err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(d.root, "go.mod")); err != nil {
		return fmt.Errorf("run the demo from the root of the repository: make demo")
	}
	cmd := exec.CommandContext(d.ctx, "go", "build", "-trimpath", "-o", d.path+"/", "./cmd/manager", "./cmd/receiver", "./cmd/kubectl-trail", "./hack/mountsecrets")
	cmd.Dir = d.root
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go build: %w\n%s", err, out)
	}
	d.say("manager, receiver and kubectl-trail are built")
	return nil
}

// startCluster starts a control plane and an S3 server, both as strangers know them.
func (d *demo) startCluster() error {
	d.chapter("Starting etcd, kube-apiserver and an S3 server (versitygw)")
	dir := filepath.Join(d.dir, "cluster")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	var err error
	if d.cluster, err = testenv.StartControlPlane(d.ctx, testenv.Options{Dir: dir, Progress: d.out}); err != nil {
		return err
	}
	d.env = append(d.env, "KUBECONFIG="+d.kubeconfig("admin"))
	for _, who := range []struct {
		file, user string
		groups     []string
	}{
		{"admin", "admin", []string{"system:masters"}},
		{"manager", managerUser, []string{"system:serviceaccounts", "system:serviceaccounts:" + systemNamespace}},
		{"mount", kubeletUser, []string{"system:serviceaccounts", "system:serviceaccounts:" + systemNamespace}},
		{"ann", "ann", []string{"developers"}},
		{"mallory", "mallory", []string{"developers"}},
		{"bob", "bob", []string{"visitors"}},
	} {
		if err := d.cluster.WriteKubeconfig(d.kubeconfig(who.file), who.user, who.groups...); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(d.s3dir(), 0o700); err != nil {
		return err
	}
	log, err := os.Create(filepath.Join(d.dir, "versitygw.log"))
	if err != nil {
		return err
	}
	defer log.Close()
	if d.s3, err = testenv.StartVersityGW(d.ctx, d.s3dir(), testenv.S3Options{Log: io.Writer(log)}); err != nil {
		return err
	}
	_, err = d.show("", "kubectl version")
	return err
}

func (d *demo) s3dir() string { return filepath.Join(d.dir, "s3") }

func (d *demo) kubeconfig(who string) string {
	return filepath.Join(d.dir, who+".kubeconfig")
}

// install does what the installation manifests and a node do: the CRD, the
// manager with its own rights, and the receiver with its configuration folder.
func (d *demo) install() error {
	d.chapter("Installing Trail Operator")
	if _, err := d.show("", "kubectl apply --server-side -f "+"config/crd"); err != nil {
		return err
	}
	if _, err := d.show("", "kubectl apply -f "+"config/rbac"); err != nil {
		return err
	}
	if _, err := d.quiet(mountRBAC, "kubectl apply -f -"); err != nil {
		return err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0") // finds a free port
	if err != nil {
		return err
	}
	d.receiver = l.Addr().String()
	if err := l.Close(); err != nil {
		return err
	}
	config := filepath.Join(d.dir, "manager.yaml")
	if err := os.WriteFile(config, fmt.Appendf(nil, managerConfig, region, systemNamespace, d.receiver, apiServer), 0o600); err != nil {
		return err
	}
	if _, err := d.processes.start(d.command("manager --config "+config+" --kubeconfig "+d.kubeconfig("manager")), "manager"); err != nil {
		return err
	}
	secrets := []string{manifests.ReceiverConfigName}
	for i := range manifests.ReceiverShards {
		secrets = append(secrets, manifests.ReceiverShardName(i))
	}
	folder := filepath.Join(d.dir, "receiver-config")
	mount := d.command("mountsecrets --kubeconfig " + d.kubeconfig("mount") + " --namespace " + systemNamespace +
		" --secrets " + strings.Join(secrets, ",") + " --dir " + folder)
	if _, err := d.processes.start(mount, "mountsecrets"); err != nil {
		return err
	}
	receiver := d.command("receiver --config-dir " + folder + " --data-dir " + filepath.Join(d.dir, "receiver-data") +
		" --listen " + d.receiver + " --metrics-listen 127.0.0.1:0")
	if _, err := d.processes.start(receiver, "receiver"); err != nil {
		return err
	}
	if err := d.until("the receiver's configuration", 30*time.Second, func() error {
		_, err := os.Stat(filepath.Join(folder, receiverconfig.FileConfig))
		return err
	}); err != nil {
		return err
	}
	d.say("manager and receiver run; the manager has issued their certificates")
	return nil
}

// connect wires kube-apiserver to the receiver with what our own CLI prints.
func (d *demo) connect() error {
	d.chapter("Connecting kube-apiserver: an audit policy and an audit webhook, both printed by kubectl trail")
	policy, err := d.quiet("", "kubectl trail audit-policy")
	if err != nil {
		return err
	}
	line := "kubectl trail webhook-config --apiserver " + apiServer
	var webhook string
	if err := d.until("the certificate of "+apiServer, 30*time.Second, func() (err error) {
		webhook, err = d.quiet("", line)
		return err
	}); err != nil {
		return err
	}
	d.say("$ kubectl trail audit-policy > audit-policy.yaml")
	d.say("$ %s > audit-webhook.yaml", line)
	if err := d.cluster.RestartAPIServer(d.ctx, func(o *testenv.Options) {
		o.AuditPolicy, o.AuditWebhookConfig = []byte(policy), []byte(webhook)
	}); err != nil {
		return err
	}
	d.say("kube-apiserver runs with --audit-policy-file and --audit-webhook-config-file")
	return nil
}

const managerConfig = `apiVersion: config.trail-operator.io/v1alpha1
kind: ManagerConfig
region: %s
namespace: %s
receiver:
  address: %s
  apiServers: [%s]
allowedAddresses: [127.0.0.1]
metricsBindAddress: "0"
healthBindAddress: "0"
`

// mountRBAC lets the stand-in for the kubelet read what a kubelet would mount.
const mountRBAC = `apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: trail-mount, namespace: trail-operator-system}
rules: [{apiGroups: [""], resources: [secrets], verbs: [get]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: trail-mount, namespace: trail-operator-system}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: trail-mount}
subjects: [{kind: ServiceAccount, name: trail-mount, namespace: trail-operator-system}]
`
