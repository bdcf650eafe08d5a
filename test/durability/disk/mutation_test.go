//go:build failpoints

package disk

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/trail-operator/trail-operator/internal/failpoint"
)

// TestProtectionsAreProven runs a test of this package in a process of its own
// with one protection switched off each time: it must fail.
func TestProtectionsAreProven(t *testing.T) {
	for mutation, test := range map[string]string{
		"spool-fsync":      "TestPowerLossAtEachStep",
		"spool-dedupe":     "TestPowerLossAtEachStep",
		"outbox-fsync":     "TestPowerLossAtEachStep",
		"outbox-dir-fsync": "TestPowerLossAtEachStep",
		"upload-compare":   "TestOldVolume",
	} {
		t.Run(mutation, func(t *testing.T) {
			t.Parallel()
			cmd := exec.Command(os.Args[0], "-test.run=^"+test+"$", "-test.timeout=200s", "-test.failfast")
			cmd.Env = append(os.Environ(), failpoint.MutationEnv+"="+mutation, "TRAIL_SOAK=20s")
			out, _ := cmd.CombinedOutput()
			if !strings.Contains(string(out), "--- FAIL: "+test) {
				t.Fatalf("%s passes without the protection: %s", test, out)
			}
			for line := range strings.Lines(string(out)) {
				if strings.Contains(line, "_test.go") {
					t.Log(strings.TrimSpace(line))
					break
				}
			}
		})
	}
}
