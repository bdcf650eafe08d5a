//go:build linux

package cluster

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// namespaces are what separates the node from the machine.
const namespaces = unix.CLONE_NEWNS | unix.CLONE_NEWNET | unix.CLONE_NEWPID | unix.CLONE_NEWUTS

// Check says, in one line, why this machine does not permit a cluster.
func Check() error {
	if os.Geteuid() != 0 {
		return errors.New("it takes root, to make namespaces and start containers")
	}
	if err := checkNamespaces(); err != nil {
		return err
	}
	return checkCgroups()
}

// checkNamespaces starts a program in namespaces of its own.
func checkNamespaces() error {
	cmd := exec.Command("true")
	cmd.SysProcAttr = &unix.SysProcAttr{Cloneflags: namespaces}
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("it does not permit namespaces of mounts, networks, processes and host names: %w", err)
	}
	return nil
}

// checkCgroups makes a cgroup wherever the node will have one.
func checkCgroups() error {
	all, err := hierarchies()
	if err != nil {
		return err
	}
	for _, h := range all {
		dir := filepath.Join(h, cgroupPrefix+strconv.Itoa(os.Getpid()))
		if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("it does not permit cgroups: %w", err)
		}
		if err := unix.Rmdir(dir); err != nil {
			return fmt.Errorf("removing the cgroup %s: %w", dir, err)
		}
	}
	return nil
}
