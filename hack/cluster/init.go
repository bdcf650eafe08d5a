//go:build linux

package cluster

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// RunInit is the first process of a node: it makes the namespaces that it was
// started in a node's, tells so on file descriptor 3, and then collects
// processes that nobody else waits for. It returns only if it fails.
func RunInit(dir string) error {
	for _, step := range []func(dir string) error{mounts, tunables, network} {
		if err := step(dir); err != nil {
			return err
		}
	}
	if err := unix.Sethostname([]byte(NodeName)); err != nil {
		return fmt.Errorf("setting the host name: %w", err)
	}
	told := os.NewFile(3, "ready")
	if _, err := told.WriteString("ready\n"); err != nil {
		return err
	}
	told.Close()
	reap()
	return nil
}

// reap waits for children without end.
func reap() {
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, unix.SIGCHLD)
	for {
		_, err := unix.Wait4(-1, nil, 0, nil)
		if errors.Is(err, unix.ECHILD) {
			<-ended
		}
	}
}

// mounts separates the node's files from the machine's: what it writes outside
// of dir is gone with it, or kept in dir.
func mounts(dir string) error {
	for _, m := range []struct {
		source, target, kind string
		flags                uintptr
		data                 string
	}{
		{"", "/", "", unix.MS_REC | unix.MS_PRIVATE, ""},
		// Containers get mounts that appear later, which takes a shared tree.
		{"", "/", "", unix.MS_REC | unix.MS_SHARED, ""},
		{"proc", "/proc", "proc", 0, ""},
		{"tmpfs", "/run", "tmpfs", 0, "mode=0755"},
		{"tmpfs", "/var/log", "tmpfs", 0, "mode=0755"},
		{"tmpfs", filepath.Join(dir, "run"), "tmpfs", 0, "mode=0755"},
		{"overlay", "/var/lib", "overlay", 0, overlay(dir, "var-lib", "/var/lib")},
	} {
		if m.kind == "overlay" {
			for _, folder := range []string{"upper", "work"} {
				if err := os.MkdirAll(filepath.Join(dir, "var-lib", folder), 0o755); err != nil {
					return err
				}
			}
		}
		if err := unix.Mount(m.source, m.target, m.kind, m.flags, m.data); err != nil {
			return fmt.Errorf("mounting %s: %w", m.target, err)
		}
	}
	return nil
}

func overlay(dir, name, lower string) string {
	return fmt.Sprintf("lowerdir=%s,upperdir=%s,workdir=%s", lower, filepath.Join(dir, name, "upper"), filepath.Join(dir, name, "work"))
}

// kernelTunables are sysctls that a kubelet sets, and these have no namespace:
// it would change the whole machine. It finds them set already, in files that
// are mounted over them.
var kernelTunables = map[string]string{
	"vm/overcommit_memory":      "1",
	"vm/panic_on_oom":           "0",
	"kernel/panic":              "10",
	"kernel/panic_on_oops":      "1",
	"kernel/keys/root_maxkeys":  "1000000",
	"kernel/keys/root_maxbytes": "25000000",
}

func tunables(dir string) error {
	for name, value := range kernelTunables {
		real := filepath.Join("/proc/sys", name)
		if _, err := os.Stat(real); errors.Is(err, os.ErrNotExist) {
			continue
		}
		file := filepath.Join(dir, "tunables", strings.ReplaceAll(name, "/", "."))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(file, []byte(value+"\n"), 0o644); err != nil {
			return err
		}
		if err := unix.Mount(file, real, "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("mounting over %s: %w", real, err)
		}
	}
	// These belong to the network namespace.
	for _, name := range []string{"net/ipv4/ip_forward", "net/bridge/bridge-nf-call-iptables"} {
		err := os.WriteFile(filepath.Join("/proc/sys", name), []byte("1"), 0o644)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return nil
}

// network gives the node its addresses, on a bridge that leads nowhere: the
// cluster has no way out. The route is what makes cluster IPs routable until
// kube-proxy's rules turn them into addresses of pods.
func network(string) error {
	cmd := exec.Command("ip", "-batch", "-")
	cmd.Stdin = strings.NewReader(strings.Join([]string{
		"link set lo up",
		"link add node0 type bridge",
		"address add " + NodeIP + "/24 dev node0",
		"address add " + BucketIP + "/24 dev node0",
		"address add " + OtherBucketIP + "/24 dev node0",
		"link set node0 up",
		"route add default via 10.200.0.254 dev node0",
	}, "\n"))
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("setting up the node's network: %w\n%s", err, output.Bytes())
	}
	return nil
}
