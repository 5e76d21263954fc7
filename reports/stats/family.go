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

// NeededPairs is the fewest pairs with which the sign-flip test can reach Alpha
// after Holm's correction over m comparisons: the smallest k with m·2/2^k ≤ Alpha.
// It is 6 for one comparison, 8 for four.
func NeededPairs(m int) int {
	k := 1
	for float64(max(m, 1))*smallestP(k) > Alpha {
		k++
	}
	return k
}

// smallestP is the smallest two-sided p the sign-flip test of k pairs can give.
func smallestP(k int) float64 { return math.Ldexp(2, -k) }

// PairsFor is how many pairs a design needs to show a mean difference of effect
// whose differences spread by sd, with probability Power and as the first of m
// comparisons: the smallest k with SmallestEffect(sd, k, m) ≤ |effect|. It is 0
// where maxPairs are not enough.
func PairsFor(effect, sd float64, m int) int {
	for k := NeededPairs(m); k <= maxPairs; k++ {
		if SmallestEffect(sd, k, m) <= math.Abs(effect) {
			return k
		}
	}
	return 0
}

// maxPairs is the most seeds that PairsFor would send anyone out to train.
const maxPairs = 1000
