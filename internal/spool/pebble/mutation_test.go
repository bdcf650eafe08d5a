//go:build failpoints

package pebble

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/trail-operator/trail-operator/internal/failpoint"
)

// TestProtectionsAreProven runs tests of this package in a process of their own
// with one protection switched off each time: they must fail.
func TestProtectionsAreProven(t *testing.T) {
	for mutation, tests := range map[string][]string{
		"spool-fsync": {
			"TestConformance/Memory/PowerLoss", "TestConformance/Memory/PowerLossInTheMiddle",
			"TestConformance/Memory/PowerLossWhileReading",
		},
		"spool-contiguous-tail": {"TestConformance/Memory/PowerLossWhileReading", "TestNothingIsVisibleBeforeItsSync"},
		"spool-note":            {"TestLostTail"},
		"spool-dedupe":          {"TestConformance/Memory/Duplicates", "TestConformance/Memory/DuplicatesConcurrent", "TestConformance/Memory/Model"},
		"state-compare":         {"TestConformance/Memory/Conflict", "TestConformance/Memory/ConflictConcurrent", "TestConformance/Memory/Model"},
	} {
		for _, test := range tests {
			t.Run(mutation+"/"+test, func(t *testing.T) {
				t.Parallel()
				for _, off := range []string{"", mutation} {
					pattern := "^" + strings.ReplaceAll(test, "/", "$/^") + "$"
					cmd := exec.Command(os.Args[0], "-test.run="+pattern, "-test.timeout=60s", "-rapid.nofailfile", "-rapid.shrinktime=1s")
					cmd.Env = append(os.Environ(), failpoint.MutationEnv+"="+off)
					out, err := cmd.CombinedOutput()
					failed := strings.Contains(string(out), "--- FAIL: ") || strings.Contains(string(out), "panic: test timed out")
					if off == "" && err != nil {
						t.Fatalf("fails as it is: %s", out)
					}
					if off != "" && !failed {
						t.Errorf("passes without the protection %s: %s", mutation, out)
					}
				}
			})
		}
	}
}
