package stats

import (
	"math"
	"slices"

	"gonum.org/v1/gonum/stat/distuv"
)

// A Paired summarises paired differences: variant minus baseline, seed by seed.
type Paired struct {
	Estimate         // the mean difference; its Interval is Student's, of this comparison alone
	P        float64 // SignFlip's p value
}

// ComparePaired summarises differences and tests whether they differ from 0.
func ComparePaired(d []float64) Paired { return Paired{Summarise(d), SignFlip(d)} }

// A Compared is the result of one row among the others of its family.
type Compared struct {
	Paired
	Range
	Alpha    float64 // family-wise error rate that may be spent: 0 claims nothing
	Adjusted float64 // MaxT's p
	Sign     int     // sign of the statistic that is tested
	Seeds    int     // pairs that were tested: K and those of which one side diverged
}

// CompareFamily compares the rows of a family at the family-wise error rate alpha. d has the differences by row and
// seed, in the form that MaxT takes. A seed under which only the variant diverged is +Inf, one under which only its
// rival did −Inf. Such a row is tested by its WorstRanks, and has no simultaneous interval, since the test is not about
// a mean.
func CompareFamily(d [][]float64, alpha float64) []Compared {
	all := make([]Compared, len(d))
	tested, scored := make([][]float64, len(d)), make([][]float64, len(d))
	for j, row := range d {
		tested[j] = row
		ranked := slices.ContainsFunc(row, func(v float64) bool { return math.IsInf(v, 0) })
		if ranked {
			tested[j] = WorstRanks(row)
		}
		finished := slices.DeleteFunc(slices.Clone(row), func(v float64) bool { return !finite(v) })
		scores := slices.DeleteFunc(slices.Clone(tested[j]), math.IsNaN)
		scored[j] = scores
		all[j] = Compared{Paired: Paired{Estimate: Summarise(finished)}, Alpha: alpha, Seeds: len(scores)}
		switch mean := meanOf(scores); {
		case mean > 0:
			all[j].Sign = 1
		case mean < 0:
			all[j].Sign = -1
		}
	}
	adjusted := MaxT(tested)
	ranges := Simultaneous(tested, adjusted, alpha)
	for j, p := range SignFlips(scored) {
		all[j].P, all[j].Adjusted = p, adjusted[j]
		if all[j].Seeds == all[j].K {
			all[j].Range = ranges[j]
		}
	}
	return all
}

// A Word is the verdict that a comparison allows.
type Word string

// The verdicts, from a claim to none.
const (
	Better     Word = "better" // the error is lower
	Worse      Word = "worse"
	More       Word = "more than the sum" // of an interaction: the figure is higher than the parts add up to
	Less       Word = "less than the sum"
	Same       Word = "same" // within the margin
	NoEvidence Word = "no evidence"
	TooFew     Word = "too few seeds"
)

// Claims reports whether the word claims a difference.
func (w Word) Claims() bool { return w == Better || w == Worse || w == More || w == Less }

// A Verdict is a word and the figures needed to read it.
type Verdict struct {
	Word   Word
	Needs  int     // TooFew: pairs needed before any claim is possible
	Beyond float64 // NoEvidence: the data rule out differences beyond ±Beyond; 0 where they rule out none
	Margin float64 // Same: the margin that the difference is within
}

// Judge returns the verdict on a comparison of error rates. A row is claimed if its adjusted p is at most
// Alpha, which is exactly if its simultaneous interval excludes 0. It is the same within ±margin
// if the interval at 1 − 2·Alpha lies inside: two one-sided tests (Schuirmann, "A comparison of the two
// one-sided tests procedure and the power approach", J. Pharmacokinetics and Biopharmaceutics 15, 1987), over
// the family. Without a margin, 0, nothing is called the same.
func Judge(c Compared, margin float64) Verdict {
	switch {
	case c.Adjusted <= c.Alpha && c.Sign < 0:
		return Verdict{Word: Better}
	case c.Adjusted <= c.Alpha:
		return Verdict{Word: Worse}
	case c.Within != nil && margin > 0 && c.Within.Bound() < margin:
		return Verdict{Word: Same, Margin: margin}
	case c.Seeds < NeededPairs || c.Alpha > 0 && smallestP(c.Seeds) > c.Alpha:
		return Verdict{Word: TooFew, Needs: neededPairs(c.Alpha)}
	case c.Within != nil:
		return Verdict{Word: NoEvidence, Beyond: c.Within.Bound()}
	}
	return Verdict{Word: NoEvidence}
}

// JudgeInteraction returns the verdict on an interaction. An interaction is a departure from the sum of the parts, so
// neither sign of it is better or worse.
func JudgeInteraction(c Compared, margin float64) Verdict {
	v := Judge(c, margin)
	switch v.Word {
	case Better:
		v.Word = Less
	case Worse:
		v.Word = More
	}
	return v
}

// NeededPairs is the fewest seeds with which a claim is possible, in a family of any size: the
// smallest k with 2/2^k ≤ Alpha.
const NeededPairs = 6

// neededPairs is NeededPairs for another level. A level of 0 claims nothing with any number of pairs.
func neededPairs(alpha float64) int {
	k := NeededPairs
	for alpha > 0 && smallestP(k) > alpha {
		k++
	}
	return k
}

// smallestP returns the smallest two-sided p that the sign-flip test of k pairs can reach.
func smallestP(k int) float64 { return math.Ldexp(2, -k) }

// SmallestEffect is the mean difference that k pairs whose differences spread
// by sd would show with probability Power, as the first of m comparisons by MaxT: the larger of two bounds.
//
// The t test's is (Bloom, "Minimum detectable effects", Evaluation Review 19, 1995)
//
//	(t(k−1; 1−Alpha/2m) + t(k−1; Power)) · sd / √k
//
// The sign-flip test of six pairs rejects only when all differences have one sign, which normal differences do with
// probability Φ(x/sd)^k, and when no other row reaches as far under any other pattern of signs, for which
// simulated studies of up to 32 rows need 0.62 · ln m more, so
//
//	sd · (Φ⁻¹(Power^(1/k)) + 0.62 · ln m)
//
// It is +Inf where k pairs can show nothing at all. `just simulate` prints the power of the max-T test at this effect.
func SmallestEffect(sd float64, k, m int) float64 {
	if k < NeededPairs {
		return math.Inf(1)
	}
	m = max(m, 1)
	x := (quantileT(1-Alpha/float64(2*m), k) + quantileT(Power, k)) / math.Sqrt(float64(k))
	if 2*smallestP(k) > Alpha {
		x = max(x, distuv.UnitNormal.Quantile(math.Pow(Power, 1/float64(k)))+0.62*math.Log(float64(m)))
	}
	return x * sd
}

// PairsFor is how many pairs a design needs to show a mean difference of effect
// whose differences spread by sd, with probability Power and as the first of m
// comparisons: the smallest k with SmallestEffect(sd, k, m) ≤ |effect|. It is 0
// where maxPairs are not enough.
func PairsFor(effect, sd float64, m int) int {
	for k := NeededPairs; k <= maxPairs; k++ {
		if SmallestEffect(sd, k, m) <= math.Abs(effect) {
			return k
		}
	}
	return 0
}

// maxPairs is the most seeds that PairsFor would recommend.
const maxPairs = 1000
