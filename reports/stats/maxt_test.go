package stats

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// families holds differences with their adjusted p values and intervals. numpy computed these by counting every pattern
// and by bisection on x, with no code in common with this package.
var families = map[string]struct {
	d        [][]float64
	hits     []float64 // adjusted p · 2^k
	interval []*Interval
	within   []*Interval
}{
	"four rows of eight": {
		[][]float64{
			{71, 52, 90, 66, 83, 47, 75, 80}, {2, -1, 4, 3, -2, 6, 1, 5},
			{-9, 4, -6, 1, -12, -7, 3, -5}, {20, 35, -4, 18, 27, 9, 31, 12},
		},
		[]float64{2, 36, 36, 8},
		[]*Interval{
			{49.5, 88.74143634697667}, {-1.487764014379295, 5.568656906226696},
			{-11.038320473871824, 3.288320473871826}, {2.5, 34.097376991490286},
		},
		[]*Interval{
			{54.69317369196515, 85.23926648756724}, {-2.0 / 3, 5.028317329541327},
			{-9.595802524279794, 2.372433347184481}, {4.896870906352808, 31},
		},
	},
	"two rows of six": {
		[][]float64{{5, 7, 3, 9, 4, 8}, {1, 2, 1, -1, 3, 2}},
		[]float64{2, 8},
		[]*Interval{{1.1695410845905512, 10.830458915409446}, {-1, 3}},
		[]*Interval{{3.5, 8.309401076761269}, {-0.005869434096562154, 2.5}},
	},
	"unequal seeds": {
		[][]float64{
			{12, 15, 9, math.NaN(), 14, 11, 13, 16}, {3, math.NaN(), math.NaN(), -2, 1, math.NaN(), 4, 2},
			{-6, -9, -4, -7, -5, -8, -3, -6},
		},
		[]float64{4, 64, 2},
		[]*Interval{{10, 15.916990903705374}, nil, {-8, -4}},
		[]*Interval{
			{10.095203158516838, 15.619082555768875}, {-2.798719403925706, 5.998719403925707},
			{-7.984313483300491, -4.015686516699509},
		},
	},
}

func TestMaxT(t *testing.T) {
	for name, c := range families {
		t.Run(name, func(t *testing.T) {
			adjusted := MaxT(c.d)
			for j, hits := range c.hits {
				if want := math.Ldexp(hits, -len(c.d[0])); adjusted[j] != want {
					t.Errorf("row %d: adjusted p %v, want %v", j, adjusted[j], want)
				}
			}
			for j, got := range Simultaneous(c.d, adjusted, Alpha) {
				compareIntervals(t, j, got.Interval, c.interval[j])
				compareIntervals(t, j, got.Within, c.within[j])
			}
		})
	}
}

func compareIntervals(t *testing.T, row int, got, want *Interval) {
	t.Helper()
	switch {
	case (got == nil) != (want == nil):
		t.Errorf("row %d: %v, want %v", row, got, want)
	case got != nil && (!near(got.Low, want.Low, 1e-9) || !near(got.High, want.High, 1e-9)):
		t.Errorf("row %d: %v, want %v", row, *got, *want)
	}
}

// For a single row the test is the sign-flip test, and six seeds of one sign reach 2/2^6 in a family of any size.
func TestMaxTFloor(t *testing.T) {
	random := rand.New(rand.NewPCG(21, 22))
	for _, m := range []int{1, 2, 7, 30} {
		d := make([][]float64, m)
		for j := range d {
			d[j] = normal(random, 6, 0)
		}
		for s := range d[0] {
			d[0][s] = 5 + 0.1*d[0][s]
		}
		if got := MaxT(d)[0]; got != 1.0/32 {
			t.Errorf("m = %d: p = %v, want 1/32", m, got)
		}
	}
	if got := MaxT([][]float64{{}, {math.NaN()}, {1}}); !math.IsNaN(got[0]) || !math.IsNaN(got[1]) || got[2] != 1 {
		t.Errorf("rows without seeds: %v", got)
	}
	if got := MaxT([][]float64{make([]float64, 8), make([]float64, 8)}); got[0] != 1 || got[1] != 1 {
		t.Errorf("rows of zeros: %v", got)
	}
}

