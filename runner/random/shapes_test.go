package random

import (
	"math"
	"testing"
)

func TestExponential(t *testing.T) {
	for x := -30.0; x < 30; x += 0.0137 {
		if got, want := exponential(x), math.Exp(x); math.Abs(got-want) > 4e-16*want*math.Max(1, math.Abs(x)) {
			t.Errorf("exponential(%v) = %v, want %v", x, got, want)
		}
	}
}

// Draws have the mean and the variance of their distributions.
func TestShapesOfDraws(t *testing.T) {
	const n = 20_000
	for _, c := range []struct {
		name           string
		draw           func(i uint64) float64
		mean, variance float64
	}{
		{"beta 1", func(i uint64) float64 { return New(1, "b").Beta(0, i, 1) }, 0.5, 1.0 / 12},
		{"beta 0.2", func(i uint64) float64 { return New(1, "b").Beta(1, i, 0.2) }, 0.5, 0.25 / 1.4},
		{"beta 3", func(i uint64) float64 { return New(1, "b").Beta(2, i, 3) }, 0.5, 0.25 / 7},
		{"logarithm", func(i uint64) float64 { return math.Log(New(1, "l").LogUniform(0, i, 0.5, 2)) }, 0,
			math.Ln2 * math.Ln2 / 3},
	} {
		var sum, squares float64
		for i := range uint64(n) {
			x := c.draw(i)
			sum += x
			squares += x * x
		}
		mean := sum / n
		variance := squares/n - mean*mean
		if math.Abs(mean-c.mean) > 5*math.Sqrt(c.variance/n) || math.Abs(variance/c.variance-1) > 0.05 {
			t.Errorf("%s: mean %v, variance %v; want %v, %v", c.name, mean, variance, c.mean, c.variance)
		}
	}
}
