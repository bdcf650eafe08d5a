//go:build linux

package cluster

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// node is a set of namespaces with the process that all others end with.
type node struct {
	init    *exec.Cmd
	done    chan struct{} // closed when the init process has ended
	cgroup  string        // name of the node's cgroup, in every hierarchy
	handles []*os.File    // of the namespaces, in the order in which they are entered
}

// kinds are the namespaces of a node. A process enters the mounts last: the
// handles were opened in the mounts of the machine.
var kinds = []string{"uts", "pid", "net", "mnt"}

// startNode makes the namespaces; program is run in them as the first process.
func startNode(ctx context.Context, program, dir string) (*node, error) {
	ready, told, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer ready.Close()
	log, err := os.OpenFile(filepath.Join(dir, "log", "init.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd := exec.Command(program, "init", dir)
	cmd.Dir, cmd.Stdout, cmd.Stderr, cmd.ExtraFiles = "/", log, log, []*os.File{told}
	cmd.SysProcAttr = &unix.SysProcAttr{
		Cloneflags: namespaces,
		Pdeathsig:  unix.SIGKILL,
		Setsid:     true, // Ctrl-C is for this process, which then ends the node in order
	}
	n := &node{init: cmd, done: make(chan struct{})}
	started := make(chan error)
	go func() {
		// Linux ends the child with the thread that started it, so the thread
		// must live as long as the child.
		runtime.LockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait() // it ends by our SIGKILL, or its log says why
			close(n.done)
		}
	}()
	err = <-started
	told.Close()
	if err != nil {
		return nil, fmt.Errorf("making the node's namespaces: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { _ = ready.SetReadDeadline(time.Now()) })
	defer stop()
	if line, err := bufio.NewReader(ready).ReadString('\n'); err != nil || line != "ready\n" {
		return nil, errors.Join(fmt.Errorf("the node did not start: %s", tail(log.Name())), n.kill())
	}
	if err := n.open(cmd.Process.Pid); err != nil {
		return nil, errors.Join(err, n.kill())
	}
	n.cgroup = cgroupPrefix + strconv.Itoa(cmd.Process.Pid)
	if err := makeCgroups(n.cgroup); err != nil {
		return nil, errors.Join(err, n.kill())
	}
	return n, nil
}

// open takes handles of the namespaces of a process.
func (n *node) open(pid int) error {
	for _, kind := range kinds {
		f, err := os.Open(filepath.Join("/proc", strconv.Itoa(pid), "ns", kind))
		if err != nil {
			return err
		}
		n.handles = append(n.handles, f)
	}
	return nil
}

func (n *node) close() {
	for _, h := range n.handles {
		h.Close()
	}
	n.handles = nil
}

// kill ends every process of the node and removes its cgroups.
func (n *node) kill() error {
	_ = n.init.Process.Kill() // fails only if it has ended
	<-n.done                  // the kernel reports the end of the first process after that of all others
	n.close()
	if n.cgroup == "" {
		return nil
	}
	return removeCgroups(n.cgroup)
}

// inside calls f on a thread of the node's namespaces. What f starts belongs to
// the node; goroutines that f starts do not.
func (n *node) inside(f func() error) error {
	result := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked, so that the thread ends with the goroutine
		if err := n.enter(); err != nil {
			result <- fmt.Errorf("entering the node: %w", err)
			return
		}
		result <- f()
	}()
	return <-result
}

// enter moves the calling thread into the node's namespaces.
func (n *node) enter() error {
	// Threads share their working folder and root, which the kernel wants undone
	// before a thread may have mounts of its own.
	if err := unix.Unshare(unix.CLONE_FS); err != nil {
		return err
	}
	if len(n.handles) == 0 {
		return errors.New("the power is off")
	}
	for _, h := range n.handles {
		if err := unix.Setns(int(h.Fd()), 0); err != nil {
			return fmt.Errorf("%s: %w", h.Name(), err)
		}
	}
	return nil
}

// dial connects to an IP address and port as a process of the node does.
func (n *node) dial(ctx context.Context, network, address string) (conn net.Conn, err error) {
	err = n.inside(func() (err error) {
		conn, err = (&net.Dialer{}).DialContext(ctx, network, address)
		return err
	})
	return conn, err
}
