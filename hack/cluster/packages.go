//go:build linux

package cluster

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
)

// system is what the node takes from the machine: programs by the Debian
// package that brings them.
var system = []struct{ program, debian string }{
	{"containerd", "containerd"},
	{"containerd-shim-runc-v2", "containerd"},
	{"ctr", "containerd"},
	{"runc", "runc"},
	{"iptables", "iptables"},
	{"ip", "iproute2"},
	{"mount", "mount"},
}

// pluginDirs are where packages put the plugins that connect pods.
var pluginDirs = []string{"/usr/lib/cni", "/opt/cni/bin", "/usr/libexec/cni"}

// plugins are those that the node's configuration names.
var plugins = []string{"bridge", "host-local", "loopback", "portmap"}

// systemPrograms finds what the machine has to bring and installs what is
// missing, where that is possible.
func systemPrograms(ctx context.Context, progress io.Writer) (map[string]string, error) {
	paths, missing := findSystem()
	if len(missing) == 0 {
		return paths, nil
	}
	names := strings.Join(missing, " ")
	if _, err := exec.LookPath("apt-get"); err != nil {
		return nil, fmt.Errorf("the cluster needs programs that this machine lacks; install them (as Debian calls the packages: %s)", names)
	}
	fmt.Fprintf(progress, "installing %s\n", names)
	for _, args := range [][]string{{"update", "-qq"}, append([]string{"install", "-y", "-qq", "--no-install-recommends"}, missing...)} {
		cmd := exec.CommandContext(ctx, "apt-get", args...)
		cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
		if output, err := cmd.CombinedOutput(); err != nil {
			return nil, fmt.Errorf("installing %s failed; install them by hand: %w\n%s", names, err, bytes.TrimSpace(output))
		}
	}
	if paths, missing = findSystem(); len(missing) > 0 {
		return nil, fmt.Errorf("programs are missing although their packages are installed: %s", strings.Join(missing, " "))
	}
	return paths, nil
}

// findSystem returns the paths of programs, with the folder of the plugins as
// "cni", and the Debian packages of those that are missing.
func findSystem() (paths map[string]string, missing []string) {
	paths = map[string]string{}
	for _, s := range system {
		path, err := exec.LookPath(s.program)
		switch {
		case err == nil:
			paths[s.program] = path
		case len(missing) == 0 || missing[len(missing)-1] != s.debian:
			missing = append(missing, s.debian)
		}
	}
	for _, dir := range pluginDirs {
		if hasAll(dir, plugins) {
			paths["cni"] = dir
			return paths, missing
		}
	}
	return paths, append(missing, "containernetworking-plugins")
}

func hasAll(dir string, programs []string) bool {
	for _, p := range programs {
		if _, err := os.Stat(dir + "/" + p); err != nil {
			return false
		}
	}
	return true
}
