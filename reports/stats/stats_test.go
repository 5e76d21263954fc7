package stats

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"gonum.org/v1/gonum/stat/distuv"
)

func near(a, b, tolerance float64) bool { return math.Abs(a-b) <= tolerance }

// The expected figures of this file were computed apart from the program, by
// numerical integration of the densities to 20 digits and by enumeration in fractions.

func TestSummarise(t *testing.T) {
	e := Summarise([]float64{0.1231, 0.1250, 0.1204, 0.1242, 0.1219})
	if e.K != 5 || !near(e.Mean, 0.12292, 1e-15) || !near(e.SD, 0.0018294808006644945, 1e-15) {
		t.Errorf("got %+v", e)
	}
	if !near(e.Interval.Low, 0.12064839955440990, 1e-12) || !near(e.Interval.High, 0.12519160044559010, 1e-12) {
		t.Errorf("interval %+v", *e.Interval)
	}
	if e := Summarise(nil); e != (Estimate{}) {
		t.Errorf("of nothing: %+v", e)
	}
	if e := Summarise([]float64{0.5}); e.K != 1 || e.Mean != 0.5 || e.SD != 0 || e.Interval != nil {
		t.Errorf("of one value: %+v", e)
	}
	if e := Summarise([]float64{0.25, 0.25, 0.25}); e.SD != 0 || *e.Interval != (Interval{0.25, 0.25}) {
		t.Errorf("without variance: %+v", e)
	}
}

func TestHalfWidth(t *testing.T) {
	for k, want := range map[int]float64{
		2: 8.9846435320937607, 3: 2.4841377117503311, 5: 1.2416639982037646,
		8: 0.8360209217116298, 10: 0.7153569059706649, 20: 0.4680144064199199,
	} {
		if got := HalfWidth(k); !near(got, want, 1e-9) {
			t.Errorf("HalfWidth(%d) = %.12f, want %.12f", k, got, want)
		}
	}
}

func TestMedian(t *testing.T) {
	if got := Median([]float64{3, 1, 2}); got != 2 {
		t.Errorf("odd: %v", got)
	}
	if got := Median([]float64{4, 1, 2, 3}); got != 2.5 {
		t.Errorf("even: %v", got)
	}
	if got := Median(nil); !math.IsNaN(got) {
		t.Errorf("of none: %v", got)
	}
}

func TestSignFlip(t *testing.T) {
	for _, c := range []struct {
		name string
		d    []float64
		want float64
	}{
		{"no pairs", nil, 1},
		{"one pair", []float64{0.3}, 1},
		{"three of one sign cannot go below 1/4", []float64{3, 5, 7}, 1.0 / 4},
		{"mixed", []float64{1, -2, 3, 4}, 3.0 / 8},
		{"six of one sign", []float64{5, 5, 5, 5, 5, 5}, 1.0 / 32},
		{"ties", []float64{0, 0, 1, 2}, 1.0 / 2},
		{"all ties", []float64{0, 0, 0}, 1},
		{"eight, mixed", []float64{2, -1, 4, 3, -2, 6, 1, 5}, 11.0 / 128},
		{"eight of one sign", []float64{71, 52, 90, 66, 83, 47, 75, 80}, 1.0 / 128},
		{"ten, mixed", []float64{-12, 7, 3, -20, -5, -1, -9, -14, 2, -6}, 5.0 / 64},
	} {
		t.Run(c.name, func(t *testing.T) {
			// In shares the differences are not exact in binary: equal patterns must still count as equal.
			scaled, mirrored := make([]float64, len(c.d)), make([]float64, len(c.d))
			for i, v := range c.d {
				scaled[i] = (0.1 + v/10000) - 0.1
				mirrored[len(c.d)-1-i] = -v
			}
			for _, d := range [][]float64{c.d, scaled, mirrored} {
				if got := SignFlip(d); got != c.want {
					t.Errorf("SignFlip(%v) = %v, want %v", d, got, c.want)
				}
			}
		})
	}
}

func TestNotANumber(t *testing.T) {
	for _, bad := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
		pair := ComparePaired([]float64{bad, 1, 1, 1, 1, 1, 1, 1})
		if !math.IsNaN(pair.P) {
			t.Errorf("p of a difference of %v is %v", bad, pair.P)
		}
		got := Judge(CompareFamily([][]float64{{math.NaN(), 1, -1, 1, 1, -1, 1, 1}}, Alpha)[0], 0)
		if got.Word != NoEvidence {
			t.Errorf("verdict on a difference of %v: %+v", bad, got)
		}
	}
}

func TestSignFlipSampled(t *testing.T) {
	// The normal quantiles of 200 ranks have no common unit; their sign-flip distribution is close to
	// normal with variance Σd². A sum at its upper 2 % has p ≈ 0.04.
	d := make([]float64, 200)
	sum, squares := 0.0, 0.0
	for i := range d {
		d[i] = distuv.UnitNormal.Quantile((float64(i) + 0.5) / 200)
		squares += d[i] * d[i]
	}
	for i := range d { // flip the smallest until the sum is right
		if sum < 2.0537*math.Sqrt(squares) && d[i] < 0 {
			d[i] = -d[i]
			sum += 2 * d[i]
		}
	}
	want := 2 * distuv.UnitNormal.Survival(sum/math.Sqrt(squares))
	got := SignFlip(d)
	if !near(got, want, 4*math.Sqrt(want*(1-want)/float64(usual.drawn))+0.002) {
		t.Errorf("p = %v, want about %v", got, want)
	}
	if again := SignFlip(d); again != got {
		t.Errorf("a second call gave %v after %v", again, got)
	}
	for i := range d {
		d[i] = math.Abs(d[i])
	}
	if got := SignFlip(d); got != 1/float64(1+usual.drawn) {
		t.Errorf("200 of one sign: %v", got)
	}
}

