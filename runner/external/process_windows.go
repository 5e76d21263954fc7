package external

import (
	"os"
	"os/exec"
	"time"
)

// A process is a program. Windows has no signal that asks it to end.
type process struct{ c *exec.Cmd }

// start starts a program and tells its end.
func start(c *exec.Cmd, _ time.Duration, ended chan<- error) (*process, error) {
	c.WaitDelay = time.Second
	if err := c.Start(); err != nil {
		return nil, err
	}
	go func() { ended <- c.Wait() }()
	return &process{c}, nil
}

func (p *process) terminate() { p.killGroup() }

func (p *process) killGroup() { p.c.Process.Kill() }

// usage is what the machine says of a program that has ended.
func usage(s *os.ProcessState, took time.Duration, _ int64) map[string]float64 {
	return map[string]float64{
		"wall_seconds": took.Seconds(), "cpu_seconds": (s.UserTime() + s.SystemTime()).Seconds(),
	}
}

// ownPeak is not needed: the memory of programs is not told.
func ownPeak() int64 { return 0 }
