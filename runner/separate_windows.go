package runner

import (
	"os/exec"
	"syscall"
)

// separate keeps a console's Ctrl-C from reaching a process, which the pool stops itself.
func separate(c *exec.Cmd) {
	c.SysProcAttr = &syscall.SysProcAttr{CreationFlags: syscall.CREATE_NEW_PROCESS_GROUP}
}
