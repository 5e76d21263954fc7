package external

import (
	"os"
	"os/exec"
	"time"
)

// A process is a program. Windows has no signal that asks it to end.
type process struct{ c *exec.Cmd }

// start starts a program and reports its end to ended.
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

// usage returns the machine's measurements of a program that has ended.
func usage(s *os.ProcessState, took time.Duration, _ int64) map[string]float64 {
	return map[string]float64{
		"wall_seconds": took.Seconds(), "cpu_seconds": (s.UserTime() + s.SystemTime()).Seconds(),
	}
}

// ownPeak is not needed: the memory of programs is not measured here.
func ownPeak() int64 { return 0 }
