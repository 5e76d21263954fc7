package stats

import (
	"math"
	"slices"
)

// WorstRanks turns paired differences into scores that count a diverged run as the worst possible outcome (O'Brien,
// "Procedures for comparing samples with multiple endpoints", Biometrics 40, 1984; Lachin, "Worst-rank score analysis",
// Controlled Clinical Trials 20, 1999). +Inf marks a seed under which only the variant diverged, −Inf one under which
// only the rival did. Scores are Wilcoxon's signed ranks with ties at their mean; the infinite differences rank above
// all others. Flipping the sign of a seed's difference flips its score's sign, so the sign-flip tests are as exact for
// scores as for differences. NaN, a seed that was not run, stays NaN. A seed under which both diverged has a difference
// of 0.
func WorstRanks(d []float64) []float64 {
	sizes := make([]float64, 0, len(d))
	for _, v := range d {
		if !math.IsNaN(v) {
			sizes = append(sizes, math.Abs(v))
		}
	}
	slices.Sort(sizes)
	scores := make([]float64, len(d))
	for i, v := range d {
		switch size := math.Abs(v); {
		case math.IsNaN(v):
			scores[i] = v
		case v != 0:
			below, _ := slices.BinarySearch(sizes, size)
			above := below
			for above < len(sizes) && sizes[above] == size {
				above++
			}
			scores[i] = math.Copysign(float64(below+1+above)/2, v)
		}
	}
	return scores
}

// FisherExact returns the two-sided p value of Fisher's exact test (Statistical Methods for Research Workers, 5th ed.
// 1934, section 21.02) that an outcome is as likely in n runs, of which a had it, as in m runs, of which b had it. It
// is the hypergeometric probability of all tables with these margins that are no likelier than the observed one.
func FisherExact(a, n, b, m int) float64 {
	log := func(x int) float64 { return lnChoose(n, x) + lnChoose(m, a+b-x) - lnChoose(n+m, a+b) }
	observed := log(a)
	p := 0.0
	for x := max(0, a+b-m); x <= min(n, a+b); x++ {
		if l := log(x); l <= observed+1e-7 {
			p += math.Exp(l)
		}
	}
	return min(p, 1)
}

// lnChoose returns the logarithm of the binomial coefficient n over k.
func lnChoose(n, k int) float64 {
	a, _ := math.Lgamma(float64(n + 1))
	b, _ := math.Lgamma(float64(k + 1))
	c, _ := math.Lgamma(float64(n - k + 1))
	return a - b - c
}
