// Package failpoint lets the durability tests end a process at a named place,
// or switch one of its protections off, to prove that the tests would see it.
//
// Both exist only in binaries built with the tag failpoints. Without it the
// calls compile to nothing.
//
//	TRAIL_FAILPOINT=spool/before-tail     SIGKILL at the first hit
//	TRAIL_FAILPOINT=spool/before-tail:20  SIGKILL at the twentieth hit
//	TRAIL_MUTATION=spool-fsync,state-compare
package failpoint

const (
	// Env names the place at which the process kills itself.
	Env = "TRAIL_FAILPOINT"
	// MutationEnv names the protections that are off, separated by commas.
	MutationEnv = "TRAIL_MUTATION"
)
