package runner

import (
	"math"

	"ablate/experiments"
	"ablate/recipe"
)

// A schedule gives the learning rate at each point of training.
type schedule struct {
	recipe.Schedule
	base   float64
	epochs int

	best    float64 // plateau: lowest error so far
	waited  int     // epochs since
	dropped int
}

func newSchedule(of recipe.Schedule, base float64, epochs int) *schedule {
	return &schedule{Schedule: of, base: base, epochs: epochs, best: math.Inf(1)}
}

// rate is the learning rate when done epochs and a part of the next are trained.
func (s *schedule) rate(done float64) float64 {
	epoch := int(done)
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
	case "linear":
		return s.base * (1 - done/float64(s.epochs))
	case "poly":
		return s.base * math.Pow(1-done/float64(s.epochs), s.Power)
	case "exp":
		return s.base * math.Pow(s.Target, -done/float64(s.epochs))
	default:
		return s.base
	}
}

// observe tells the schedule an epoch's error on images that are not trained on. Plateau drops the rate when
// it has not fallen for Patience epochs (paper, section 5: by hand there).
func (s *schedule) observe(found float64) {
	if found < s.best {
		s.best, s.waited = found, 0
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
