// Package testenv runs the servers that tests and the demo need as processes
// of their own.
package testenv

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/trail-operator/trail-operator/hack/assets"
	"github.com/trail-operator/trail-operator/internal/auditpolicy"
	"github.com/trail-operator/trail-operator/internal/pki"
)

const (
	readyTimeout = 2 * time.Minute
	// An API server whose audit webhook is away takes a minute and a half to
	// stop by itself; nobody waits for that.
	stopTimeout = 15 * time.Second
)

// Options of StartControlPlane.
type Options struct {
	// Dir holds certificates, data and logs. It must exist; required.
	Dir string
	// Port of the API server on 127.0.0.1; 0 takes a free one.
	Port int
	// AuditPolicy and AuditWebhookConfig are contents of files. With a policy,
	// the flags of package auditpolicy are set.
	AuditPolicy, AuditWebhookConfig []byte
	// AuditLog is the path of the API server's audit log; empty for none.
	AuditLog string
	// ExtraArgs are flags of kube-apiserver, such as --v=4.
	ExtraArgs []string
	// Progress is told what takes long; nil for silence.
	Progress io.Writer
}

// ControlPlane is etcd and a kube-apiserver with RBAC. No controllers run:
// there are no service account tokens and no garbage collection.
type ControlPlane struct {
	// Config is that of an administrator, in the group system:masters.
	Config *rest.Config
	// Dir is that of the Options; the logs are etcd.log and kube-apiserver.log.
	Dir string

	options   Options
	assets    string
	ca        pki.KeyPair
	etcdURL   string
	etcd      *process
	apiServer *process
}

// StartControlPlane starts etcd and kube-apiserver and returns when the API
// server is ready. The programs come from KUBEBUILDER_ASSETS, or are built and
// cached. They end with this process at the latest.
func StartControlPlane(ctx context.Context, o Options) (*ControlPlane, error) {
	if o.Progress == nil {
		o.Progress = io.Discard
	}
	dir, err := assets.KubeDir(ctx, o.Progress)
	if err != nil {
		return nil, err
	}
	cp := &ControlPlane{Dir: o.Dir, options: o, assets: dir}
	if err := cp.start(ctx); err != nil {
		return nil, errors.Join(err, cp.Stop())
	}
	return cp, nil
}

func (cp *ControlPlane) start(ctx context.Context) error {
	if err := cp.certificates(); err != nil {
		return err
	}
	ports, err := freePorts(3)
	if err != nil {
		return err
	}
	if cp.options.Port == 0 {
		cp.options.Port = ports[2]
	}
	cp.etcdURL = "http://127.0.0.1:" + strconv.Itoa(ports[0])
	peer := "http://127.0.0.1:" + strconv.Itoa(ports[1])
	cp.etcd, err = startProcess(filepath.Join(cp.assets, "etcd"), cp.path("etcd.log"),
		"--data-dir="+cp.path("etcd"), "--unsafe-no-fsync",
		"--listen-client-urls="+cp.etcdURL, "--advertise-client-urls="+cp.etcdURL, "--listen-peer-urls="+peer,
		"--initial-advertise-peer-urls="+peer, "--initial-cluster=default="+peer)
	if err != nil {
		return err
	}
	if cp.Config, err = cp.ClientConfig("kubernetes-admin", "system:masters"); err != nil {
		return err
	}
	return cp.startAPIServer(ctx)
}

func (cp *ControlPlane) path(name string) string { return filepath.Join(cp.Dir, name) }

// certificates makes the cluster's CA, the server's certificate and the key
// that signs service account tokens.
func (cp *ControlPlane) certificates() error {
	now := time.Now()
	var err error
	if cp.ca, err = pki.NewCA("test cluster", now); err != nil {
		return err
	}
	server, err := cp.ca.IssueServer(now, "127.0.0.1", "localhost", "kubernetes.default.svc")
	if err != nil {
		return err
	}
	tokens, err := pki.NewCA("test service accounts", now)
	if err != nil {
		return err
	}
	for name, content := range map[string][]byte{
		"ca.crt": cp.ca.Cert, "tls.crt": server.Cert, "tls.key": server.Key, "sa.key": tokens.Key, "sa.crt": tokens.Cert,
	} {
		if err := os.WriteFile(cp.path(name), content, 0o600); err != nil {
			return err
		}
	}
	return nil
}

func (cp *ControlPlane) startAPIServer(ctx context.Context) error {
	args := []string{
		"--etcd-servers=" + cp.etcdURL,
		"--bind-address=127.0.0.1", "--secure-port=" + strconv.Itoa(cp.options.Port),
		"--tls-cert-file=" + cp.path("tls.crt"), "--tls-private-key-file=" + cp.path("tls.key"),
		"--client-ca-file=" + cp.path("ca.crt"), "--cert-dir=" + cp.Dir,
		"--service-cluster-ip-range=10.0.0.0/24",
		"--service-account-issuer=https://kubernetes.default.svc",
		"--service-account-key-file=" + cp.path("sa.crt"), "--service-account-signing-key-file=" + cp.path("sa.key"),
		"--authorization-mode=RBAC", "--allow-privileged",
		"--disable-admission-plugins=ServiceAccount", // nobody makes service accounts here
	}
	audit, err := cp.auditFlags()
	if err != nil {
		return err
	}
	args = append(append(args, audit...), cp.options.ExtraArgs...)
	if cp.apiServer, err = startProcess(filepath.Join(cp.assets, "kube-apiserver"), cp.path("kube-apiserver.log"), args...); err != nil {
		return err
	}
	return cp.waitReady(ctx)
}

