package stats

import (
	"fmt"
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
		if got := Judge(pair, Holm([]float64{pair.P})[0], 1); got.Word != NoEvidence {
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
	if !near(got, want, 4*math.Sqrt(want*(1-want)/sampledPatterns)+0.002) {
		t.Errorf("p = %v, want about %v", got, want)
	}
	if again := SignFlip(d); again != got {
		t.Errorf("a second call gave %v after %v", again, got)
	}
	for i := range d {
		d[i] = math.Abs(d[i])
	}
	if got := SignFlip(d); got != 1.0/(1+sampledPatterns) {
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

func TestNeededPairs(t *testing.T) {
	for m, want := range map[int]int{0: 6, 1: 6, 2: 7, 3: 7, 4: 8, 6: 8, 7: 9, 8: 9, 16: 10} {
		if got := NeededPairs(m); got != want {
			t.Errorf("NeededPairs(%d) = %d, want %d", m, got, want)
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
		{8, 4, 1.9187573081293985},
		{3, 1, math.Inf(1)},
		{7, 4, math.Inf(1)},
	} {
		if got := SmallestEffect(1, c.k, c.m); got != c.want && !near(got, c.want, 1e-9) {
			t.Errorf("SmallestEffect(1, %d, %d) = %v, want %v", c.k, c.m, got, c.want)
		}
	}
	if got := SmallestEffect(0, 8, 1); got != 0 {
		t.Errorf("without variance: %v", got)
	}
}

// The effect a verdict names must be one the test sees about four times in five.
func TestSmallestEffectIsSeen(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for _, c := range []struct{ k, m int }{{6, 1}, {8, 1}, {8, 4}, {10, 4}, {10, 8}} {
		const trials = 2000
		effect, seen := SmallestEffect(1, c.k, c.m), 0
		for range trials {
			got := ComparePaired(normal(random, c.k, effect))
			if Judge(got, min(1, got.P*float64(c.m)), c.m).Word == Worse {
				seen++
			}
		}
		if share := float64(seen) / trials; share < 0.68 || share > 0.84 {
			t.Errorf("k = %d, m = %d: an effect of %.2f sd is seen in %.3f of trials", c.k, c.m, effect, share)
		}
	}
}

func TestJudge(t *testing.T) {
	worse := []float64{71, 52, 90, 66, 83, 47, 75, 80}
	better := make([]float64, len(worse))
	for i, v := range worse {
		better[i] = -v
	}
	for _, c := range []struct {
		name string
		d    []float64
		m    int
		want Verdict
	}{
		{"worse", worse, 1, Verdict{Word: Worse}},
		{"worse in a family of four", worse, 4, Verdict{Word: Worse}},
		{"better", better, 4, Verdict{Word: Better}},
		{"eight seeds are too few for seven comparisons", worse, 7, Verdict{Word: TooFew, Needs: 9}},
		{"three seeds", []float64{300, 500, 700}, 1, Verdict{Word: TooFew, Needs: 6}},
		{"three seeds of four", []float64{300, 500, 700}, 4, Verdict{Word: TooFew, Needs: 8}},
		{"one seed", []float64{900}, 1, Verdict{Word: TooFew, Needs: 6}},
		{"no pairs", nil, 1, Verdict{Word: TooFew, Needs: 6}},
		{"all ties", make([]float64, 8), 1, Verdict{Word: NoEvidence}},
		{"every difference the same", []float64{2, 2, 2, 2, 2, 2}, 1, Verdict{Word: Worse}},
		// All of one sign, so p = 1/128; but one seed carries the mean and the interval holds 0.
		{"one outlier", []float64{1, 1, 1, 1, 1, 1, 1, 100}, 1, Verdict{Word: NoEvidence, Effect: 40.35}},
	} {
		t.Run(c.name, func(t *testing.T) {
			pair := ComparePaired(c.d)
			got := Judge(pair, min(1, pair.P*float64(c.m)), c.m)
			if got.Word != c.want.Word || got.Needs != c.want.Needs || !near(got.Effect, c.want.Effect, 0.01) {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
		})
	}
}

// Where no variant differs from the baseline, a study must claim anything at
// all in at most Alpha of cases: for normal and for heavy-tailed, skewed
// differences, and with one baseline shared by the whole family, as in a study.
func TestFalseClaims(t *testing.T) {
	const trials = 3000
	bound := Alpha + 3*math.Sqrt(Alpha*(1-Alpha)/trials)
	noise := map[string]func(*rand.Rand) float64{
		"normal":  (*rand.Rand).NormFloat64,
		"laplace": func(r *rand.Rand) float64 { return r.ExpFloat64() - r.ExpFloat64() },
		"images": func(r *rand.Rand) float64 { // errors in whole test images: many ties
			return math.Round(3 * r.NormFloat64())
		},
		"skewed": (*rand.Rand).ExpFloat64, // paired differences of it are symmetric again
	}
	for _, c := range []struct{ k, m int }{{3, 1}, {6, 1}, {8, 4}, {10, 4}} {
		for name, draw := range noise {
			t.Run(fmt.Sprintf("%s,k=%d,m=%d", name, c.k, c.m), func(t *testing.T) {
				random := rand.New(rand.NewPCG(7, uint64(100*c.k+c.m)))
				claims := 0
				for range trials {
					if claimsAny(random, draw, c.k, c.m) {
						claims++
					}
				}
				share := float64(claims) / trials
				if share > bound {
					t.Errorf("a false claim in %.4f of studies, at most %.4f may be", share, bound)
				}
				if c.k == 3 && claims > 0 {
					t.Errorf("three seeds claimed something %d times", claims)
				}
			})
		}
	}
}

// claimsAny draws a study of m variants that equal the baseline and reports whether any verdict is a claim.
func claimsAny(random *rand.Rand, draw func(*rand.Rand) float64, k, m int) bool {
	baseline := make([]float64, k)
	for i := range baseline {
		baseline[i] = draw(random)
	}
	pairs, p := make([]Paired, m), make([]float64, m)
	for j := range pairs {
		d := make([]float64, k)
		for i := range d {
			d[i] = draw(random) - baseline[i]
		}
		pairs[j] = ComparePaired(d)
		p[j] = pairs[j].P
	}
	for j, holm := range Holm(p) {
		if w := Judge(pairs[j], holm, m).Word; w == Better || w == Worse {
			return true
		}
	}
	return false
}

func normal(random *rand.Rand, k int, mean float64) []float64 {
	d := make([]float64, k)
	for i := range d {
		d[i] = mean + random.NormFloat64()
	}
	return d
}
