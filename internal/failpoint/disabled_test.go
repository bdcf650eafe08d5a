//go:build !failpoints

package failpoint

import "testing"

func TestDisabled(t *testing.T) {
	t.Setenv(MutationEnv, "one")
	Hit("any/place")
	if Mutation("one") || Enabled {
		t.Fatal("failpoints are active in a binary without the tag")
	}
	if n := testing.AllocsPerRun(10, func() { Hit("any/place") }); n != 0 {
		t.Fatalf("Hit allocates %v times", n)
	}
}
