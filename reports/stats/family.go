package stats

import (
	"cmp"
	"math"
	"slices"
)

// Holm adjusts the p values of a family of comparisons so that the chance of
// even one false claim stays below the level (Holm, "A simple sequentially
// rejective multiple test procedure", Scandinavian Journal of Statistics 6, 1979):
//
//	adjusted p_(i) = max over j ≤ i of min(1, (m−j+1)·p_(j))
//
// m is len(p). NaN marks a comparison that was declared but could not be made:
// it counts in m and stays NaN.
func Holm(p []float64) []float64 {
	order := make([]int, len(p))
	for i := range order {
		order[i] = i
	}
	rank := func(v float64) float64 {
		if math.IsNaN(v) {
			return math.Inf(1)
		}
		return v
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(rank(p[a]), rank(p[b])) })
	adjusted := make([]float64, len(p))
	highest := 0.0
	for j, i := range order {
		if math.IsNaN(p[i]) {
			adjusted[i] = p[i]
			continue
		}
		highest = max(highest, min(1, float64(len(p)-j)*p[i]))
		adjusted[i] = highest
	}
	return adjusted
}
