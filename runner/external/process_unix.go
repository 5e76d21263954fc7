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

// A process is a program with all processes that it starts: they form one group.
type process struct {
	c     *exec.Cmd
	grace time.Duration
	timer *time.Timer // runs until the grace time is over
}

// start starts a program in a process group of its own, which a Ctrl-C at the terminal does not
// reach. It reports the program's end to ended.
func start(c *exec.Cmd, grace time.Duration, ended chan<- error) (*process, error) {
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	dieWithParent(c.SysProcAttr)
	c.WaitDelay = time.Second // processes that it left behind may hold its output open
	began := make(chan error)
	go func() {
		runtime.LockOSThread() // the thread that starts the program must live as long as the program: see dieWithParent
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

// killGroup ends the rest of the group when its first process has ended.
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

// usage returns the machine's measurements of a program that has ended. Linux starts a program's
// peak of memory with that of the process that started it (setmax_mm_hiwater_rss in fs/exec.c). So
// a peak is left out unless it is above floor, which is our own peak when the program began.
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

// ownPeak returns the peak of this process's memory if a program's peak begins with it, otherwise
// 0.
func ownPeak() int64 {
	var r syscall.Rusage
	if runtime.GOOS != "linux" || syscall.Getrusage(syscall.RUSAGE_SELF, &r) != nil {
		return 0
	}
	return peakOf(&r)
}

// peakOf returns the peak in bytes; most systems count kilobytes, but macOS counts bytes.
func peakOf(r *syscall.Rusage) int64 {
	if runtime.GOOS == "darwin" || runtime.GOOS == "ios" {
		return int64(r.Maxrss)
	}
	return int64(r.Maxrss) * 1024
}