// An interval excludes 0 exactly where its row is claimed, whatever the data: also where a later
// step claims what the single step does not, with ties, outliers and seeds that rows lack.
func TestIntervalFollowsClaim(t *testing.T) {
	random := rand.New(rand.NewPCG(23, 24))
	later := 0
	for trial := range 3000 {
		k, m := 1+random.IntN(10), 1+random.IntN(5)
		d := make([][]float64, m)
		for j := range d {
			d[j] = normal(random, k, float64(random.IntN(4)))
			for s := range d[j] {
				switch random.IntN(12) {
				case 0:
					d[j][s] = math.NaN()
				case 1:
					d[j][s] *= 20
				case 2, 3, 4:
					d[j][s] = math.Round(d[j][s])
				}
			}
		}
		adjusted := MaxT(d)
		for j, r := range Simultaneous(d, adjusted, Alpha) {
			claimed := adjusted[j] <= Alpha
			if excludes := r.Interval != nil && r.Interval.Excludes(0); excludes != claimed {
				t.Fatalf("trial %d, row %d: p = %v, interval %v of %v", trial, j, adjusted[j], r.Interval, d)
			}
			if r.Interval == nil {
				continue
			}
			if r.Interval.Excludes(meanOf(d[j])) || r.Within.Low < r.Interval.Low-1e-9 && r.Interval.Low < 0 {
				t.Fatalf("trial %d, row %d: %v and %v around %v", trial, j, *r.Interval, *r.Within, meanOf(d[j]))
			}
			if math.Abs(r.Interval.Low) == math.SmallestNonzeroFloat64 ||
				math.Abs(r.Interval.High) == math.SmallestNonzeroFloat64 {
				later++
			}
		}
	}
	if later == 0 {
		t.Error("no claim came of a later step alone")
	}
}

// Differences of error rates are multiples of one image, so that p is exact for any number of seeds:
// 22 differences of ±1 give a binomial tail, 2·Σ over i ≤ 6 of C(22, i) / 2²².
// An unadjusted interval is that of a family of one: it excludes 0 exactly where the row's own p is small, it lies
// within the simultaneous one, and it misses the true difference in 5 % of studies. Of two pairs it is Student's.
func TestAlone(t *testing.T) {
	random := rand.New(rand.NewPCG(41, 42))
	const trials = 2000
	missed := 0
	for range trials {
		d := study(random, noises["normal"], 8, 4, 1)
		together := Simultaneous(d, MaxT(d), Alpha)
		for j := range d {
			own := Alone(d[j], Alpha)
			if own.Excludes(0) != (SignFlip(d[j]) <= Alpha) {
				t.Fatalf("%v with p %v: %v", d[j], SignFlip(d[j]), *own)
			}
			if wide := together[j].Interval; wide != nil && (own.Low < wide.Low || own.High > wide.High) && !wide.Excludes(0) {
				t.Fatalf("%v alone, %v together", *own, *wide)
			}
		}
		if Alone(d[3], Alpha).Excludes(0) {
			missed++
		}
	}
	if share, bound := float64(missed)/trials, Alpha+3*math.Sqrt(Alpha*(1-Alpha)/trials); share > bound {
		t.Errorf("a difference of 0 is missed in %.4f of studies, at most %.4f may be", share, bound)
	}
	if own, want := Alone([]float64{1, math.NaN(), 3}, Alpha), Summarise([]float64{1, 3}).Interval; *own != *want {
		t.Errorf("of two pairs: %v, want %v", *own, *want)
	}
}

func TestSignFlipOfCounts(t *testing.T) {
	d := make([]float64, 22)
	for i := range d {
		d[i] = 0.0001
		if i < 6 {
			d[i] = -d[i]
		}
	}
	if got, want := SignFlip(d), 2*110056.0/(1<<22); !near(got, want, 1e-15) {
		t.Errorf("p = %v, want %v", got, want)
	}
	random := rand.New(rand.NewPCG(25, 26))
	for range 50 {
		d := make([]float64, 16)
		for i := range d {
			d[i] = (0.1 + float64(random.IntN(60)-20)/10000) - 0.1
		}
		if got, ok := latticeP(d); !ok || !near(got, SignFlip(d), 1e-12) {
			t.Errorf("%v: %v, by counting %v", d, got, SignFlip(d))
		}
	}
	if _, ok := latticeP(normal(random, 30, 0)); ok {
		t.Error("normal differences have a common unit")
	}
}

// noises are the distributions of differences that the simulations draw from.
var noises = map[string]func(*rand.Rand) float64{
	"normal": (*rand.Rand).NormFloat64,
	"t3": func(r *rand.Rand) float64 {
		a, b, c := r.NormFloat64(), r.NormFloat64(), r.NormFloat64()
		return r.NormFloat64() / math.Sqrt((a*a+b*b+c*c)/3)
	},
	"Cauchy": func(r *rand.Rand) float64 { return math.Tan(math.Pi * (r.Float64() - 0.5)) },
	"contaminated": func(r *rand.Rand) float64 {
		if r.Float64() < 0.1 {
			return 10 * r.NormFloat64()
		}
		return r.NormFloat64()
	},
}

