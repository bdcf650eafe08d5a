//go:build failpoints

package failpoint

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"syscall"
	"testing"
)

// TestHitKills runs itself with a failpoint set and counts how far it came.
func TestHitKills(t *testing.T) {
	if os.Getenv("FAILPOINT_CHILD") != "" {
		for range 5 {
			Hit("another/place")
			Hit("test/place")
			_, _ = os.Stdout.WriteString("x")
		}
		os.Exit(0)
	}
	for value, want := range map[string]string{
		"":              "xxxxx",
		"test/place":    "",
		"test/place:3":  "xx",
		"test/place:9":  "xxxxx",
		"test/place:-1": "",
		"missing/place": "xxxxx",
	} {
		cmd := exec.Command(os.Args[0], "-test.run=^TestHitKills$")
		cmd.Env = append(os.Environ(), "FAILPOINT_CHILD=1", Env+"="+value)
		out, err := cmd.Output()
		if got := string(bytes.TrimSpace(out)); got != want {
			t.Errorf("%q: child wrote %q, want %q", value, got, want)
		}
		if len(want) == 5 {
			if err != nil {
				t.Errorf("%q: %v", value, err)
			}
			continue
		}
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
			t.Errorf("%q: child ended with %v, want SIGKILL", value, err)
		}
	}
}

func TestMutation(t *testing.T) {
	t.Setenv(MutationEnv, "one,two")
	for name, want := range map[string]bool{"one": true, "two": true, "three": false, "on": false} {
		if got := Mutation(name); got != want {
			t.Errorf("Mutation(%q) = %v", name, got)
		}
	}
}
