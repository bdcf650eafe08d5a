package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"time"
)

// processes are what the demo has started, stopped in reverse order.
type processes struct {
	logs string
	list []*process
}

type process struct {
	name string
	cmd  *exec.Cmd
	done chan struct{}
}

// start runs a program with its output in a log file.
func (p *processes) start(cmd *exec.Cmd, name string) (*process, error) {
	if err := os.MkdirAll(p.logs, 0o700); err != nil {
		return nil, err
	}
	log, err := os.OpenFile(filepath.Join(p.logs, name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	proc := &process{name: name, cmd: cmd, done: make(chan struct{})}
	started := make(chan error)
	go func() {
		// Linux ends the child with the thread that started it, so the thread
		// has to live as long.
		runtime.LockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait() // what it ended with stands in its log
			close(proc.done)
		}
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	p.list = append(p.list, proc)
	return proc, nil
}

// stop ends one process, hard after a while.
func (p *process) stop() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(10 * time.Second):
		_ = p.cmd.Process.Kill()
		<-p.done
	}
}

func (p *processes) stop() {
	for i := len(p.list) - 1; i >= 0; i-- {
		p.list[i].stop()
	}
	p.list = nil
}

// lookPath finds a program in the demo's own folder.
func lookPath(dir, name string) (string, error) {
	p := filepath.Join(dir, name)
	if info, err := os.Stat(p); err != nil || info.IsDir() {
		return "", errors.New("not ours")
	}
	return p, nil
}
