package reports

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"slices"

	"ablate/experiments"
	"ablate/reports/stats"
)

// A rival is what a row is compared with.
type rival struct {
	name    string // in notes: "the baseline"
	records []outcome
}

// rivals returns the rival of each row: the baseline, the row above in the shape
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

// A measured is another primary metric of the study, with its outcomes by row.
type measured struct {
	metric Metric
	groups [][]outcome
	rivals []rival
}

// others returns the further metrics whose comparisons belong to this table's family: those that the study declares
// beside this one.
func (c *Comparison) others(names []string, records []experiments.Record) ([]measured, error) {
	p := c.Options.Primary
	if p == nil || c.Exploratory {
		return nil, nil
	}
	var all []measured
	for _, name := range p.metrics() {
		if name == c.Metric.Name {
			continue
		}
		metric, err := findMetric(name, records, c.Options)
		if err != nil {
			return nil, err
		}
		pick := picker{metric, c.At, c.Options.Metrics}
		groups, err := group(pick.outcomes(records), c.Seeds, names)
		if err != nil {
			return nil, err
		}
		var against map[string][]outcome
		if c.Options.Against != "" {
			against = byVariantName(pick.outcomes(c.Options.AgainstRecords))
		}
		all = append(all, measured{metric, groups, c.rivals(groups, against)})
	}
	return all, nil
}

// outside reports whether a variant's comparison is not in the family that the study declared.
func (c *Comparison) outside(variant string) bool {
	p := c.Options.Primary
	return p != nil && len(p.Family) > 0 && !slices.Contains(p.Family, variant)
}

// compare computes every row's difference to its rival and every effect of a factorial design. It adjusts them all as
// one family, which includes the study's other primary metrics. A variant without pairs counts in the family too, and
// joins the test with its first pair. Rows outside the family that the study declared form a family of their own.
func (c *Comparison) compare(groups [][]outcome, rivals []rival, others []measured) {
	effects, contrasts := c.effects(groups)
	for _, outside := range []bool{false, true} {
		var tested [][]float64
		var compared []int
		for i, row := range c.Rows {
			if rivals[i].name != "" && c.outside(row.Variant) == outside {
				compared = append(compared, i)
				tested = append(tested, c.differences(c.Metric, groups[i], rivals[i].records))
			}
		}
		rows := len(tested)
		if !outside {
			tested = append(tested, contrasts...)
			for _, o := range others {
				for _, i := range compared {
					tested = append(tested, c.differences(o.metric, o.groups[i], o.rivals[i].records))
				}
			}
			c.Family, c.tested = len(tested), tested
		}
		results := stats.CompareFamily(tested, c.Look.Alpha)
		for j, i := range compared {
			c.judgeRow(i, results[j], tested[j], groups[i], rivals[i])
			if d := c.Rows[i].Delta; d != nil {
				d.Outside = outside
			}
		}
		if !outside {
			for j := range effects {
				effects[j].judge(results[rows+j], c.Metric, c.margin, slices.ContainsFunc(groups, diverged))
				effects[j].Alone = c.alone(contrasts[j])
			}
		}
	}
	c.Effects = effects
}

// judgeRow sets a row's difference and verdict from the result of its family's test.
func (c *Comparison) judgeRow(i int, r stats.Compared, differences []float64, these []outcome, to rival) {
	row := &c.Rows[i]
	if r.K > 0 {
		row.Delta = c.delta(r, differences)
		row.Delta.Alone = c.alone(differences)
		row.Delta.widen(c.crossImages(row.Delta, these, to), c.Metric, c.margin)
		row.compareNets(these, to, c.Options.Predictions)
	}
	switch why := c.unfit(these, to.records); {
	case why != "" && recipes(these) < 2 && recipes(to.records) < 2:
		row.Notes = append(row.Notes, "not compared: "+why)
	default:
		row.Notes = append(row.Notes, pairNotes(*row, these, to)...)
	}
	if row.Again = again(row.Changes); row.Again {
		row.Notes = append(row.Notes, "A/A: the baseline itself under other seeds; whatever is claimed of it is false")
	}
	if i > 0 && c.Against == "" && c.Baseline != "" {
		if note := sizeNote(*row, c.Rows[0]); note != "" {
			row.Notes = append(row.Notes, note)
		}
	}
	if c.outside(row.Variant) {
		row.Notes = append(row.Notes, "exploratory: not in the family that the study declares; "+
			"such rows are adjusted among themselves")
	}
}

