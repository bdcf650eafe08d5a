//go:build linux

package cluster

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// cgroupPrefix begins the name of a node's cgroup; the number of its first
// process follows.
const cgroupPrefix = "trail-cluster-"

// hierarchies returns the folders in which cgroups are mounted: one with cgroup
// v2, one for each controller with v1.
func hierarchies() ([]string, error) {
	info, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	var all []string
	for line := range strings.Lines(string(info)) {
		// ID parent device root MOUNTPOINT options... - TYPE source options
		mount, kind, ok := strings.Cut(line, " - ")
		fields := strings.Fields(mount)
		if ok && len(fields) > 4 && (strings.HasPrefix(kind, "cgroup ") || strings.HasPrefix(kind, "cgroup2 ")) {
			all = append(all, fields[4])
		}
	}
	if len(all) == 0 {
		return nil, errors.New("no cgroups are mounted on this machine")
	}
	return all, nil
}

// makeCgroups makes the cgroup of a node, after removing those that nodes left
// behind whose process was killed.
func makeCgroups(name string) error {
	all, err := hierarchies()
	if err != nil {
		return err
	}
	for _, h := range all {
		left, err := filepath.Glob(filepath.Join(h, cgroupPrefix+"*"))
		if err != nil {
			return err
		}
		for _, dir := range left {
			pid, err := strconv.Atoi(strings.TrimPrefix(filepath.Base(dir), cgroupPrefix))
			if err == nil && errors.Is(unix.Kill(pid, 0), unix.ESRCH) {
				_ = removeTree(dir) // busy: it is somebody's after all
			}
		}
		dir := filepath.Join(h, name)
		if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
		// A cgroup of the cpuset controller of v1 takes no process before it has these.
		for _, file := range []string{"cpuset.cpus", "cpuset.mems"} {
			content, err := os.ReadFile(filepath.Join(h, file))
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err != nil {
				return err
			}
			if err := os.WriteFile(filepath.Join(dir, file), content, 0o644); err != nil {
				return err
			}
		}
	}
	return nil
}

// removeCgroups removes the cgroup of a node whose processes have ended, and all
// below it. The kernel takes a moment to see that a cgroup is empty.
func removeCgroups(name string) error {
	all, err := hierarchies()
	if err != nil {
		return err
	}
	for _, h := range all {
		dir := filepath.Join(h, name)
		for try := 0; ; try++ {
			if err = removeTree(dir); err == nil {
				break
			}
			if try == 50 {
				return fmt.Errorf("removing the cgroup %s: %w", dir, err)
			}
			time.Sleep(100 * time.Millisecond)
		}
	}
	return nil
}

// removeTree removes a cgroup and those below it. Their files cannot be removed,
// and go with them.
func removeTree(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.IsDir() {
			if err := removeTree(filepath.Join(dir, e.Name())); err != nil {
				return err
			}
		}
	}
	return unix.Rmdir(dir)
}

// processesBelow returns the processes in the cgroup of a node and below it.
func processesBelow(name string) (map[int]bool, error) {
	all, err := hierarchies()
	if err != nil {
		return nil, err
	}
	pids := map[int]bool{}
	for _, h := range all {
		err := filepath.WalkDir(filepath.Join(h, name), func(path string, d fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) || err == nil && d.Name() != "cgroup.procs" {
				return nil
			}
			if err != nil {
				return err
			}
			content, err := os.ReadFile(path)
			if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENODEV) {
				return nil // it has just been removed
			}
			lines := bufio.NewScanner(bytes.NewReader(content))
			for lines.Scan() {
				if pid, err := strconv.Atoi(lines.Text()); err == nil && pid > 1 {
					pids[pid] = true
				}
			}
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return pids, nil
}
