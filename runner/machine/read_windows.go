package machine

import (
	"time"

	"golang.org/x/sys/windows"
)

// read returns the process's CPU time.
func read(bool) reading {
	var created, exited, kernel, user windows.Filetime
	if windows.GetProcessTimes(windows.CurrentProcess(), &created, &exited, &kernel, &user) != nil {
		return reading{}
	}
	const tick = 100 * time.Nanosecond
	ticks := func(f windows.Filetime) time.Duration {
		return time.Duration(int64(f.HighDateTime)<<32|int64(f.LowDateTime)) * tick
	}
	return reading{cpu: ticks(kernel) + ticks(user)}
}
