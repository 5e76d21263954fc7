package stats

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// The figures are scipy 1.17's fisher_exact.
func TestFisherExact(t *testing.T) {
	for _, c := range []struct {
		a, n, b, m int
		want       float64
	}{
		{a: 4, n: 8, b: 0, m: 8, want: 0.07692307692307693}, {a: 7, n: 8, b: 0, m: 8, want: 0.0013986013986013986},
		{a: 3, n: 8, b: 1, m: 8, want: 0.5692307692307692},
		{a: 2, n: 20, b: 5, m: 12, want: 0.07346481845925672}, {a: 0, n: 5, b: 0, m: 5, want: 1},
	} {
		if got := FisherExact(c.a, c.n, c.b, c.m); !near(got, c.want, 1e-12) {
			t.Errorf("%d of %d, %d of %d: %v, want %v", c.a, c.n, c.b, c.m, got, c.want)
		}
	}
}

func TestWorstRanks(t *testing.T) {
	nan, inf := math.NaN(), math.Inf(1)
	got := WorstRanks([]float64{1.5, -2, inf, nan, 3, inf, 0, 2, -inf})
	for i, want := range []float64{2, -3.5, 7, nan, 5, 7, 0, 3.5, -7} {
		if got[i] != want && !(math.IsNaN(want) && math.IsNaN(got[i])) {
			t.Errorf("score %d: %v, want %v", i, got[i], want)
		}
	}
}

// The figures are scipy 1.17's t.cdf with loc and scale.
func TestPosterior(t *testing.T) {
	for _, c := range []struct {
		of            Estimate
		margin        float64
		lower, within float64
	}{
		{Estimate{K: 3, Mean: -0.012, SD: 0.01}, 0.01, 0.9133836909571628, 0.34979982866716575},
		{Estimate{K: 5, Mean: 0.004, SD: 0.02}, 0.01, 0.33893441434962474, 0.6341708419905212},
		{Estimate{K: 2, Mean: -0.5, SD: 0.3}, 1, 0.8722790679243952, 0.8275598069492375},
	} {
		if got := PosteriorOf(c.of, c.margin); !near(got.Lower, c.lower, 1e-9) || !near(got.Within, c.within, 1e-9) {
			t.Errorf("%+v: %+v, want %v and %v", c.of, *got, c.lower, c.within)
		}
	}
	if PosteriorOf(Estimate{K: 1, Mean: 3}, 1) != nil || PosteriorOf(Estimate{K: 4, Mean: 3}, 1) != nil {
		t.Error("a posterior of one value, or of values without spread")
	}
}

// The figures are numpy's, by the sums of squares of the two-way table.
func TestCrossSeedsAndImages(t *testing.T) {
	d := [][]int8{{1, 0, -1, 1, 0, 1, 0, 0}, {1, 1, -1, 0, 0, 1, 0, 1}, {0, 1, 0, 1, -1, 1, 0, 0}}
	c := CrossSeedsAndImages(d, Level)
	if !near(c.Mean, 0.2916666666666667, 1e-12) || !near(c.SeedError, 0.04166666666666667, 1e-12) ||
		!near(c.ImageError, 0.20351572615808047, 1e-12) || !near(c.Error, 0.20351572615808047, 1e-12) || !c.Dominates() {
		t.Errorf("%+v", c)
	}
	if !near(c.Interval.Low, -0.19407118211713237, 1e-6) || !near(c.Interval.High, 0.7774045154504657, 1e-6) {
		t.Errorf("interval %v", *c.Interval)
	}
	if c := CrossSeedsAndImages(nil, Level); c != (Crossed{}) {
		t.Errorf("of nothing: %+v", c)
	}
	if c := CrossSeedsAndImages([][]int8{{1, 0}}, Level); c.Interval != nil || c.Mean != 0.5 {
		t.Errorf("of one seed: %+v", c)
	}
}

