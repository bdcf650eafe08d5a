//go:build linux

// Package cluster runs a real Kubernetes cluster of one node on this machine:
// etcd, the control plane, kubelet and kube-proxy built from source, and
// containerd and runc of the system.
//
// The node is a set of namespaces (mounts, network, processes, host name), so
// that nothing of the machine is changed: everything that it writes lies in one
// folder, every process ends with the node, and several clusters run beside
// each other. Root is needed.
package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/trail-operator/trail-operator/hack/assets"
	"github.com/trail-operator/trail-operator/internal/pki"
)

// Addresses and names within the cluster. They are the same in every cluster:
// each has a network of its own.
const (
	NodeName = "control-plane-1"
	// NodeIP is the address of the node, on which the API server listens.
	NodeIP = "10.200.0.1"
	// BucketIP and OtherBucketIP are further addresses of the node, for servers
	// that stand for the world outside the cluster. Pods reach them.
	BucketIP      = "10.200.0.2"
	OtherBucketIP = "10.200.0.3"

	apiServerPort = "6443"
	serviceRange  = "10.96.0.0/16"
	serviceIP     = "10.96.0.1"
	podRange      = "10.244.0.0/24"
)

// readyTimeout is how long the node may take until it is ready; an idle machine
// takes seven seconds.
const readyTimeout = 2 * time.Minute

// programs are built from hack/kube.
var programs = []string{
	"etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy", "kubectl",
}

// Options of Start.
type Options struct {
	// Dir holds everything that the cluster writes. It must exist, be empty, and
	// lie outside /run, /var/lib and /var/log; required.
	Dir string
	// Progress is told what takes long; nil for silence.
	Progress io.Writer
}

// Cluster is a running cluster.
type Cluster struct {
	// Dir is that of the Options; the logs of the node's processes are in its
	// folder log.
	Dir string

	progress io.Writer
	programs map[string]string // paths by name, system programs too
	ca       pki.KeyPair

	mu             sync.Mutex
	node           *node // nil while the power is off
	processes      map[string]*Process
	apiServerFlags []string
}

// Start brings a cluster up and returns when its node is ready. Programs that
// are missing are built and cached, Debian packages installed.
func Start(ctx context.Context, o Options) (*Cluster, error) {
	c, err := prepare(ctx, o)
	if err != nil {
		return nil, err
	}
	if err := c.PowerOn(ctx); err != nil {
		return nil, errors.Join(err, c.Stop())
	}
	if err := c.provideStorage(ctx); err != nil {
		return nil, errors.Join(err, c.Stop())
	}
	return c, nil
}

// Prepare sees whether this machine can run a cluster and gets the programs for
// it, which takes minutes the first time: it builds those of Kubernetes and
// installs Debian packages. It returns the paths of the programs by name.
func Prepare(ctx context.Context, progress io.Writer) (map[string]string, error) {
	if err := Check(); err != nil {
		return nil, fmt.Errorf("no cluster can run on this machine: %w", err)
	}
	paths, err := systemPrograms(ctx, progress)
	if err != nil {
		return nil, err
	}
	built, err := assets.Ensure(ctx, progress, programs...)
	if err != nil {
		return nil, err
	}
	maps.Copy(paths, built)
	return paths, nil
}

// prepare makes everything that outlives a loss of power: programs,
// certificates and configuration files.
func prepare(ctx context.Context, o Options) (*Cluster, error) {
	if o.Progress == nil {
		o.Progress = io.Discard
	}
	dir, err := filepath.Abs(o.Dir)
	if err != nil {
		return nil, err
	}
	for _, hidden := range []string{"/run", "/var/run", "/var/lib", "/var/log"} {
		if strings.HasPrefix(dir+"/", hidden+"/") {
			return nil, fmt.Errorf("the cluster's folder must not lie in %s, which the node does not share: %s", hidden, dir)
		}
	}
	c := &Cluster{Dir: dir, progress: o.Progress, processes: map[string]*Process{}}
	if c.programs, err = Prepare(ctx, o.Progress); err != nil {
		return nil, err
	}
	for _, folder := range []string{"bin", "images", "log", "run"} {
		if err := os.MkdirAll(c.path(folder), 0o755); err != nil {
			return nil, err
		}
	}
	if err := os.Symlink(c.programs["kubectl"], c.path("bin", "kubectl")); err != nil {
		return nil, err
	}
	if err := c.buildOwn(ctx); err != nil {
		return nil, err
	}
	if err := c.certificates(); err != nil {
		return nil, err
	}
	return c, c.buildPodImage(ctx)
}

// PowerOn starts the node: the namespaces, then every component in order.
func (c *Cluster) PowerOn(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	if c.node != nil {
		return errors.New("the node is running")
	}
	n, err := startNode(ctx, c.path("bin", "cluster"), c.Dir)
	if err != nil {
		return err
	}
	c.mu.Lock()
	c.node = n
	c.mu.Unlock()
	if err := os.WriteFile(c.path("init.pid"), fmt.Appendln(nil, n.init.Process.Pid), 0o644); err != nil {
		return err
	}
	if err := c.writeFiles(); err != nil {
		return err
	}
	if err := c.startControlPlane(ctx); err != nil {
		return err
	}
	if err := c.StartRuntime(ctx); err != nil {
		return err
	}
	if err := c.startServices(ctx); err != nil {
		return err
	}
	return c.waitReady(ctx)
}

// PowerOff ends every process of the node at once, as a power failure does. What
// they wrote stays.
func (c *Cluster) PowerOff() error {
	c.mu.Lock()
	n := c.node
	c.node = nil
	clear(c.processes)
	c.mu.Unlock()
	if n == nil {
		return nil
	}
	return n.kill()
}

// Stop ends the cluster and leaves nothing of it but Dir.
func (c *Cluster) Stop() error { return c.PowerOff() }

func (c *Cluster) path(elements ...string) string {
	return filepath.Join(append([]string{c.Dir}, elements...)...)
}
