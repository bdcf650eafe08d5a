//go:build failpoints

package durability

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/trail-operator/trail-operator/internal/failpoint"
)

// TestProtectionsAreProven runs a test of this package in a process of its own,
// against a receiver with one protection switched off each time: it must fail.
// What only a power loss shows is proven in internal/pipeline and
// internal/spool/pebble in the same way.
func TestProtectionsAreProven(t *testing.T) {
	for mutation, test := range map[string]string{
		"spool-dedupe":   "TestKill/intake",
		"upload-compare": "TestKill/upload",
		"upload-confirm": "TestHostileStore",
	} {
		t.Run(mutation, func(t *testing.T) {
			cmd := exec.Command(os.Args[0], "-test.run=^"+strings.ReplaceAll(test, "/", "$/^")+"$", "-test.timeout=5m")
			cmd.Env = append(os.Environ(), failpoint.MutationEnv+"="+mutation, binaryEnv+"="+binary)
			out, _ := cmd.CombinedOutput()
			if !strings.Contains(string(out), "--- FAIL: "+test) {
				t.Fatalf("%s passes without the protection: %s", test, out)
			}
			for line := range strings.Lines(string(out)) {
				if strings.Contains(line, "promise_test.go") || strings.Contains(line, "kill_test.go") || strings.Contains(line, "are missing, and") {
					t.Log(strings.TrimSpace(line))
					break
				}
			}
		})
	}
}
