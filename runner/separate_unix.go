//go:build unix

package runner

import (
	"os/exec"
	"syscall"
)

// separate keeps a terminal's Ctrl-C from reaching a process, which the pool stops itself.
func separate(c *exec.Cmd) { c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }
