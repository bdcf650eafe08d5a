//go:build linux

package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Process is a program that runs on the node until it is stopped, its output in
// a log file.
type Process struct {
	Log string // path

	name string
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended
}

// StartProcess runs a program on the node, as a process of its own beside the
// cluster's. It ends with the node at the latest. The name is that of its log in
// the folder log; a program that is started again appends to it.
func (c *Cluster) StartProcess(name string, cmd *exec.Cmd) (*Process, error) {
	log := c.path("log", name+".log")
	out, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	if cmd.Dir == "" {
		cmd.Dir = "/"
	}
	cmd.Stdout, cmd.Stderr = out, out
	p := &Process{Log: log, name: name, cmd: cmd, done: make(chan struct{})}
	if err := c.start(cmd); err != nil {
		return nil, fmt.Errorf("starting %s: %w", name, err)
	}
	go func() {
		_ = cmd.Wait() // what it ended with stands in its log
		close(p.done)
	}()
	c.mu.Lock()
	c.processes[name] = p
	c.mu.Unlock()
	return p, nil
}

// Signal sends a signal to the process.
func (p *Process) Signal(s os.Signal) error { return p.cmd.Process.Signal(s) }

// Done is closed when the process has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Stop asks the process to end and, after the timeout, makes it. A nil process
// has ended already.
func (p *Process) Stop(timeout time.Duration) {
	if p == nil {
		return
	}
	_ = p.Signal(unix.SIGTERM) // fails only if it has ended
	select {
	case <-p.done:
	case <-time.After(timeout):
		p.Kill()
	}
}

// Kill ends the process without asking.
func (p *Process) Kill() {
	if p == nil {
		return
	}
	_ = p.cmd.Process.Kill() // fails only if it has ended
	<-p.done
}

// start starts a command on the node.
func (c *Cluster) start(cmd *exec.Cmd) error {
	n, err := c.running()
	if err != nil {
		return err
	}
	return n.inside(cmd.Start)
}

func (c *Cluster) running() (*node, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.node == nil {
		return nil, errors.New("the power is off")
	}
	return c.node, nil
}

// Run runs a command on the node and waits for its end. Without streams of its
// own, what it printed stands in the error.
func (c *Cluster) Run(cmd *exec.Cmd) error {
	var output bytes.Buffer
	if cmd.Stdout == nil {
		cmd.Stdout = &output
	}
	if cmd.Stderr == nil {
		cmd.Stderr = &output
	}
	if cmd.Dir == "" {
		cmd.Dir = "/"
	}
	err := c.start(cmd)
	if err == nil {
		err = cmd.Wait()
	}
	if err != nil {
		return fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args, " "), err, bytes.TrimSpace(output.Bytes()))
	}
	return nil
}

// Dial connects to an IP address and port as a process of the node does.
func (c *Cluster) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	n, err := c.running()
	if err != nil {
		return nil, err
	}
	return n.dial(ctx, network, address)
}

// Program is the path of a program that the cluster runs, such as kubectl.
func (c *Cluster) Program(name string) string { return c.programs[name] }

// component starts one of the cluster's own programs.
func (c *Cluster) component(ctx context.Context, name string, args ...string) (*Process, error) {
	return c.StartProcess(name, exec.CommandContext(context.WithoutCancel(ctx), c.programs[name], args...))
}

func (c *Cluster) process(name string) *Process {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.processes[name]
}

// forget: the process was ended on purpose, so its end explains nothing.
func (c *Cluster) forget(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.processes, name)
}

// poll calls check until it succeeds; a component that ends meanwhile is the
// answer to why it does not.
func (c *Cluster) poll(ctx context.Context, what string, check func(context.Context) error) error {
	for {
		err := check(ctx)
		if err == nil {
			return nil
		}
		if name := c.ended(); name != "" {
			return fmt.Errorf("waiting for %s: %s has ended: %s", what, name, tail(c.path("log", name+".log")))
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for %s: %w (logs are in %s)", what, err, c.path("log"))
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// ended returns the name of a component that has ended, or nothing.
func (c *Cluster) ended() string {
	for _, name := range append([]string{"containerd"}, programs...) {
		if p := c.process(name); p != nil {
			select {
			case <-p.done:
				return name
			default:
			}
		}
	}
	return ""
}

// Tail is the end of a log of the node, by the name of its process.
func (c *Cluster) Tail(name string) string { return tail(c.path("log", name+".log")) }

func tail(path string) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	return filepath.Base(path) + ": " + strings.Join(lines[max(0, len(lines)-10):], "\n")
}
