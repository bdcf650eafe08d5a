//go:build linux

package cluster

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// Attach finds the cluster that another process runs in a folder, to run
// programs on its node.
func Attach(dir string) (*Cluster, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	c := &Cluster{Dir: dir, processes: map[string]*Process{}}
	text, err := os.ReadFile(c.path("init.pid"))
	if err != nil {
		return nil, fmt.Errorf("no cluster runs in %s: %w", dir, err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", c.path("init.pid"), err)
	}
	c.node = &node{}
	return c, c.node.open(pid)
}

// Detach lets go of a cluster that was attached to. It runs on.
func (c *Cluster) Detach() { c.node.close() }

// Command is a command line for Run, as an administrator of the cluster, with
// kubectl and what was put into the folder bin first on the PATH.
func (c *Cluster) Command(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	if own := c.path("bin", name); filepath.Base(name) == name && isFile(own) {
		cmd.Path, cmd.Err = own, nil
	}
	cmd.Env = append(os.Environ(), "KUBECONFIG="+c.AdminKubeconfig(), "PATH="+c.path("bin")+":"+os.Getenv("PATH"))
	return cmd
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}
