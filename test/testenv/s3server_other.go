//go:build !linux

package testenv

import "os/exec"

// endWithParent does nothing: only Linux ends processes with their parent.
func endWithParent(*exec.Cmd) {}