// study draws m rows of k differences to a shared baseline. The first rows, as many as true says, have an effect of 2.
func study(random *rand.Rand, draw func(*rand.Rand) float64, k, m, true int) [][]float64 {
	base := make([]float64, k)
	for s := range base {
		base[s] = draw(random)
	}
	d := make([][]float64, m)
	for j := range d {
		d[j] = make([]float64, k)
		for s := range d[j] {
			d[j][s] = draw(random) - base[s]
			if j < true {
				d[j][s] += 2
			}
		}
	}
	return d
}

// familyWise returns the share of studies of four rows with a claim on one of the rows without an effect.
func familyWise(draw func(*rand.Rand) float64, k, effects, trials int) float64 {
	random := rand.New(rand.NewPCG(27, uint64(100*k+effects)))
	wrong := 0
	for range trials {
		adjusted := MaxT(study(random, draw, k, 4, effects))
		if slices.ContainsFunc(adjusted[effects:], func(p float64) bool { return p <= Alpha }) {
			wrong++
		}
	}
	return float64(wrong) / float64(trials)
}

// claimRate returns how often the one true difference among m rows is claimed. effect is in standard deviations of the
// paired differences.
func claimRate(k, m, trials int, effect float64, adjust func([][]float64) []float64) float64 {
	random := rand.New(rand.NewPCG(29, uint64(100*k+m)))
	found := 0
	for range trials {
		d := study(random, noises["normal"], k, m, 0)
		for s := range d[0] {
			d[0][s] += effect * math.Sqrt2
		}
		if adjust(d)[0] <= Alpha {
			found++
		}
	}
	return float64(found) / float64(trials)
}

func holmFamily(d [][]float64) []float64 {
	p := make([]float64, len(d))
	for j := range d {
		p[j] = SignFlip(d[j])
	}
	return Holm(p)
}

// The chance of a false claim stays below Alpha whatever the distribution and however many of the four
// rows truly differ; TestSimulate has more draws.
func TestMaxTFalseClaims(t *testing.T) {
	const trials = 1000
	bound := Alpha + 3*math.Sqrt(Alpha*(1-Alpha)/trials)
	for name, draw := range noises {
		for effects := range 3 {
			if share := familyWise(draw, 8, effects, trials); share > bound {
				t.Errorf("%s, %d of 4 differ: a false claim in %.3f of studies, at most %.3f may be", name, effects, share, bound)
			}
		}
	}
}

// Power at k = 8, m = 4 and an effect of 1.5 sd: Holm's correction of the same test finds 0.58.
func TestMaxTPower(t *testing.T) {
	const trials = 2000
	tolerance := 3 * math.Sqrt(0.25*0.75/trials)
	if got := claimRate(8, 4, trials, 1.5, MaxT); got < 0.74-tolerance {
		t.Errorf("max-T finds the effect in %.3f of studies, 0.74 it should", got)
	}
	if got := claimRate(8, 4, trials, 1.5, holmFamily); math.Abs(got-0.58) > 0.05 {
		t.Errorf("Holm finds it in %.3f, an independent simulation in 0.58", got)
	}
	if got := claimRate(6, 4, 500, 3, MaxT); got < 0.8 {
		t.Errorf("six seeds find three standard deviations in %.3f of studies", got)
	}
}

func BenchmarkMaxT(b *testing.B) {
	for _, k := range []int{12, 20, 40} {
		b.Run(fmt.Sprintf("k=%d,m=10", k), func(b *testing.B) {
			d := study(rand.New(rand.NewPCG(31, 32)), noises["normal"], k, 10, 2)
			for b.Loop() {
				Simultaneous(d, MaxT(d), Alpha)
			}
		})
	}
}

// A row whose difference is the same under every seed has no residuals. What rounding left of them, all of one sign,
// was once claimed in a third of the simulated studies.
func TestResidualsOfAConstantDifference(t *testing.T) {
	d := make([]float64, 6)
	for i := range d {
		x := 0.13 + float64(i)/100
		d[i] = x + 0.12 - x
	}
	if c := CheckResiduals([][]float64{d}); c.Studies == 0 || c.Claims > 0 {
		t.Errorf("%d of %d studies claim something", c.Claims, c.Studies)
	}
}

// Rows whose patterns are drawn together have the same p as each alone, whatever their neighbours.
func TestSignFlips(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	rows := [][]float64{{}, {1, -2, 3}, {1, math.NaN()}}
	for j, k := range []int{21, 30, 30, 21, 40} {
		row := make([]float64, k)
		for s := range row {
			row[s] = random.NormFloat64() + float64(j)/10
		}
		rows = append(rows, row)
	}
	rows = append(rows, slices.Repeat([]float64{1, 2, -1}, 8)) // of one unit: exact
	for j, p := range SignFlips(rows) {
		if want := SignFlip(rows[j]); p != want && !(math.IsNaN(p) && math.IsNaN(want)) {
			t.Errorf("row %d of %d pairs: p %v, alone %v", j, len(rows[j]), p, want)
		}
	}
}
