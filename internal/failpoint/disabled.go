//go:build !failpoints

package failpoint

// Enabled tells whether this binary has failpoints.
const Enabled = false

// Hit does nothing in a binary without the tag failpoints.
func Hit(string) {}

// Mutation is false in a binary without the tag failpoints.
func Mutation(string) bool { return false }
