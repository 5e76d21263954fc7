package runner

import (
	"math"

	"ablate/ablations"
	"ablate/experiments"
)

// A schedule gives the learning rate of each epoch.
type schedule struct {
	ablations.Schedule
	base   float64
	epochs int

	best    float64 // plateau: lowest test error so far
	waited  int     // epochs since
	dropped int
}

func newSchedule(t ablations.Train) *schedule {
	return &schedule{Schedule: t.Schedule, base: t.LR, epochs: t.Epochs, best: math.Inf(1)}
}

// rate is the learning rate of an epoch, counted from 0.
func (s *schedule) rate(epoch int) float64 {
	switch s.Kind {
	case "step":
		rate := s.base
		for _, at := range s.At {
			if epoch >= at {
				rate *= s.Factor
			}
		}
		return rate
	case "plateau":
		return s.base * math.Pow(s.Factor, float64(s.dropped))
	case "discrete_exp":
		// cuda-convnet2's dexp: Steps equal stretches of training, each rate lower by the same factor, the last at base/Target.
		if s.Steps < 2 {
			return s.base
		}
		stage := min(epoch*s.Steps/s.epochs, s.Steps-1)
		return s.base * math.Pow(s.Target, -float64(stage)/float64(s.Steps-1))
	default:
		return s.base
	}
}

// observe tells the schedule an epoch's test error. Plateau drops the rate when
// it has not fallen for Patience epochs (paper, section 5: by hand there).
func (s *schedule) observe(testError float64) {
	if testError < s.best {
		s.best, s.waited = testError, 0
		return
	}
	if s.waited++; s.waited >= s.Patience && s.dropped < s.Drops {
		s.dropped++
		s.waited = 0
	}
}

// progress is what a schedule has learned from the epochs so far.
type progress struct {
	Best    experiments.Number `json:"best"`
	Waited  int                `json:"waited"`
	Dropped int                `json:"dropped"`
}

func (s *schedule) progress() progress {
	return progress{experiments.Number(s.best), s.waited, s.dropped}
}

func (s *schedule) restore(p progress) {
	s.best, s.waited, s.dropped = float64(p.Best), p.Waited, p.Dropped
}
