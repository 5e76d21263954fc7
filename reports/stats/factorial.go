package stats

import "math/bits"

// Contrast is the effect of a set of factors in a two-level factorial design:
//
//	1/2^(f−1) · Σ over cells (−1)^(factors of the set that are off in the cell) · y
//
// (Yates, The Design and Analysis of Factorial Experiments, 1937; Box, Hunter
// and Hunter, Statistics for Experimenters, 2nd ed. 2005, section 5.5). For one
// factor it is its main effect: the mean with the factor on minus the mean with
// it off. For two it is half of how much the effect of one changes when the
// other is on.
//
// y has a value for each of the 2^f cells; bit i of a cell's index says whether
// factor i is on. set has the bits of the factors, at least one.
func Contrast(y []float64, set uint) float64 {
	sum := 0.0
	for cell, v := range y {
		if bits.OnesCount(set&^uint(cell))%2 == 1 {
			v = -v
		}
		sum += v
	}
	return sum / float64(len(y)/2)
}
