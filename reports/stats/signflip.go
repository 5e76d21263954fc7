package stats

import (
	"math"
	"math/rand/v2"
)

// ExactPairs is the most pairs for which SignFlip counts every pattern.
const ExactPairs = 20

// sampledPatterns is how many patterns SignFlip draws beyond ExactPairs: the standard error at p = 0.05 is 0.0007.
const sampledPatterns = 100_000

// SignFlip is the two-sided p value of the paired sign-flip test (Fisher, The
// Design of Experiments, 1935, section 21): if neither side is better, each
// difference could as well have had the other sign, so
//
//	p = share of the 2^k sign patterns with |Σ ±d| ≥ |Σ d|
//
// It needs no normal distribution, and with few pairs it cannot be small: never
// below 2/2^k. Up to ExactPairs pairs the patterns are counted, beyond that
// drawn from a fixed stream, p = (1+hits)/(1+draws) (Davison and Hinkley,
// Bootstrap Methods and their Application, 1997, equation 4.11). With no pairs p
// is 1, with a difference that is no number NaN.
func SignFlip(d []float64) float64 {
	if len(d) == 0 {
		return 1
	}
	sum, size := 0.0, 0.0
	for _, v := range d {
		sum += v
		size += math.Abs(v)
	}
	if math.IsNaN(size) || math.IsInf(size, 0) {
		return math.NaN()
	}
	// Patterns that are equal on paper may differ in their last bits. Error rates
	// are multiples of one test image, so real differences are far larger than this.
	reached := math.Abs(sum) - 1e-10*size
	if len(d) > ExactPairs {
		return sampledSignFlip(d, reached)
	}
	// A pattern and its mirror give the same |sum|: the first sign may stay.
	sums := make([]float64, 1, 1<<(len(d)-1))
	sums[0] = d[0]
	for _, v := range d[1:] {
		for i, s := range sums {
			sums[i] = s + v
			sums = append(sums, s-v)
		}
	}
	hits := 0
	for _, s := range sums {
		if math.Abs(s) >= reached {
			hits++
		}
	}
	return float64(hits) / float64(len(sums))
}

func sampledSignFlip(d []float64, reached float64) float64 {
	random := rand.New(rand.NewPCG(0x9e3779b97f4a7c15, uint64(len(d))))
	hits := 0
	for range sampledPatterns {
		s, bits := 0.0, uint64(0)
		for i, v := range d {
			if i%64 == 0 {
				bits = random.Uint64()
			}
			if bits&1 == 0 {
				v = -v
			}
			bits >>= 1
			s += v
		}
		if math.Abs(s) >= reached {
			hits++
		}
	}
	return float64(1+hits) / float64(1+sampledPatterns)
}