// auditFlags writes the audit files and returns the flags that name them.
func (cp *ControlPlane) auditFlags() ([]string, error) {
	if len(cp.options.AuditPolicy) == 0 {
		return nil, nil
	}
	f := auditpolicy.Files{Policy: cp.path("audit-policy.yaml"), Kubeconfig: cp.path("audit-webhook.kubeconfig"), Log: cp.options.AuditLog}
	if err := os.WriteFile(f.Policy, cp.options.AuditPolicy, 0o600); err != nil {
		return nil, err
	}
	webhook := len(cp.options.AuditWebhookConfig) > 0
	if webhook {
		if err := os.WriteFile(f.Kubeconfig, cp.options.AuditWebhookConfig, 0o600); err != nil {
			return nil, err
		}
	}
	var args []string
	for _, flag := range auditpolicy.Flags(f) {
		if webhook || !strings.HasPrefix(flag.Name, "audit-webhook-") {
			args = append(args, flag.String())
		}
	}
	return args, nil
}

func (cp *ControlPlane) waitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	client, err := kubernetes.NewForConfig(cp.Config)
	if err != nil {
		return err
	}
	for {
		body, err := client.Discovery().RESTClient().Get().AbsPath("/readyz").DoRaw(ctx)
		if err == nil && string(body) == "ok" {
			return nil
		}
		select {
		case <-cp.apiServer.done:
			return fmt.Errorf("kube-apiserver ended before it was ready; see %s: %s", cp.apiServer.log, tail(cp.apiServer.log))
		case <-cp.etcd.done:
			return fmt.Errorf("etcd ended; see %s: %s", cp.etcd.log, tail(cp.etcd.log))
		case <-ctx.Done():
			return fmt.Errorf("kube-apiserver is not ready, see %s: %w", cp.apiServer.log, ctx.Err())
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// RestartAPIServer stops the API server, lets change alter its options, and
// starts it again on the same port with the same data.
func (cp *ControlPlane) RestartAPIServer(ctx context.Context, change func(*Options)) error {
	if err := cp.apiServer.stop(stopTimeout); err != nil {
		return err
	}
	port := cp.options.Port
	change(&cp.options)
	cp.options.Port = port
	return cp.startAPIServer(ctx)
}

// ClientConfig returns the configuration of a client that authenticates with a
// certificate as the given user in the given groups.
func (cp *ControlPlane) ClientConfig(user string, groups ...string) (*rest.Config, error) {
	pair, err := cp.ca.IssueClient(time.Now(), user, groups...)
	if err != nil {
		return nil, err
	}
	return &rest.Config{
		Host: "https://127.0.0.1:" + strconv.Itoa(cp.options.Port),
		TLSClientConfig: rest.TLSClientConfig{
			CAData: cp.ca.Cert, CertData: pair.Cert, KeyData: pair.Key,
		},
		QPS: -1, // tests are in a hurry
	}, nil
}

// WriteKubeconfig writes a kubeconfig for a user to path.
func (cp *ControlPlane) WriteKubeconfig(path, user string, groups ...string) error {
	c, err := cp.ClientConfig(user, groups...)
	if err != nil {
		return err
	}
	k := clientcmdapi.NewConfig()
	k.Clusters["trail"] = &clientcmdapi.Cluster{Server: c.Host, CertificateAuthorityData: c.CAData}
	k.AuthInfos[user] = &clientcmdapi.AuthInfo{ClientCertificateData: c.CertData, ClientKeyData: c.KeyData}
	k.Contexts["trail"] = &clientcmdapi.Context{Cluster: "trail", AuthInfo: user}
	k.CurrentContext = "trail"
	return clientcmd.WriteToFile(*k, path)
}

// Kubectl is the path of kubectl.
func (cp *ControlPlane) Kubectl() string { return filepath.Join(cp.assets, "kubectl") }

// Stop ends both processes. The data stays in Dir.
func (cp *ControlPlane) Stop() error {
	return errors.Join(cp.apiServer.stop(stopTimeout), cp.etcd.stop(stopTimeout))
}

// freePorts finds TCP ports of 127.0.0.1 that nobody listens on.
func freePorts(n int) ([]int, error) {
	ports := make([]int, n)
	for i := range ports {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer func() { _ = l.Close() }() // all stay open until the last is found, so that they differ
		ports[i] = l.Addr().(*net.TCPAddr).Port
	}
	return ports, nil
}
