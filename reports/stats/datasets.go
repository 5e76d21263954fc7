package stats

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"

	"gonum.org/v1/gonum/integrate/quad"
	"gonum.org/v1/gonum/stat/distuv"
)

// ranks returns the ranks of values. The smallest has rank 1, and ties have their mean rank.
func ranks(x []float64) []float64 {
	order := make([]int, len(x))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return cmp.Compare(x[a], x[b]) })
	out := make([]float64, len(x))
	for i := 0; i < len(order); {
		j := i
		for j < len(order) && x[order[j]] == x[order[i]] {
			j++
		}
		for _, at := range order[i:j] {
			out[at] = float64(i+1+j) / 2
		}
		i = j
	}
	return out
}

// A Friedman compares variants over several data sets by their ranks.
type Friedman struct {
	MeanRanks []float64 // by variant; 1 is the lowest figure on every data set
	Chi2      float64   // corrected for ties
	P         float64
}

// FriedmanTest tests whether any variant ranks differently from the others (Friedman, JASA 32, 1937; Demšar,
// "Statistical comparisons of classifiers over multiple data sets", JMLR 7, 2006). figures are by data set and variant.
// p is from χ² with one degree of freedom less than there are variants.
func FriedmanTest(figures [][]float64) Friedman {
	n, k := float64(len(figures)), 0.0
	f := Friedman{P: 1}
	if n == 0 || len(figures[0]) < 2 {
		return f
	}
	k = float64(len(figures[0]))
	f.MeanRanks = make([]float64, len(figures[0]))
	ties := 0.0
	for _, row := range figures {
		places := ranks(row)
		for j, r := range places {
			f.MeanRanks[j] += r / n
		}
		slices.Sort(places)
		for i := 0; i < len(places); {
			j := i
			for j < len(places) && places[j] == places[i] {
				j++
			}
			t := float64(j - i)
			ties += t * (t*t - 1)
			i = j
		}
	}
	sum := 0.0
	for _, r := range f.MeanRanks {
		sum += (r - (k+1)/2) * (r - (k+1)/2)
	}
	if c := 1 - ties/(n*k*(k*k-1)); c > 0 {
		f.Chi2 = 12 * n / (k * (k + 1)) * sum / c
		f.P = distuv.ChiSquared{K: k - 1}.Survival(f.Chi2)
	}
	return f
}

// CriticalDifference returns Nemenyi's critical difference. Among k variants over n data sets, two whose mean ranks lie
// further apart differ at Alpha (Demšar 2006, section 3.2.2). It is q·√(k(k+1)/6n), with q the studentised range's
// quantile for infinite degrees of freedom over √2.
func CriticalDifference(k, n int) float64 {
	low, high := 0.0, 20.0
	for range 60 {
		if q := (low + high) / 2; rangeTail(q, k) > Alpha {
			low = q
		} else {
			high = q
		}
	}
	return low / math.Sqrt2 * math.Sqrt(float64(k*(k+1))/float64(6*n))
}

// NemenyiP returns the p value of the difference of two mean ranks among k variants over n data sets.
func NemenyiP(difference float64, k, n int) float64 {
	return rangeTail(math.Abs(difference)/math.Sqrt(float64(k*(k+1))/float64(6*n))*math.Sqrt2, k)
}

// rangeTail returns the probability that k standard normal values range over more than q: 1 − k·∫φ(z)(Φ(z) −
// Φ(z−q))^(k−1) dz.
func rangeTail(q float64, k int) float64 {
	inner := func(z float64) float64 {
		n := distuv.UnitNormal
		return n.Prob(z) * math.Pow(n.CDF(z)-n.CDF(z-q), float64(k-1))
	}
	return max(0, 1-float64(k)*quad.Fixed(inner, -8, 8+q, 400, nil, 0))
}

// Wilcoxon returns the p value of the exact two-sided signed-rank test of differences over data sets (Wilcoxon,
// Biometrics Bulletin 1, 1945). It is the sign-flip test of their signed ranks, without differences of 0. It is exact
// for more than ExactPairs too, since ranks share a unit.
func Wilcoxon(d []float64) float64 {
	return SignFlip(WorstRanks(slices.DeleteFunc(slices.Clone(d), func(v float64) bool { return v == 0 })))
}

// PairwiseWilcoxon returns the p values of each variant against the first over several data sets, Holm-adjusted, as
// Benavoli, Corani and Mangili advise over Nemenyi's ranks (JMLR 17, 2016). figures are by data set and variant.
func PairwiseWilcoxon(figures [][]float64) []float64 {
	if len(figures) == 0 || len(figures[0]) < 2 {
		return nil
	}
	p := make([]float64, len(figures[0])-1)
	for j := range p {
		d := make([]float64, len(figures))
		for i, row := range figures {
			d[i] = row[j+1] - row[0]
		}
		p[j] = Wilcoxon(d)
	}
	return Holm(p)
}

// IQM returns the interquartile mean: the mean of the values without the lowest and the highest quarter, ⌊n/4⌋ of each
// (Agarwal et al., "Deep reinforcement learning at the edge of the statistical precipice", NeurIPS 2021). It is NaN
// without values.
func IQM(x []float64) float64 {
	s := slices.Sorted(slices.Values(x))
	return meanOf(s[len(s)/4 : len(s)-len(s)/4])
}

// AggregateIQM returns the interquartile mean over the runs of all data sets, with its stratified percentile bootstrap
// interval at Level. Runs are drawn within their data set, from a fixed stream (Agarwal et al. 2021, section 4.2). runs
// are by data set.
func AggregateIQM(runs [][]float64) (float64, Interval) {
	const draws = 10_000
	random := rand.New(rand.NewPCG(0x2545f4914f6cdd1d, uint64(len(runs))))
	means := make([]float64, draws)
	var pool []float64
	for i := range means {
		pool = pool[:0]
		for _, of := range runs {
			for range of {
				pool = append(pool, of[random.IntN(len(of))])
			}
		}
		means[i] = IQM(pool)
	}
	slices.Sort(means)
	return IQM(slices.Concat(runs...)), Interval{quantile(means, (1-Level)/2), quantile(means, 1-(1-Level)/2)}
}

// quantile returns a quantile of sorted values, with linear interpolation.
func quantile(sorted []float64, p float64) float64 {
	at := p * float64(len(sorted)-1)
	i := min(int(at), len(sorted)-2)
	return sorted[i] + (at-float64(i))*(sorted[i+1]-sorted[i])
}

// RankSum returns the sum of the signed ranks behind Wilcoxon's test of variant j against the first. It is below 0 if
// the variant's figures are the lower ones.
func RankSum(figures [][]float64, j int) float64 {
	var d []float64
	for _, row := range figures {
		if v := row[j] - row[0]; v != 0 {
			d = append(d, v)
		}
	}
	sum := 0.0
	for _, v := range WorstRanks(d) {
		sum += v
	}
	return sum
}