func TestHolm(t *testing.T) {
	nan := math.NaN()
	for _, c := range []struct{ p, want []float64 }{
		{nil, []float64{}},
		{[]float64{0.03}, []float64{0.03}},
		// The third is 2·0.02 = 0.04 on its own: the running max keeps it at 0.045.
		{[]float64{0.01, 0.015, 0.02, 0.5}, []float64{0.04, 0.045, 0.045, 0.5}},
		{[]float64{0.5, 0.02, 0.015, 0.01}, []float64{0.5, 0.045, 0.045, 0.04}},
		{[]float64{0.02, 0.02}, []float64{0.04, 0.04}},
		{[]float64{0.9, 0.8}, []float64{1, 1}},
		{[]float64{nan, 0.01, nan}, []float64{nan, 0.03, nan}},
	} {
		got := Holm(c.p)
		if !slices.EqualFunc(got, c.want, func(a, b float64) bool {
			return near(a, b, 1e-15) || math.IsNaN(a) && math.IsNaN(b)
		}) {
			t.Errorf("Holm(%v) = %v, want %v", c.p, got, c.want)
		}
	}
}

func TestSmallestEffect(t *testing.T) {
	for _, c := range []struct {
		k, m int
		want float64 // in standard deviations
	}{
		{8, 1, 1.1528152404489284},
		{10, 4, 1.2631207983970405},
		{12, 8, 1.2256370755522342},
		{6, 1, 1.7927367205804206}, // only six of one sign reject
		{6, 4, 2.652239224474753},  // 1.93 was claimed in 57 % of simulated studies
		{8, 4, 1.4959991534201351},
		{5, 4, math.Inf(1)},
	} {
		if got := SmallestEffect(1, c.k, c.m); got != c.want && !near(got, c.want, 1e-9) {
			t.Errorf("SmallestEffect(1, %d, %d) = %v, want %v", c.k, c.m, got, c.want)
		}
	}
	if got := SmallestEffect(0, 8, 1); got != 0 {
		t.Errorf("without variance: %v", got)
	}
}

func TestJudge(t *testing.T) {
	worse := []float64{71, 52, 90, 66, 83, 47, 75, 80}
	nan, inf := math.NaN(), math.Inf(1)
	for _, c := range []struct {
		name   string
		d      []float64
		margin float64
		want   Verdict
	}{
		{"worse", worse, 0, Verdict{Word: Worse}},
		{"better", negated(worse), 0, Verdict{Word: Better}},
		{"three seeds", []float64{300, 500, 700}, 0, Verdict{Word: TooFew, Needs: 6}},
		{"one seed", []float64{900}, 0, Verdict{Word: TooFew, Needs: 6}},
		{"no pairs", nil, 0, Verdict{Word: TooFew, Needs: 6}},
		{"all ties", make([]float64, 8), 0, Verdict{Word: NoEvidence}},
		{"every difference the same", []float64{2, 2, 2, 2, 2, 2}, 0, Verdict{Word: Worse}},
		// All of one sign, so p = 1/128. A t interval holds 0 here, and overrode the exact test once.
		{"one outlier", []float64{1, 1, 1, 1, 1, 1, 1, 100}, 0, Verdict{Word: Worse}},
		{"no evidence", []float64{2, -1, 4, 3, -2, -6, 1, -5}, 0, Verdict{Word: NoEvidence, Beyond: 3}},
		{"within a margin", []float64{2, -1, 4, 3, -2, -6, 1, -5}, 3.5, Verdict{Word: Same, Margin: 3.5}},
		{"not within a smaller one", []float64{2, -1, 4, 3, -2, -6, 1, -5}, 2.5, Verdict{Word: NoEvidence, Beyond: 3}},
		{"a margin does not hide a claim", worse, 1000, Verdict{Word: Worse}},
		// Eight seeds, seven of which only the variant did not survive: by its only finished seed it would look better.
		{"diverged", []float64{inf, inf, inf, inf, inf, inf, inf, -1}, 0, Verdict{Word: Worse}},
		{"a survivor", []float64{-3, -2, -4, -3, -2, inf, inf, inf}, 0, Verdict{Word: NoEvidence}},
		{"missing seeds", []float64{71, nan, 90, 66, 83, 47, 75, nan}, 0, Verdict{Word: Worse}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := Judge(CompareFamily([][]float64{c.d}, Alpha)[0], c.margin)
			if got.Word != c.want.Word || got.Needs != c.want.Needs || got.Margin != c.want.Margin ||
				!near(got.Beyond, c.want.Beyond, 0.5) {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
		})
	}
	if got := JudgeInteraction(CompareFamily([][]float64{worse}, Alpha)[0], 0); got.Word != More || !got.Word.Claims() {
		t.Errorf("an interaction above 0 is %+v", got)
	}
	if got := JudgeInteraction(CompareFamily([][]float64{negated(worse)}, Alpha)[0], 0); got.Word != Less {
		t.Errorf("an interaction below 0 is %+v", got)
	}
}

func normal(random *rand.Rand, k int, mean float64) []float64 {
	d := make([]float64, k)
	for i := range d {
		d[i] = mean + random.NormFloat64()
	}
	return d
}
