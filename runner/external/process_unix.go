//go:build unix

package external

import (
	"errors"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"
)

// A process is a program with all that it starts: they are one group.
type process struct {
	c     *exec.Cmd
	grace time.Duration
	timer *time.Timer // until the grace time is over
}

// start starts a program in a group of its own, which a Ctrl-C at the terminal does not
// reach, and tells its end.
func start(c *exec.Cmd, grace time.Duration, ended chan<- error) (*process, error) {
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	dieWithParent(c.SysProcAttr)
	c.WaitDelay = time.Second // what it left behind may hold its output open
	began := make(chan error)
	go func() {
		runtime.LockOSThread() // the thread that started it must live as long as it does: see dieWithParent
		defer runtime.UnlockOSThread()
		err := c.Start()
		began <- err
		if err == nil {
			ended <- c.Wait()
		}
	}()
	if err := <-began; err != nil {
		return nil, err
	}
	return &process{c: c, grace: grace}, nil
}

// terminate asks the group to end, and kills it when the grace time is over.
func (p *process) terminate() {
	p.signal(syscall.SIGTERM)
	p.timer = time.AfterFunc(p.grace, func() { p.signal(syscall.SIGKILL) })
}

// killGroup ends what is left of the group when its first process has ended.
func (p *process) killGroup() {
	if p.timer != nil {
		p.timer.Stop()
	}
	p.signal(syscall.SIGKILL)
}

func (p *process) signal(s syscall.Signal) {
	if err := syscall.Kill(-p.c.Process.Pid, s); err != nil && !errors.Is(err, syscall.ESRCH) {
		p.c.Process.Signal(s)
	}
}

// usage is what the machine says of a program that has ended. Linux begins a program's peak
// of memory with that of the process which started it (setmax_mm_hiwater_rss in fs/exec.c): a peak that is not
// above floor, ours when the program began, is not told.
func usage(s *os.ProcessState, took time.Duration, floor int64) map[string]float64 {
	used := map[string]float64{
		"wall_seconds": took.Seconds(), "cpu_seconds": (s.UserTime() + s.SystemTime()).Seconds(),
	}
	if r, ok := s.SysUsage().(*syscall.Rusage); ok {
		if peak := peakOf(r); peak > floor {
			used["peak_memory_bytes"] = float64(peak)
		}
	}
	return used
}

// ownPeak is the peak of this process's memory where a program's begins with it, 0 elsewhere.
func ownPeak() int64 {
	var r syscall.Rusage
	if runtime.GOOS != "linux" || syscall.Getrusage(syscall.RUSAGE_SELF, &r) != nil {
		return 0
	}
	return peakOf(&r)
}

// peakOf is the peak in bytes; the system counts kilobytes, but macOS bytes.
func peakOf(r *syscall.Rusage) int64 {
	if runtime.GOOS == "darwin" || runtime.GOOS == "ios" {
		return int64(r.Maxrss)
	}
	return int64(r.Maxrss) * 1024
}
