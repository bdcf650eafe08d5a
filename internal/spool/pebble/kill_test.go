//go:build failpoints

package pebble

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/trail-operator/trail-operator/internal/failpoint"
	"github.com/trail-operator/trail-operator/internal/spool"
)

const killDirEnv = "SPOOL_KILL_DIR"

// TestKill lets a process of its own append and commit until it kills itself at
// a failpoint, and compares what it had been told with what is there.
func TestKill(t *testing.T) {
	if dir := os.Getenv(killDirEnv); dir != "" {
		writeUntilKilled(dir)
	}
	for _, point := range []string{
		"spool/before-commit", "spool/after-commit", "spool/before-tail", "state/before-commit", "state/after-commit",
	} {
		t.Run(point, func(t *testing.T) {
			dir := t.TempDir()
			told := map[string]uint64{}
			for round := range 4 {
				for key, n := range runUntilKilled(t, dir, fmt.Sprintf("%s:%d", point, 1+round*round*9)) {
					told[key] = n
				}
				checkTold(t, dir, told)
			}
		})
	}
}

// writeUntilKilled prints "<writer> <n>" after each answer.
func writeUntilKilled(dir string) {
	s, err := Open(dir, Options{})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(3)
	}
	var mu sync.Mutex
	for w := range 4 {
		go func() {
			key := fmt.Sprintf("%d-%d", os.Getpid(), w)
			var old []byte
			for n := uint64(1); ; n++ {
				value := binary.BigEndian.AppendUint64(nil, n)
				c := spool.Chunk{Source: key, Items: 1, Data: spool.AppendItem(nil, value)}
				copy(c.ID[:], key)
				binary.BigEndian.PutUint64(c.ID[24:], n)
				if w == 0 {
					err = s.Commit(spool.Expect(key, old), spool.Set(key, value))
				} else {
					_, err = s.Append(context.Background(), []spool.Chunk{c}, spool.Set(key, value))
				}
				if err != nil {
					fmt.Fprintln(os.Stderr, err)
					os.Exit(3)
				}
				old = value
				mu.Lock()
				fmt.Println(key, n)
				mu.Unlock()
			}
		}()
	}
	select {}
}

func runUntilKilled(t *testing.T, dir, point string) map[string]uint64 {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestKill$")
	cmd.Env = append(os.Environ(), killDirEnv+"="+dir, failpoint.Env+"="+point)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Fatalf("%s: the writer ended with %v", point, err)
	}
	told := map[string]uint64{}
	for lines := bufio.NewScanner(strings.NewReader(string(out))); lines.Scan(); {
		var key string
		var n uint64
		if _, err := fmt.Sscanf(lines.Text(), "%s %d", &key, &n); err == nil {
			told[key] = n
		}
	}
	return told
}

func checkTold(t *testing.T, dir string, told map[string]uint64) {
	t.Helper()
	s := openStore(t, dir, Options{})
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	stored := map[string]uint64{}
	err := s.Read(t.Context(), 0, func(p spool.Position, c *spool.Chunk) error {
		stored[c.Source]++
		if n := binary.BigEndian.Uint64(c.ID[24:]); n != stored[c.Source] {
			t.Errorf("position %d holds chunk %d of %s, want %d", p, n, c.Source, stored[c.Source])
		}
		return nil
	}, func(d spool.Damaged) { t.Errorf("position %d: %s", d.Position, d.Reason) })
	if err != nil {
		t.Fatal(err)
	}
	for key, n := range told {
		value, err := s.Get(key)
		if err != nil || value == nil {
			t.Fatalf("the document of %s is lost: %v", key, err)
		}
		now := binary.BigEndian.Uint64(value)
		if now < n || now > n+1 {
			t.Errorf("%s is %d, answered was %d", key, now, n)
		}
		if !strings.HasSuffix(key, "-0") && stored[key] != now {
			t.Errorf("%s is %d beside %d chunks: one call was torn", key, now, stored[key])
		}
	}
}
