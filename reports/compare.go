package reports

import (
	"fmt"
	"math"
	"slices"

	"ablate/experiments"
	"ablate/reports/stats"
)

// A rival is what a row's difference is taken to.
type rival struct {
	name    string // in notes: "the baseline"
	records []outcome
}

// rivals gives the rival of each row: the baseline, the row above in the shape
// cumulative, or the same variant of another study. A row whose rival has no name has none.
func (c *Comparison) rivals(groups [][]outcome, against map[string][]outcome) []rival {
	all := make([]rival, len(groups))
	for i, row := range c.Rows {
		switch {
		case against != nil:
			all[i] = rival{"that of " + Sanitize(c.Against), against[row.Variant]}
		case i == 0 || c.Baseline == "":
		case c.Shape == Cumulative:
			all[i] = rival{"the row above", groups[i-1]}
		default:
			all[i] = rival{"the baseline", groups[0]}
		}
	}
	return all
}

// compare gives every row its difference to its rival, adjusted over all of
// them. A variant that has no pairs yet still counts in the family: it was
// declared, and its p value is only not known.
func (c *Comparison) compare(groups [][]outcome, rivals []rival, predictions readPredictions) {
	var p []float64
	var compared []int
	for i := range c.Rows {
		if rivals[i].name == "" {
			continue
		}
		compared = append(compared, i)
		row := &c.Rows[i]
		row.Delta = delta(groups[i], rivals[i].records, predictions, row)
		if row.Delta != nil && c.Metric.More {
			w := &row.Delta.Wins
			w.Won, w.Lost = w.Lost, w.Won
			w.Share, w.Interval = 1-w.Share, stats.Interval{Low: 1 - w.Interval.High, High: 1 - w.Interval.Low}
		}
		if row.Delta == nil {
			p = append(p, math.NaN())
		} else {
			p = append(p, row.Delta.P)
		}
	}
	c.Family = len(compared)
	for j, holm := range stats.Holm(p) {
		i := compared[j]
		row := &c.Rows[i]
		if d := row.Delta; d != nil {
			d.Holm = holm
			d.Verdict = c.Metric.judge(d.Paired, holm, c.Family)
			row.withhold(groups[i], rivals[i])
			c.Metric.bound(d.Interval, -1)
		}
		row.Notes = append(row.Notes, pairNotes(*row, groups[i], rivals[i])...)
	}
}

// bound keeps an interval of shares, or of their differences, within what there is: low to 1.
func (m Metric) bound(i *stats.Interval, low float64) {
	if m.Share && i != nil {
		i.Low, i.High = max(i.Low, low), min(i.High, 1)
	}
}

// judge is the verdict on a difference, in which more may be better.
func (m Metric) judge(p stats.Paired, holm float64, family int) stats.Verdict {
	v := stats.Judge(p, holm, family)
	switch {
	case !m.More:
	case v.Word == stats.Better:
		v.Word = stats.Worse
	case v.Word == stats.Worse:
		v.Word = stats.Better
	}
	return v
}

// delta compares two groups seed by seed. It is nil where no seed is finished on
// both sides, and where one side is not one recipe; runNotes says so.
func delta(these, those []outcome, predictions readPredictions, row *Row) *Delta {
	if recipes(these) > 1 || recipes(those) > 1 {
		return nil
	}
	other := map[uint64]outcome{}
	for _, r := range those {
		if r.counts {
			other[r.Seed] = r
		}
	}
	var d []float64
	var pairs []Pair
	var first, second outcome
	for _, r := range these {
		if o, ok := other[r.Seed]; ok && r.counts {
			d = append(d, r.value-o.value)
			pairs = append(pairs, Pair{Seed: r.Seed, Difference: r.value - o.value})
			first, second = r, o
		}
	}
	if len(d) == 0 {
		return nil
	}
	result := &Delta{Paired: stats.ComparePaired(d), Pairs: pairs, Wins: stats.CountWins(d)}
	if len(d) == 1 && predictions != nil {
		nets, err := compareNets(first, second, predictions)
		if err != nil {
			row.Notes = append(row.Notes, fmt.Sprintf("the two nets' predictions cannot be compared: %v", err))
		}
		result.Nets = nets
	}
	return result
}

// readPredictions reads what a run's net made of each test image.
type readPredictions func(experiments.Record) ([]experiments.Prediction, error)

// compareNets counts the test images that only one of two nets gets right.
func compareNets(first, second outcome, read readPredictions) (*stats.McNemar, error) {
	a, err := read(first.Record)
	if err != nil {
		return nil, err
	}
	b, err := read(second.Record)
	if err != nil {
		return nil, err
	}
	if len(a) != len(b) {
		return nil, fmt.Errorf("one is of %d images, the other of %d", len(a), len(b))
	}
	onlyFirst, onlySecond := 0, 0
	for i := range a {
		if a[i].Index != b[i].Index || a[i].Label != b[i].Label {
			return nil, fmt.Errorf("line %d is image %d of class %d in one, image %d of class %d in the other",
				i+2, a[i].Index, a[i].Label, b[i].Index, b[i].Label)
		}
		switch right := [2]bool{a[i].Rank == 1, b[i].Rank == 1}; right {
		case [2]bool{true, false}:
			onlyFirst++
		case [2]bool{false, true}:
			onlySecond++
		}
	}
	m := stats.CompareNets(onlyFirst, onlySecond)
	return &m, nil
}

// withhold takes back a claim in favour of a side that diverged: its worst
// outcomes are the very ones that Δ leaves out.
func (r *Row) withhold(records []outcome, to rival) {
	v := &r.Delta.Verdict
	var side string
	switch {
	case v.Word == stats.Better && diverged(records):
		side = "this variant"
	case v.Word == stats.Worse && diverged(to.records):
		side = to.name
	default:
		return
	}
	r.Notes = append(r.Notes, "the verdict would be "+string(v.Word)+
		", but "+side+" diverged under some seeds, and Δ leaves out just those")
	*v = stats.Verdict{Word: stats.NoEvidence}
}

// diverged reports whether a run did, also one that went on to its end without a finite figure.
func diverged(records []outcome) bool {
	return slices.ContainsFunc(records, func(r outcome) bool { return r.Status == experiments.Diverged || r.broken })
}

// recipes counts the different recipes among a variant's runs that count.
func recipes(records []outcome) int {
	seen := map[string]bool{}
	for _, r := range records {
		if r.counts {
			seen[r.Identity] = true
		}
	}
	return len(seen)
}
