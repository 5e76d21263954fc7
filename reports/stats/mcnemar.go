package stats

import "gonum.org/v1/gonum/stat/distuv"

// A McNemar compares two trained nets on the same test images. It speaks of
// these two nets only, not of the recipes they came from: another seed is
// another net (Dietterich, "Approximate statistical tests for comparing
// supervised classification learning algorithms", Neural Computation 10, 1998).
type McNemar struct {
	OnlyFirst  int     // images that only the first net classifies rightly
	OnlySecond int     // and only the second
	P          float64 // two-sided
}

// CompareNets is McNemar's test in its exact form (McNemar, "Note on the sampling
// error of the difference between correlated proportions", Psychometrika 12,
// 1947): where the nets err equally often, each image that only one of them gets
// right is as likely the one's as the other's, so
//
//	p = 2 · P(Bin(b+c, ½) ≤ min(b, c)), at most 1
//
// onlyFirst and onlySecond are b and c.
func CompareNets(onlyFirst, onlySecond int) McNemar {
	m := McNemar{onlyFirst, onlySecond, 1}
	if n := onlyFirst + onlySecond; n > 0 {
		fewer := distuv.Binomial{N: float64(n), P: 0.5}.CDF(float64(min(onlyFirst, onlySecond)))
		m.P = min(1, 2*fewer)
	}
	return m
}
