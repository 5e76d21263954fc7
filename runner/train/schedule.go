package train

import (
	"cmp"
	"math"

	"ablate/experiments"
	"ablate/recipe"
)

// A schedule sets the learning rate at each point of training.
type schedule struct {
	recipe.Schedule
	base   float64
	epochs int

	// The observations of a plateau.
	best    float64 // lowest error so far
	waited  int     // epochs since then
	dropped int     // how often the rate has been lowered
}

func newSchedule(s recipe.Schedule, base float64, epochs int) *schedule {
	return &schedule{Schedule: s, base: base, epochs: max(epochs, 1), best: math.Inf(1)}
}

// rate returns the learning rate after done epochs, the last of which may be incomplete.
func (s *schedule) rate(done float64) float64 {
	if done < s.Warmup {
		from := cmp.Or(s.WarmupFrom, 0.01)
		return s.base * (from + (1-from)*done/s.Warmup)
	}
	epoch, p := int(done), (done-s.Warmup)/(float64(s.epochs)-s.Warmup)
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
		// In cuda-convnet2's dexp, Steps equal stretches of training each have a rate that is lower by
		// the same factor. The last rate is base/Target.
		if s.Steps < 2 {
			return s.base
		}
		stage := min(epoch*s.Steps/s.epochs, s.Steps-1)
		return s.base * math.Pow(s.Target, -float64(stage)/float64(s.Steps-1))
	case "linear":
		return s.base * (1 - p)
	case "poly":
		return s.base * math.Pow(1-p, s.Power)
	case "exp":
		return s.base * math.Pow(s.Target, -p)
	case "cosine":
		return s.Floor + (s.base-s.Floor)*(1+math.Cos(math.Pi*p))/2
	default:
		return s.base
	}
}

// observe records an epoch's error on images that are not trained on. A plateau lowers the rate
// when the error has not fallen for Patience epochs (in the paper, section 5, this was done by
// hand).
func (s *schedule) observe(err float64) {
	if err < s.best {
		s.best, s.waited = err, 0
		return
	}
	if s.waited++; s.waited >= s.Patience && s.dropped < s.Drops {
		s.dropped++
		s.waited = 0
	}
}

// scheduleState holds the state of a schedule in a checkpoint.
type scheduleState struct {
	Best    experiments.Number `json:"best"`
	Waited  int                `json:"waited"`
	Dropped int                `json:"dropped"`
}

func (s *schedule) state() scheduleState {
	return scheduleState{Best: experiments.Number(s.best), Waited: s.waited, Dropped: s.dropped}
}

func (s *schedule) restore(from scheduleState) {
	s.best, s.waited, s.dropped = float64(from.Best), from.Waited, from.Dropped
}
