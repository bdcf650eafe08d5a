//go:build linux

package cluster

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// stopTimeout: an API server whose audit webhook is away takes a minute and a
// half to stop by itself; nobody waits for that.
const stopTimeout = 20 * time.Second

func (c *Cluster) startControlPlane(ctx context.Context) error {
	if _, err := c.component(ctx, "etcd",
		"--data-dir="+c.path("etcd"), "--unsafe-no-fsync",
		"--listen-client-urls=http://127.0.0.1:2379", "--advertise-client-urls=http://127.0.0.1:2379",
		"--listen-peer-urls=http://127.0.0.1:2380"); err != nil {
		return err
	}
	if err := c.startAPIServer(ctx); err != nil {
		return err
	}
	if _, err := c.component(ctx, "kube-controller-manager",
		"--kubeconfig="+c.kubeconfig("kube-controller-manager"),
		"--authentication-kubeconfig="+c.kubeconfig("kube-controller-manager"),
		"--authorization-kubeconfig="+c.kubeconfig("kube-controller-manager"),
		"--service-account-private-key-file="+c.pki("service-accounts.key"), "--root-ca-file="+c.pki("ca.crt"),
		"--cluster-signing-cert-file="+c.pki("ca.crt"), "--cluster-signing-key-file="+c.pki("ca.key"),
		"--use-service-account-credentials", "--leader-elect=false", "--bind-address=127.0.0.1"); err != nil {
		return err
	}
	_, err := c.component(ctx, "kube-scheduler",
		"--kubeconfig="+c.kubeconfig("kube-scheduler"),
		"--authentication-kubeconfig="+c.kubeconfig("kube-scheduler"),
		"--authorization-kubeconfig="+c.kubeconfig("kube-scheduler"),
		"--leader-elect=false", "--bind-address=127.0.0.1")
	return err
}

func (c *Cluster) startAPIServer(ctx context.Context) error {
	args := []string{
		"--etcd-servers=http://127.0.0.1:2379", "--bind-address=0.0.0.0", "--secure-port=" + apiServerPort,
		"--advertise-address=" + NodeIP, "--service-cluster-ip-range=" + serviceRange,
		"--client-ca-file=" + c.pki("ca.crt"), "--cert-dir=" + c.path("run", "kube-apiserver"),
		"--tls-cert-file=" + c.pki("kube-apiserver.crt"), "--tls-private-key-file=" + c.pki("kube-apiserver.key"),
		"--kubelet-client-certificate=" + c.pki("kubelet-client.crt"), "--kubelet-client-key=" + c.pki("kubelet-client.key"),
		"--kubelet-preferred-address-types=InternalIP",
		"--requestheader-client-ca-file=" + c.pki("front-proxy-ca.crt"), "--requestheader-allowed-names=front-proxy-client",
		"--requestheader-username-headers=X-Remote-User", "--requestheader-group-headers=X-Remote-Group",
		"--requestheader-extra-headers-prefix=X-Remote-Extra-",
		"--proxy-client-cert-file=" + c.pki("front-proxy-client.crt"), "--proxy-client-key-file=" + c.pki("front-proxy-client.key"),
		"--service-account-issuer=https://kubernetes.default.svc",
		"--service-account-key-file=" + c.pki("service-accounts.crt"), "--service-account-signing-key-file=" + c.pki("service-accounts.key"),
		// Else it waits a minute for those who watch, and those do not go.
		"--shutdown-watch-termination-grace-period=1s",
		"--authorization-mode=Node,RBAC", "--enable-admission-plugins=NodeRestriction", "--allow-privileged",
	}
	if _, err := c.component(ctx, "kube-apiserver", slices.Concat(args, c.apiServerFlags)...); err != nil {
		return err
	}
	client, err := c.Client()
	if err != nil {
		return err
	}
	return c.poll(ctx, "kube-apiserver", func(ctx context.Context) error {
		body, err := client.Discovery().RESTClient().Get().AbsPath("/readyz").DoRaw(ctx)
		if err == nil && string(body) != "ok" {
			err = fmt.Errorf("/readyz says %q", body)
		}
		return err
	})
}

// RestartAPIServer stops the API server and starts it again with these flags
// besides its own.
func (c *Cluster) RestartAPIServer(ctx context.Context, flags ...string) error {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	c.process("kube-apiserver").Stop(stopTimeout)
	c.forget("kube-apiserver")
	c.apiServerFlags = flags
	return c.startAPIServer(ctx)
}

