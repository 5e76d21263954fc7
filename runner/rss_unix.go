//go:build unix

package runner

import (
	"runtime"
	"syscall"
)

// peakRSS returns the largest resident memory of the process so far, in bytes; 0 if unknown.
func peakRSS() int64 {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	if runtime.GOOS == "darwin" {
		return int64(u.Maxrss) // bytes there, KiB elsewhere: getrusage(2)
	}
	return int64(u.Maxrss) << 10
}
