package reports

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"ablate/reports/stats"
)

// An Across compares variants over several data sets, each of which is a study: by their ranks on each (Demšar,
// "Statistical comparisons of classifiers over multiple data sets", JMLR 7, 2006) and by the interquartile
// mean of all runs (Agarwal et al., NeurIPS 2021).
type Across struct {
	Metric   Metric
	At       At
	DataSets []string
	Rows     []AcrossRow // the baseline first
	Friedman stats.Friedman
	Critical float64 // mean ranks further apart than this differ, by Nemenyi's test at 5 %
	Notes    []string
}

// An AcrossRow is one variant on all data sets.
type AcrossRow struct {
	Variant  string
	Means    []float64 // by data set
	Rank     float64   // the mean rank; 1 is the best on every data set
	IQM      float64
	Interval stats.Interval // the interval of IQM
	P        float64        // Wilcoxon's test against the baseline, Holm-adjusted; NaN for the baseline
	Verdict  stats.Word     // the verdict by P; empty for the baseline
}

// AcrossDataSets compares the variants that all studies have. It cannot compare studies of one data set, of different
// metrics or without a common variant beside the baseline: Across is then nil, and why states the reason.
func AcrossDataSets(studies []*Comparison) (across *Across, why string) {
	if len(studies) < 2 {
		return nil, ""
	}
	first := studies[0]
	a := &Across{Metric: first.Metric, At: first.At}
	for _, c := range studies {
		switch {
		case c.Metric.Name != a.Metric.Name || c.At != a.At || c.Metric.More != a.Metric.More:
			return nil, "no ranks over data sets: the studies' figures are not the same one"
		case c.Baseline == "" || c.Baseline != first.Baseline || c.Against != "":
			return nil, "no ranks over data sets: the studies have no baseline in common"
		}
		name := c.Data
		if name == "" {
			name = c.Study
		}
		if slices.Contains(a.DataSets, name) {
			return nil, "no ranks over data sets: more than one study is of " + Sanitize(name)
		}
		a.DataSets = append(a.DataSets, name)
	}
	var runs [][][]float64 // by variant, by data set
	for _, row := range first.Rows {
		means, of := onAll(studies, row.Variant)
		if means != nil {
			a.Rows = append(a.Rows, AcrossRow{Variant: row.Variant, Means: means})
			runs = append(runs, of)
		}
	}
	if len(a.Rows) < 2 || a.Rows[0].Variant != first.Baseline {
		return nil, "no ranks over data sets: the studies have no variant with runs in common beside the baseline"
	}
	a.judge(runs)
	a.describe()
	return a, ""
}

// onAll returns a variant's means and runs in every study; nil if a study lacks the variant.
func onAll(studies []*Comparison, variant string) (means []float64, runs [][]float64) {
	for _, c := range studies {
		i := slices.IndexFunc(c.Rows, func(r Row) bool { return r.Variant == variant })
		if i < 0 || len(c.Rows[i].Runs) == 0 {
			return nil, nil
		}
		var values []float64
		for _, r := range c.Rows[i].Runs {
			values = append(values, r.Error)
		}
		means, runs = append(means, c.Rows[i].Error.Mean), append(runs, values)
	}
	return means, runs
}

func (a *Across) judge(runs [][][]float64) {
	figures := make([][]float64, len(a.DataSets)) // less is better
	for i := range figures {
		for _, r := range a.Rows {
			v := r.Means[i]
			if a.Metric.More {
				v = -v
			}
			figures[i] = append(figures[i], v)
		}
	}
	a.Friedman = stats.FriedmanTest(figures)
	a.Critical = stats.CriticalDifference(len(a.Rows), len(a.DataSets))
	p := stats.PairwiseWilcoxon(figures)
	for j := range a.Rows {
		r := &a.Rows[j]
		r.Rank = a.Friedman.MeanRanks[j]
		r.IQM, r.Interval = stats.AggregateIQM(runs[j])
		if r.P = math.NaN(); j == 0 {
			continue
		}
		r.P = p[j-1]
		switch {
		case len(a.DataSets) < stats.NeededPairs:
			r.Verdict = stats.TooFew
		case r.P > stats.Alpha:
			r.Verdict = stats.NoEvidence
		case stats.RankSum(figures, j) < 0:
			r.Verdict = stats.Better
		default:
			r.Verdict = stats.Worse
		}
	}
}

func (a *Across) describe() {
	n := len(a.DataSets)
	a.Notes = []string{
		fmt.Sprintf("rank: the mean over %d data sets, 1 is the best; Friedman's test that all variants rank alike: "+
			"χ² %.2f, p %s", n, a.Friedman.Chi2, pWords(a.Friedman.P)),
		fmt.Sprintf("critical difference %.2f: mean ranks further apart than this differ (Nemenyi, 5 %%): %s", a.Critical,
			a.apart()),
		"p: Wilcoxon's exact signed-rank test of the means on each data set, to the baseline, adjusted by Holm",
		"IQM: interquartile mean of all runs of all data sets, with a stratified bootstrap's 95 % interval",
	}
	if n < stats.NeededPairs {
		a.Notes = append(a.Notes, fmt.Sprintf("too few data sets: fewer than %d cannot reach p ≤ 0.05", stats.NeededPairs))
	}
}

// apart lists the pairs of variants whose ranks differ.
func (a *Across) apart() string {
	var pairs []string
	for i, r := range a.Rows {
		for _, s := range a.Rows[i+1:] {
			if d := r.Rank - s.Rank; math.Abs(d) > a.Critical {
				pairs = append(pairs, fmt.Sprintf("%s and %s (p %s)", Sanitize(r.Variant), Sanitize(s.Variant),
					pWords(stats.NemenyiP(d, len(a.Rows), len(a.DataSets)))))
			}
		}
	}
	if len(pairs) == 0 {
		return "none do"
	}
	return strings.Join(pairs, "; ")
}
