package serve

import (
	"fmt"

	"ablate/experiments"
	"ablate/reports/page"
)

// samples returns the samples of a run's use of its machine.
func (s *Server) samples(r *run) ([]experiments.Sample, error) {
	if err := s.library.confined(experiments.MachinePath(r.dir)); err != nil {
		return nil, err
	}
	return s.Store.Machine(r.record)
}

// A gauge is a picture of a run's use of its machine.
type gauge struct {
	title, unit string
	lines       []gaugeLine
}

// A gaugeLine is one quantity of the samples. A total is drawn as its growth per second.
type gaugeLine struct {
	name  string
	value func(experiments.Sample) float64
	total bool
}

var gauges = []gauge{
	{"CPU time", "cores", []gaugeLine{
		{"this run", func(s experiments.Sample) float64 { return float64(s.CPUSeconds) }, true},
	}},
	{"Busy cores of the machine", "%", []gaugeLine{
		{"all", func(s experiments.Sample) float64 { return 100 * float64(s.MachineCPU) }, false},
	}},
	{"Memory", "GB", []gaugeLine{
		{"this run", func(s experiments.Sample) float64 { return float64(s.Memory) / 1e9 }, false},
		{"machine", func(s experiments.Sample) float64 { return float64(s.MemoryUsed) / 1e9 }, false},
	}},
	{"Disk", "MB/s", []gaugeLine{
		{"read", func(s experiments.Sample) float64 { return float64(s.DiskRead) / 1e6 }, true},
		{"written", func(s experiments.Sample) float64 { return float64(s.DiskWritten) / 1e6 }, true},
	}},
	{"Power of the CPUs", "W", []gaugeLine{
		{"CPUs", func(s experiments.Sample) float64 { return float64(s.PackageJoule) }, true},
	}},
	{"Use of the GPUs", "%", ofGPUs(func(g experiments.GPUSample) float64 { return 100 * float64(g.Use) })},
	{"Memory of the GPUs", "GB", ofGPUs(func(g experiments.GPUSample) float64 { return float64(g.Memory) / 1e9 })},
	{"Power of the GPUs", "W", ofGPUs(func(g experiments.GPUSample) float64 { return float64(g.Watts) })},
	{"Temperature of the GPUs", "°C", ofGPUs(func(g experiments.GPUSample) float64 { return float64(g.Celsius) })},
}

// shownGPUs bounds how many GPUs of a node have curves.
const shownGPUs = 8

func ofGPUs(value func(experiments.GPUSample) float64) []gaugeLine {
	var lines []gaugeLine
	for i := range shownGPUs {
		lines = append(lines, gaugeLine{fmt.Sprintf("cuda:%d", i), func(s experiments.Sample) float64 {
			for _, g := range s.GPUs {
				if g.Index == i {
					return value(g)
				}
			}
			return 0
		}, false})
	}
	return lines
}

// drawMachine draws the quantities that the machine reports. A quantity that stays 0 is not reported.
func drawMachine(samples []experiments.Sample) []figure {
	var all []figure
	for _, g := range gauges {
		var curves []page.Curve
		for i, l := range g.lines {
			if series, ok := l.series(samples); ok {
				curves = append(curves, page.Curve{Name: l.name, Row: i, Logs: [][]experiments.Metric{series}})
			}
		}
		axes := page.Axes{Title: g.title + " by time", Unit: g.unit, Factor: 1, X: page.ByTime, Band: page.BandNone}
		if picture := page.DrawCurves(curves, axes); picture != "" {
			all = append(all, figure{g.title, picture})
		}
	}
	return all
}

// series returns the line's points. A total starts at 0 with each attempt.
func (l gaugeLine) series(samples []experiments.Sample) (series []experiments.Metric, ok bool) {
	var before experiments.Sample
	for i, s := range samples {
		if s.Attempt != before.Attempt {
			before = experiments.Sample{Attempt: s.Attempt}
		}
		v := l.value(s)
		if passed := float64(s.Seconds - before.Seconds); l.total && passed > 0 {
			v = (v - l.value(before)) / passed
		} else if l.total {
			continue
		}
		before = s
		ok = ok || v != 0
		series = append(series, experiments.Metric{
			Attempt: s.Attempt, Step: int64(i + 1), Seconds: float64(s.Seconds), Value: experiments.Number(v),
		})
	}
	return series, ok
}