// StartRuntime starts containerd and the kubelet.
func (c *Cluster) StartRuntime(ctx context.Context) error {
	if _, err := c.component(ctx, "containerd", "--config", c.path("conf", "containerd.toml")); err != nil {
		return err
	}
	if err := c.poll(ctx, "containerd", func(ctx context.Context) error { return c.Run(c.ctr(ctx, "version")) }); err != nil {
		return err
	}
	// The images of this cluster come from nowhere else; containerd keeps them
	// when it starts again.
	if err := c.LoadImage(ctx, c.path("images", "pod.tar")); err != nil {
		return err
	}
	_, err := c.component(ctx, "kubelet",
		"--config="+c.path("conf", "kubelet.yaml"), "--kubeconfig="+c.kubeconfig("kubelet"),
		"--root-dir="+c.path("kubelet"), "--cert-dir="+c.path("kubelet-pki"),
		"--hostname-override="+NodeName, "--node-ip="+NodeIP)
	return err
}

// startServices starts what makes Services work: addresses and names.
func (c *Cluster) startServices(ctx context.Context) error {
	if _, err := c.component(ctx, "kube-proxy", "--config="+c.path("conf", "kube-proxy.yaml")); err != nil {
		return err
	}
	_, err := c.StartProcess("dns", exec.CommandContext(context.WithoutCancel(ctx), c.path("bin", "cluster"),
		"dns", "--kubeconfig", c.kubeconfig("dns"), "--listen", NodeIP+":53"))
	return err
}

// KillRuntime ends the kubelet, containerd and every container at once.
// StartRuntime brings them back.
func (c *Cluster) KillRuntime() error {
	n, err := c.running()
	if err != nil {
		return err
	}
	for _, name := range []string{"kubelet", "containerd"} {
		c.process(name).Kill()
		c.forget(name)
	}
	pids, err := processesBelow(n.cgroup)
	if err != nil {
		return err
	}
	shims, err := n.shims()
	if err != nil {
		return err
	}
	for _, pid := range shims {
		pids[pid] = true
	}
	for pid := range pids {
		if err := unix.Kill(pid, unix.SIGKILL); err != nil && err != unix.ESRCH {
			return err
		}
	}
	return nil
}

// shims returns the processes of the node that hold containers for containerd.
func (n *node) shims() ([]int, error) {
	mine, err := os.Readlink(n.handles[1].Name())
	if err != nil {
		return nil, err
	}
	paths, err := filepath.Glob("/proc/[0-9]*/exe")
	if err != nil {
		return nil, err
	}
	var pids []int
	for _, path := range paths {
		program, err := os.Readlink(path)
		if err != nil || filepath.Base(program) != "containerd-shim-runc-v2" {
			continue // most have none: they are the kernel's
		}
		proc := filepath.Dir(path)
		if space, err := os.Readlink(filepath.Join(proc, "ns", "pid")); err != nil || space != mine {
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(proc))
		if err != nil {
			return nil, err
		}
		pids = append(pids, pid)
	}
	return pids, nil
}

// waitReady waits until pods can be started and find each other.
func (c *Cluster) waitReady(ctx context.Context) error {
	client, err := c.Client()
	if err != nil {
		return err
	}
	started := metav1.Now()
	return c.poll(ctx, "the node", func(ctx context.Context) error {
		n, err := client.CoreV1().Nodes().Get(ctx, NodeName, metav1.GetOptions{})
		if err != nil {
			return err
		}
		for _, condition := range n.Status.Conditions {
			// After a loss of power, the condition first is that of the time before.
			if condition.Type == corev1.NodeReady && (condition.Status != corev1.ConditionTrue || condition.LastHeartbeatTime.Add(time.Second).Before(started.Time)) {
				return fmt.Errorf("node %s: %s", NodeName, condition.Message)
			}
		}
		if len(n.Status.Conditions) == 0 {
			return fmt.Errorf("node %s says nothing of itself", NodeName)
		}
		_, err = client.CoreV1().ServiceAccounts("default").Get(ctx, "default", metav1.GetOptions{})
		return err
	})
}

// Client is an administrator's.
func (c *Cluster) Client() (kubernetes.Interface, error) {
	config, err := c.ClientConfig("admin", "system:masters")
	if err != nil {
		return nil, err
	}
	return kubernetes.NewForConfig(config)
}
