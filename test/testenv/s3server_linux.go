package testenv

import (
	"os/exec"
	"syscall"
)

// endWithParent has the process killed when this one dies without stopping it,
// as a test that times out does.
func endWithParent(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
