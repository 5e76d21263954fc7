//go:build unix && !linux

package external

import "syscall"

// dieWithParent does nothing: only Linux can kill the program with its parent.
func dieWithParent(*syscall.SysProcAttr) {}
