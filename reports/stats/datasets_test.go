package stats

import (
	"math"
	"testing"
)

// demsar is table 6 of Demšar 2006, AUC of four variants of C4.5 on fourteen data sets.
var demsar = [][]float64{
	{.763, .768, .771, .798}, {.599, .591, .590, .569}, {.954, .971, .968, .967}, {.628, .661, .654, .657},
	{.882, .888, .886, .898}, {.936, .931, .916, .931}, {.661, .668, .609, .685}, {.583, .583, .563, .625},
	{.775, .838, .866, .875}, {1, 1, 1, 1}, {.940, .962, .965, .962}, {.619, .666, .614, .669},
	{.972, .981, .9751, .975}, {.957, .978, .946, .970},
}

// The figures are scipy 1.17's friedmanchisquare, studentized_range and wilcoxon, and statsmodels 0.15's multipletests.
func TestSeveralDataSets(t *testing.T) {
	f := FriedmanTest(demsar)
	if !near(f.Chi2, 10.228346456692925, 1e-9) || !near(f.P, 0.016721580328441323, 1e-12) {
		t.Errorf("Friedman: %+v", f)
	}
	for j, want := range []float64{1.8571428571428572, 3, 2.107142857142857, 3.0357142857142856} {
		if !near(f.MeanRanks[j], want, 1e-12) {
			t.Errorf("mean rank %d: %v, want %v", j, f.MeanRanks[j], want)
		}
	}
	for _, c := range []struct {
		k, n int
		want float64
	}{{4, 14, 1.2535591471176057}, {5, 30, 1.1136092236789705}, {10, 20, 3.028996417034437}} {
		if got := CriticalDifference(c.k, c.n); !near(got, c.want, 1e-5) {
			t.Errorf("critical difference of %d on %d: %v, want %v", c.k, c.n, got, c.want)
		}
	}
	for difference, want := range map[float64]float64{0.5: 0.7349587949459925, 1: 0.17005163566434356,
		1.5: 0.011350272884416257} {
		if got := NemenyiP(difference, 4, 14); !near(got, want, 1e-6) {
			t.Errorf("Nemenyi of %v: %v, want %v", difference, got, want)
		}
	}
	for j, want := range []float64{0.02197265625, 0.8779296875, 0.02490234375} {
		if got := PairwiseWilcoxon(demsar)[j]; !near(got, want, 1e-12) {
			t.Errorf("Wilcoxon %d: %v, want %v", j+1, got, want)
		}
	}
	if f := FriedmanTest([][]float64{{1, 1}, {2, 2}}); f.P != 1 {
		t.Errorf("ties alone: %+v", f)
	}
}

// The figures are scipy's trim_mean(x, 0.25); the interval is numpy's, of 100,000 stratified draws.
func TestIQM(t *testing.T) {
	x := []float64{12, 3, 7, 9, 30, 1, 4, 8, 15, 2}
	if got := IQM(x); !near(got, 7.166666666666667, 1e-12) {
		t.Errorf("of ten: %v", got)
	}
	if got := IQM(x[:7]); !near(got, 7, 1e-12) {
		t.Errorf("of seven: %v", got)
	}
	if got := IQM(nil); !math.IsNaN(got) {
		t.Errorf("of none: %v", got)
	}
	runs := [][]float64{{.52, .55, .49, .60, .58}, {.31, .36, .28, .33, .30}, {.77, .81, .79, .70, .84}}
	got, in := AggregateIQM(runs)
	if !near(got, 0.5444444444444445, 1e-12) || !near(in.Low, 0.52, 0.002) || !near(in.High, 0.5689, 0.002) {
		t.Errorf("%v %v", got, in)
	}
	if again, same := AggregateIQM(runs); again != got || same != in {
		t.Errorf("then %v %v, now %v %v", got, in, again, same)
	}
}

// The figures are autorank 1.3.0's for Demšar's table (force_mode="nonparametric"): Friedman and Nemenyi, these ranks,
// this critical difference.
func TestAutorank(t *testing.T) {
	f := FriedmanTest(demsar)
	if !near(f.P, 0.016721580328441323, 1e-12) {
		t.Errorf("p is %v", f.P)
	}
	for j, want := range []float64{1.8571428571428572, 3.0, 2.107142857142857, 3.0357142857142856} {
		if !near(f.MeanRanks[j], want, 1e-12) {
			t.Errorf("mean rank %d: %v, want %v", j, f.MeanRanks[j], want)
		}
	}
	if got := CriticalDifference(4, 14); !near(got, 1.2535512603486423, 1e-5) {
		t.Errorf("critical difference %v", got)
	}
}

// The figures are rliable 1.2.0's for five runs on three tasks: metrics.aggregate_iqm, and
// library.get_interval_estimates with 50,000 stratified draws.
func TestRliable(t *testing.T) {
	runs := [][]float64{{.52, .55, .49, .60, .58}, {.31, .36, .28, .33, .30}, {.77, .81, .79, .70, .84}}
	got, in := AggregateIQM(runs)
	if !near(got, 0.54444444, 1e-8) || !near(in.Low, 0.52, 0.002) || !near(in.High, 0.56888889, 0.002) {
		t.Errorf("%v %v", got, in)
	}
}