// With effects of both kinds drawn, the two-way interval holds the true mean about 95 times in a hundred. The interval
// over seeds alone holds it far less often.
func TestCrossedCovers(t *testing.T) {
	const trials, k, n = 400, 8, 100
	random := rand.New(rand.NewPCG(35, 36))
	covered, bySeeds := 0, 0
	for range trials {
		d := make([][]int8, k)
		images := normal(random, n, 0)
		for s := range d {
			seed := 0.1 * random.NormFloat64()
			d[s] = make([]int8, n)
			for i := range d[s] {
				switch v := seed + images[i] + 0.3*random.NormFloat64(); {
				case v > 1:
					d[s][i] = 1
				case v < -1:
					d[s][i] = -1
				}
			}
		}
		c := CrossSeedsAndImages(d, Level)
		if !c.Interval.Excludes(0) {
			covered++
		}
		if math.Abs(c.Mean) <= c.SeedError*HalfWidth(k)*math.Sqrt(k) {
			bySeeds++
		}
	}
	if share := float64(covered) / trials; share < 0.91 || share > 0.99 {
		t.Errorf("two-way intervals cover in %.3f", share)
	}
	if share := float64(bySeeds) / trials; share > 0.7 {
		t.Errorf("intervals over seeds alone cover in %.3f: the images do not matter here", share)
	}
}

// The error rates spent by each of three equal looks are those that R's gsDesign and rpact print for Lan and DeMets's
// spending functions at a one-sided 0.025: 0.0001, 0.0060, 0.0250 after O'Brien and Fleming, 0.0113, 0.0191, 0.0250
// after Pocock. A normal boundary would be wider at the later looks, but it claimed something in 5.2 % of simulated
// studies.
func TestSequentialLevels(t *testing.T) {
	for spending, oneSided := range map[Spending][]float64{OBrienFleming: {0.0001, 0.0060, 0.0250},
		Pocock: {0.0113, 0.0191, 0.0250}} {
		got, err := SequentialLevels([]int{20, 40, 60}, spending)
		if err != nil {
			t.Fatal(err)
		}
		spent := 0.0
		for i := range oneSided {
			if spent += got[i]; !near(spent, 2*oneSided[i], 1e-4) {
				t.Errorf("%s, look %d: %v spent, want %v", spending, i+1, spent, 2*oneSided[i])
			}
		}
	}
	// Six seeds reach 0.031 at least, a level that O'Brien and Fleming's first look of three does not
	// have: it is left to the rest.
	got, err := SequentialLevels([]int{6, 8, 12}, OBrienFleming)
	if err != nil || got[0] != 0 || !near(got[1]+got[2], Alpha, 1e-12) || got[2] < 0.035 {
		t.Errorf("levels %v, %v", got, err)
	}
	for _, bad := range [][]int{{8, 6}, {0, 4}, {6, 6}} {
		if _, err := SequentialLevels(bad, Pocock); err == nil {
			t.Errorf("looks %v are accepted", bad)
		}
	}
	if _, err := SequentialLevels([]int{6}, "none"); err == nil {
		t.Error("an unknown spending is accepted")
	}
}

// Three looks at studies without a difference claim something in no more than Alpha of them.
func TestSequentialFalseClaims(t *testing.T) {
	const trials = 2000
	looks := []int{6, 8, 12}
	for _, spending := range []Spending{Pocock, OBrienFleming} {
		levels, err := SequentialLevels(looks, spending)
		if err != nil {
			t.Fatal(err)
		}
		random := rand.New(rand.NewPCG(37, 38))
		claims := 0
		for range trials {
			d := study(random, noises["normal"], looks[2], 2, 0)
			for i, k := range looks {
				p := MaxT([][]float64{d[0][:k], d[1][:k]})
				if slices.Min(p) <= levels[i] {
					claims++
					break
				}
			}
		}
		if share, bound := float64(claims)/trials, Alpha+3*math.Sqrt(Alpha*(1-Alpha)/trials); share > bound {
			t.Errorf("%s: a false claim in %.4f of studies, at most %.4f may be; levels %v", spending, share, bound, levels)
		}
	}
}
