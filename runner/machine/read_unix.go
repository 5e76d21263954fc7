//go:build unix && !linux

package machine

import (
	"syscall"
	"time"
)

// read returns what every Unix provides: the process's CPU time.
func read(bool) reading {
	var r reading
	for _, who := range []int{syscall.RUSAGE_SELF, syscall.RUSAGE_CHILDREN} {
		var u syscall.Rusage
		if syscall.Getrusage(who, &u) == nil {
			r.cpu += time.Duration(u.Utime.Nano() + u.Stime.Nano())
		}
	}
	return r
}
