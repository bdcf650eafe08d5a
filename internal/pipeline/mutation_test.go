//go:build failpoints

package pipeline

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/trail-operator/trail-operator/internal/failpoint"
)

// TestProtectionsAreProven runs a test of this package in a process of its own
// with one protection switched off each time: it must fail, at the latest the
// third time, since some of what is at stake are races. That the tail moves
// only with its sync cannot be seen from here, since the log keeps cursors
// behind their chunks; the spool's own tests prove it.
func TestProtectionsAreProven(t *testing.T) {
	for mutation, test := range map[string]string{
		"outbox-fsync":     "TestPowerLoss",
		"outbox-dir-fsync": "TestPowerLoss",
		"spool-fsync":      "TestPowerLoss",
		"spool-dedupe":     "TestPowerLoss",
		"state-compare":    "TestTwoWriters",
	} {
		t.Run(mutation, func(t *testing.T) {
			cmd := exec.Command(os.Args[0], "-test.run=^"+test+"$", "-test.timeout=60s", "-test.count=3", "-test.failfast")
			cmd.Env = append(os.Environ(), failpoint.MutationEnv+"="+mutation)
			out, _ := cmd.CombinedOutput()
			if !strings.Contains(string(out), "--- FAIL: "+test) {
				t.Errorf("%s passes without the protection: %s", test, out)
			}
		})
	}
}
