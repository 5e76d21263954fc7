// Package machine samples a run's use of the machine: CPU, memory, disk and GPUs. A separate
// goroutine does so every ten seconds, never one that trains. A sample takes some tens of
// microseconds (BenchmarkSample).
package machine

import (
	"time"

	"ablate/experiments"
)

// How often samples are taken. After mostSamples samples the interval doubles, so that a training
// of weeks leaves a few thousand lines.
const (
	firstSample = time.Second
	every       = 10 * time.Second
	mostSamples = 1000
)

// A reading holds the values of the counters at one moment. A value that the system does not
// provide is 0.
type reading struct {
	cpu           time.Duration // of this process and the programs that it started
	busy, total   float64       // of the machine's cores, in any unit
	memory        int64
	memoryUsed    int64
	read, written int64
	joules        float64 // of the CPUs
}

// A Meter samples for one attempt of a run.
type Meter struct {
	log     *experiments.MachineLog
	dir     string
	attempt int
	gpus    *gpus
	program bool // a program trains, not this process
	began   time.Time
	first   reading
	last    reading
	usage   experiments.Usage
	stop    chan struct{}
	done    chan struct{}
}

// Start begins to sample into a run's folder. gpus are the GPUs that the run trains on, in CUDA's
// numbering. program is true if this process starts a program that trains; the memory is then that
// of the program. If the log cannot be written, the meter works without it: the run itself reports
// that the disk is full.
func Start(dir string, attempt int, gpus []int, program bool) *Meter {
	m := newMeter(dir, attempt, gpus, program)
	go m.run()
	return m
}

func newMeter(dir string, attempt int, gpus []int, program bool) *Meter {
	m := &Meter{
		dir: dir, attempt: attempt, gpus: openGPUs(gpus), program: program, began: time.Now(), first: read(program),
		stop: make(chan struct{}), done: make(chan struct{}),
	}
	m.last = m.first
	m.log, _ = experiments.OpenMachineLog(dir)
	return m
}

func (m *Meter) run() {
	defer close(m.done)
	wait, n := firstSample, 0
	for {
		select {
		case <-m.stop:
			return
		case <-time.After(wait):
		}
		m.record()
		n++
		wait = every << (n / mostSamples)
	}
}

// Stop takes a last sample and returns the attempt's total usage.
func (m *Meter) Stop() experiments.Usage {
	close(m.stop)
	<-m.done
	m.record()
	if m.log != nil {
		_ = m.log.Close() // the log is optional
	}
	return m.usage
}

func (m *Meter) record() {
	s := m.sample()
	m.usage.CPUSeconds, m.usage.CPUJoules = s.CPUSeconds, s.PackageJoule
	m.usage.DiskRead, m.usage.DiskWritten = s.DiskRead, s.DiskWritten
	m.usage.PeakMemory = max(m.usage.PeakMemory, s.Memory)
	m.usage.GPUJoules = 0
	for _, g := range s.GPUs {
		m.usage.GPUJoules += g.Joules
	}
	if m.log != nil && m.log.Append(s) != nil {
		_ = m.log.Close()
		m.log = nil
	}
}

// sample reads the counters and the GPUs.
func (m *Meter) sample() experiments.Sample {
	r := read(m.program)
	s := experiments.Sample{
		Attempt: m.attempt, Seconds: experiments.Number(time.Since(m.began).Round(time.Millisecond).Seconds()),
		CPUSeconds: experiments.Number((r.cpu - m.first.cpu).Seconds()), Memory: r.memory, MemoryUsed: r.memoryUsed,
		DiskRead: r.read - m.first.read, DiskWritten: r.written - m.first.written,
		DiskFree: max(0, experiments.FreeSpace(m.dir)), GPUs: m.gpus.sample(),
	}
	if all := r.total - m.last.total; all > 0 {
		s.MachineCPU = experiments.Number((r.busy - m.last.busy) / all)
	}
	if r.joules >= m.first.joules { // after a counter has wrapped around, the energy is unknown
		s.PackageJoule = experiments.Number(r.joules - m.first.joules)
	}
	m.last = r
	return s
}
