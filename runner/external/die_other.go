//go:build unix && !linux

package external

import "syscall"

// dieWithParent can be asked for on Linux alone.
func dieWithParent(*syscall.SysProcAttr) {}
