package train

import (
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ablate/recipe"
)

// series returns a schedule's learning rates over epochs with the given errors.
func series(s recipe.Schedule, epochs int, errors ...float64) []float64 {
	sched := newSchedule(s, 1, epochs)
	var out []float64
	for e := range epochs {
		out = append(out, math.Round(1e6*sched.rate(float64(e)))/1e6)
		if e < len(errors) {
			sched.observe(errors[e])
		}
	}
	return out
}

func TestSchedules(t *testing.T) {
	for name, c := range map[string]struct {
		s      recipe.Schedule
		epochs int
		errors []float64
		want   []float64
	}{
		"constant": {recipe.Schedule{Kind: "constant"}, 3, nil, []float64{1, 1, 1}},
		"step":     {recipe.Schedule{Kind: "step", At: []int{1, 3}, Factor: 0.1}, 5, nil, []float64{1, 0.1, 0.1, 0.01, 0.01}},
		"plateau": {recipe.Schedule{Kind: "plateau", Factor: 0.5, Patience: 2, Drops: 1}, 8,
			[]float64{0.9, 0.8, 0.8, 0.85, 0.7, 0.7, 0.7}, []float64{1, 1, 1, 1, 0.5, 0.5, 0.5, 0.5}},
		// cuda-convnet2's dexp over 8 epochs in 4 steps, ending at 1/1000: each step divides by 10.
		"discrete_exp": {recipe.Schedule{Kind: "discrete_exp", Target: 1000, Steps: 4}, 8, nil,
			[]float64{1, 1, 0.1, 0.1, 0.01, 0.01, 0.001, 0.001}},
	} {
		if d := cmp.Diff(c.want, series(c.s, c.epochs, c.errors...)); d != "" {
			t.Errorf("%s (-want +got):\n%s", name, d)
		}
	}
}

// Schedules that change at every step have the rates worked out by hand.
func TestContinuousSchedules(t *testing.T) {
	for name, c := range map[string]struct {
		s    recipe.Schedule
		want map[float64]float64 // for 10 epochs: epochs done → rate, from 2
	}{
		"linear": {recipe.Schedule{Kind: "linear"}, map[float64]float64{0: 2, 2.5: 1.5, 5: 1, 9.5: 0.1}},
		"square": {recipe.Schedule{Kind: "poly", Power: 2}, map[float64]float64{0: 2, 2.5: 1.125, 5: 0.5, 9.5: 0.005}},
		"sqrt":   {recipe.Schedule{Kind: "poly", Power: 0.5}, map[float64]float64{0: 2, 7.5: 1, 9.1: 0.6}},
		"exp":    {recipe.Schedule{Kind: "exp", Target: 10000}, map[float64]float64{0: 2, 2.5: 0.2, 5: 0.02, 7.5: 0.002}},
		"step": {recipe.Schedule{Kind: "step", At: []int{3}, Factor: 0.5},
			map[float64]float64{0: 2, 2.9: 2, 3: 1, 3.5: 1}},
		"constant": {recipe.Schedule{Kind: "constant"}, map[float64]float64{0: 2, 9.9: 2}},
		"dexp": {recipe.Schedule{Kind: "discrete_exp", Target: 8, Steps: 4},
			map[float64]float64{0: 2, 2.9: 2, 3: 1, 5: 0.5, 7.9: 0.5, 8: 0.25, 9.9: 0.25}},
		"dexp of 2": {recipe.Schedule{Kind: "discrete_exp", Target: 10, Steps: 2}, map[float64]float64{0: 2, 4.9: 2, 5: 0.2}},
	} {
		sched := newSchedule(c.s, 2, 10)
		for done, want := range c.want {
			if got := sched.rate(done); math.Abs(got-want) > 1e-12 {
				t.Errorf("%s: rate %v after %v epochs, want %v", name, got, done, want)
			}
		}
	}
}