// delta returns a row's difference with its verdict.
func (c *Comparison) delta(r stats.Compared, differences []float64) *Delta {
	d := &Delta{Paired: r.Paired, Adjusted: r.Adjusted, Verdict: c.Metric.judge(r, c.margin)}
	d.Interval, d.Plain, d.Ranked = c.Metric.interval(r), r.Range.Interval == nil, r.Seeds > r.K
	var finished []float64
	for i, v := range differences {
		if !math.IsNaN(v) && !math.IsInf(v, 0) {
			finished = append(finished, v)
			d.Pairs = append(d.Pairs, Pair{Seed: c.Seeds[i], Difference: v})
		}
	}
	d.Wins = stats.CountWins(finished)
	if d.K < stats.NeededPairs && !d.Ranked {
		d.Prior = stats.PosteriorOf(r.Estimate, c.margin)
	}
	if c.Metric.More {
		w := &d.Wins
		w.Won, w.Lost = w.Lost, w.Won
		w.Share, w.Interval = 1-w.Share, stats.Interval{Low: 1 - w.Interval.High, High: 1 - w.Interval.Low}
	}
	return d
}

// judge returns the verdict on a difference. For some metrics more is better.
func (m Metric) judge(c stats.Compared, margin float64) stats.Verdict {
	if m.More {
		c.Sign = -c.Sign
	}
	return stats.Judge(c, margin)
}

// interval returns the simultaneous interval. It returns Student's interval of this row alone where no test could claim
// anything: with too few seeds, or where diverged runs count by rank. The interval of a difference of shares stays
// within ±1.
func (m Metric) interval(c stats.Compared) *stats.Interval {
	i := c.Range.Interval
	if i == nil {
		i = c.Estimate.Interval
	}
	m.bound(i, -1)
	return i
}

// alone returns the interval of some differences by themselves, if it was asked for.
func (c *Comparison) alone(differences []float64) *stats.Interval {
	if !c.Options.Unadjusted {
		return nil
	}
	alpha := c.Look.Alpha
	if alpha <= 0 {
		alpha = stats.Alpha
	}
	i := stats.Alone(differences, alpha)
	c.Metric.bound(i, -1)
	return i
}

// bound clips an interval of shares, or of their differences, to the possible range: low to 1.
func (m Metric) bound(i *stats.Interval, low float64) {
	if m.Share && i != nil {
		*i = i.Clamp(low, 1)
	}
}

// differences returns the differences of two groups by c.Seeds. One is NaN where a seed is not finished on both sides
// or where one side has more than one recipe, which runNotes reports. It is infinite, the worst outcome, where only one
// side diverged.
func (c *Comparison) differences(m Metric, these, those []outcome) []float64 {
	d := make([]float64, len(c.Seeds))
	for i := range d {
		d[i] = math.NaN()
	}
	if recipes(these) > 1 || recipes(those) > 1 || c.unfit(these, those) != "" {
		return d
	}
	worst := math.Inf(1)
	if m.More {
		worst = math.Inf(-1)
	}
	other := map[uint64]outcome{}
	for _, r := range those {
		other[r.Seed] = r
	}
	for _, r := range these {
		o, ok := other[r.Seed]
		i, known := slices.BinarySearch(c.Seeds, r.Seed)
		switch {
		case !ok || !known:
		case r.counts && o.counts:
			d[i] = r.value - o.value
		case r.diverged() && o.counts:
			d[i] = worst
		case r.counts && o.diverged():
			d[i] = -worst
		}
	}
	return d
}

// compareNets compares the nets of a row's only pair on the test images.
func (r *Row) compareNets(these []outcome, to rival, predictions readPredictions) {
	if r.Delta.K != 1 || predictions == nil {
		return
	}
	for _, first := range these {
		for _, second := range to.records {
			if first.Seed != second.Seed || !first.counts || !second.counts {
				continue
			}
			nets, err := compareNets(first, second, predictions)
			if errors.Is(err, fs.ErrNotExist) && first.Result != nil && first.Result.Metrics != nil {
				continue // a user's program need not make predictions
			}
			if err != nil {
				r.Notes = append(r.Notes, fmt.Sprintf("the two nets' predictions cannot be compared: %v", err))
			}
			r.Delta.Nets = nets
		}
	}
}

// readPredictions reads what a run's net predicted for each test image.
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

// diverged reports whether the run diverged. A run that reached its end without a finite figure counts too.
func (o outcome) diverged() bool { return o.Status == experiments.Diverged || o.broken }

// diverged reports whether any run diverged.
func diverged(records []outcome) bool { return slices.ContainsFunc(records, outcome.diverged) }

// countDiverged counts the runs that diverged.
func countDiverged(records []outcome) int {
	n := 0
	for _, r := range records {
		if r.diverged() {
			n++
		}
	}
	return n
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
