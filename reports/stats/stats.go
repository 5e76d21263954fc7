// Package stats computes what a handful of seeds can show: spread, intervals, a
// paired test that is exact for few pairs, the correction for several
// comparisons, and what a design could have shown.
//
// All functions take shares (0..1) or their differences and return the same. The
// same numbers in the same order give the same bits: nothing here depends on a
// clock.
package stats

import (
	"math"
	"slices"

	"gonum.org/v1/gonum/stat"
	"gonum.org/v1/gonum/stat/distuv"
)

// The levels of all verdicts.
const (
	Alpha = 0.05 // family-wise error rate
	Level = 0.95 // level of the intervals
	Power = 0.80 // at which the smallest visible effect is stated (Cohen, Statistical Power Analysis, 1988, 2.4)
)

// An Interval is a two-sided confidence interval.
type Interval struct{ Low, High float64 }

// Excludes reports whether x lies outside the interval.
func (i Interval) Excludes(x float64) bool { return x < i.Low || x > i.High }

// An Estimate summarises K values as an estimate of their mean.
type Estimate struct {
	K        int
	Mean     float64
	SD       float64   // with K−1 in the denominator; 0 where K < 2
	Interval *Interval // Level interval of the mean; nil where K < 2
}

// Summarise returns mean, standard deviation and t interval. Without values it returns zeros.
func Summarise(x []float64) Estimate {
	e := Estimate{K: len(x)}
	if e.K > 0 {
		e.Mean = stat.Mean(x, nil)
	}
	if e.K > 1 {
		e.SD = stat.StdDev(x, nil)
		half := e.SD * HalfWidth(e.K)
		e.Interval = &Interval{e.Mean - half, e.Mean + half}
	}
	return e
}

// HalfWidth returns half the Level interval of a mean of k ≥ 2 values, in standard
// deviations: t(k−1; 1 − (1−Level)/2) / √k (Student, "The probable error of a
// mean", Biometrika 6, 1908).
func HalfWidth(k int) float64 {
	return quantileT(1-(1-Level)/2, k) / math.Sqrt(float64(k))
}

// quantileT returns the quantile of Student's t with k−1 degrees of freedom.
func quantileT(p float64, k int) float64 {
	return distuv.StudentsT{Mu: 0, Sigma: 1, Nu: float64(k - 1)}.Quantile(p)
}

// Median returns the middle value, or the mean of the middle two. It is NaN without values.
func Median(x []float64) float64 {
	n := len(x)
	if n == 0 {
		return math.NaN()
	}
	s := slices.Sorted(slices.Values(x))
	return (s[(n-1)/2] + s[n/2]) / 2
}

// SameDifference is a spread that no two error rates can have unless they are
// the same: far below one test image.
const SameDifference = 1e-9
