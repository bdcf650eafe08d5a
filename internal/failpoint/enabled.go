//go:build failpoints

package failpoint

import (
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
)

// Enabled tells whether this binary has failpoints.
const Enabled = true

var (
	target, remaining = parse(os.Getenv(Env))
	left              atomic.Int64
)

func init() { left.Store(remaining) }

// parse splits name[:n]. A count that is not a positive number is 1.
func parse(value string) (name string, n int64) {
	name, count, _ := strings.Cut(value, ":")
	n, err := strconv.ParseInt(count, 10, 64)
	if err != nil || n < 1 {
		n = 1
	}
	return name, n
}

// Hit kills the process with SIGKILL, as a power switch would, when this is the
// chosen hit of the chosen place.
func Hit(name string) {
	if target == "" || name != target || left.Add(-1) != 0 {
		return
	}
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {} // not one instruction more until the signal arrives
}

// Mutation tells whether a protection is switched off. The variable is read
// each time, so that tests can change it.
func Mutation(name string) bool {
	for m := range strings.SplitSeq(os.Getenv(MutationEnv), ",") {
		if m == name {
			return true
		}
	}
	return false
}
