package reports

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"ablate/experiments"
	"ablate/recipe"
	"ablate/reports/stats"
)

// runNotes lists which of a variant's runs are not in its mean, and why.
func runNotes(records []outcome, seeds []uint64) []string {
	if len(records) == 0 {
		return []string{"no runs yet"}
	}
	var notes []string
	by := map[experiments.Status][]uint64{}
	ends := map[experiments.Status][]string{}
	var recorded []uint64
	unusable := map[string][]uint64{}
	done := 0
	for _, r := range records {
		recorded = append(recorded, r.Seed)
		switch {
		case r.Status == experiments.Diverged || r.Status == experiments.Failed:
			ends[r.Status] = append(ends[r.Status], end(r))
		case r.Status != experiments.Done:
			by[r.Status] = append(by[r.Status], r.Seed)
		case !r.counts:
			unusable[r.why] = append(unusable[r.why], r.Seed)
		default:
			done++
		}
	}
	for _, status := range []experiments.Status{experiments.Diverged, experiments.Failed} {
		if e := ends[status]; len(e) > 0 {
			notes = append(notes, fmt.Sprintf("%d of %s %s, not in the mean: %s",
				len(e), Count(len(records), "run"), status, strings.Join(e, "; ")))
		}
	}
	if s := by[experiments.Running]; len(s) > 0 {
		notes = append(notes, fmt.Sprintf("%s still running, or ended without a word", seedList(s)))
	}
	if s := by[experiments.Interrupted]; len(s) > 0 {
		notes = append(notes, fmt.Sprintf("%s interrupted; the same `ablate run` goes on", seedList(s)))
	}
	delete(by, experiments.Running)
	delete(by, experiments.Interrupted)
	for _, status := range slices.Sorted(maps.Keys(by)) {
		notes = append(notes, fmt.Sprintf("%s of status %q, which this program does not know", seedList(by[status]), status))
	}
	for _, why := range slices.Sorted(maps.Keys(unusable)) {
		notes = append(notes, fmt.Sprintf("%s done, but %s; left out", seedList(unusable[why]), why))
	}
	missing := slices.DeleteFunc(slices.Clone(seeds), func(s uint64) bool { return slices.Contains(recorded, s) })
	if len(missing) > 0 {
		notes = append(notes, fmt.Sprintf("no run for %s", seedList(missing)))
	}
	if n := recipes(records); n > 1 {
		notes = append(notes, fmt.Sprintf(
			"the runs follow %d different recipes, so this row is not compared; `ablate run --fresh` trains them anew", n))
	}
	if done == 1 {
		notes = append(notes, "one seed: no spread, no interval")
	}
	return notes
}

// end describes how one run failed.
func end(r outcome) string {
	text := fmt.Sprintf("seed %d", r.Seed)
	if r.Error != "" {
		text += " (" + r.Error + ")"
	}
	return text
}

// pairNotes states what a reader must consider besides a row's Δ.
func pairNotes(row Row, records []outcome, to rival) []string {
	d := row.Delta
	if d == nil {
		if len(row.Runs) == 0 || recipes(records) > 1 {
			return nil // already stated
		}
		if recipes(to.records) > 1 {
			return []string{to.name + "'s runs follow different recipes: no Δ"}
		}
		return []string{"no seed that " + to.name + " has finished too: no Δ"}
	}
	var notes []string
	if d.K < len(row.Runs) || d.K < countRuns(to.records) {
		notes = append(notes, fmt.Sprintf("Δ is over the %s that this variant and %s both finished",
			Count(d.K, "seed"), to.name))
	}
	switch {
	case d.K < 2 || d.SD > stats.SameDifference:
	case math.Abs(d.Mean) < stats.SameDifference:
		notes = append(notes, "every seed gave "+to.name+"'s figure exactly: do the two really train different nets?")
	default:
		notes = append(notes, "every seed gave the same difference: the interval has no width")
	}
	if a, b := countDiverged(records), countDiverged(to.records); a+b > 0 {
		notes = append(notes, fmt.Sprintf("diverged: %d of %s, %d of %d of %s; Fisher's exact test of these counts: p %s",
			a, Count(len(records), "run"), b, len(to.records), to.name,
			pWords(stats.FisherExact(a, len(records), b, len(to.records)))))
	}
	if a, b := testExamples(records), testExamples(to.records); !slices.Equal(a, b) {
		notes = append(notes, fmt.Sprintf("tested on %s images, %s on %s", numberList(a), to.name, numberList(b)))
	}
	if d.Widened {
		notes = append(notes, "the test images leave more open than the seeds: the interval is of both")
	}
	if m := d.Nets; m != nil {
		notes = append(notes, fmt.Sprintf("one net each: only this one is right on %s, only %s's on %s "+
			"(McNemar's exact test: p %s); this speaks of these two nets only, not of what another seed would give",
			Count(m.OnlyFirst, "image"), to.name, Count(m.OnlySecond, "image"), pWords(m.P)))
	}
	return notes
}

// countRuns counts the runs that are in the mean.
func countRuns(records []outcome) int {
	n := 0
	for _, r := range records {
		if r.counts {
			n++
		}
	}
	return n
}

// testExamples returns the sizes of the test sets that a variant's runs saw.
func testExamples(records []outcome) []int {
	var sizes []int
	for _, r := range records {
		if r.counts && r.Result != nil {
			sizes = append(sizes, r.Result.TestExamples)
		}
	}
	slices.Sort(sizes)
	return slices.Compact(sizes)
}

// describe fills in the text about the whole table: the title's parts, how to read it, and its origin.
func (c *Comparison) describe(groups [][]outcome) {
	records := slices.Concat(groups...)
	recipes := map[string]recipe.Recipe{} // by identity
	for i, r := range records {
		p, ok := recipes[r.Identity]
		if !ok {
			p = c.recipes.lenient(r.Recipe)
			recipes[r.Identity] = p
		}
		if i == 0 {
			c.Net, c.Data = p.Net.Name, p.Data.Name
		}
		if e := epochs(r, p); e > 0 {
			if c.Epochs[0] == 0 || e < c.Epochs[0] {
				c.Epochs[0] = e
			}
			c.Epochs[1] = max(c.Epochs[1], e)
		}
	}
	c.Notes = slices.Concat(importNotes(records), c.readingNotes(records), c.Notes)
	c.Origin = c.origin(records, recipes)
}

// epochs returns how many epochs a run trained, or was to train.
func epochs(r outcome, p recipe.Recipe) int {
	if r.Result != nil && r.Result.Epochs > 0 {
		return r.Result.Epochs
	}
	return p.Train.Epochs
}

// readingNotes explains the columns that the table has.
func (c *Comparison) readingNotes(records []outcome) []string {
	return slices.Concat(c.valueNotes(), c.tuningNotes(), c.deltaNotes(), c.columnNotes(), c.verdictNotes(),
		c.shapeNotes(), c.testSetNotes(records))
}

// valueNotes explains a row's own figure.
func (c *Comparison) valueNotes() (notes []string) {
	if slices.ContainsFunc(c.Rows, func(r Row) bool { return r.Error.K > 1 }) {
		notes = append(notes, c.Metric.valueWord()+": mean ± standard deviation (k − 1) over k seeds")
	}
	if c.At.Best {
		notes = append(notes,
			"best epoch: chosen on the very images it is measured on, so the figures are "+c.Metric.Better()+
				" than new images would give")
	}
	if p := c.Options.Primary; c.Exploratory {
		notes = append(notes, fmt.Sprintf("exploratory: the study declares %s %s as what its verdicts are of; "+
			"of many tables some show a difference by chance", p.Metric, p.At.Words()))
	}
	for _, d := range c.Options.Departures {
		notes = append(notes, "what the study declared before its first run counts: "+d)
	}
	return notes
}

// anyDelta reports whether so holds for any row's difference.
func (c *Comparison) anyDelta(so func(*Delta) bool) bool {
	return slices.ContainsFunc(c.Rows, func(r Row) bool { return r.Delta != nil && so(r.Delta) })
}

// deltaNotes explains how differences, their intervals and p are computed.
func (c *Comparison) deltaNotes() (notes []string) {
	if !c.anyDelta(func(*Delta) bool { return true }) {
		return nil
	}
	if c.Metric.assumed {
		notes = append(notes, fmt.Sprintf("less %s is taken to be better; `metrics: {%s: {better: higher}}` in the study "+
			"says otherwise", c.Metric.Title, c.Metric.Name))
	}
	notes = append(notes, c.lookNotes()...)
	interval := "its simultaneous " + c.LevelWords() + " interval, which excludes 0 exactly where the row is claimed"
	if c.anyDelta(func(d *Delta) bool { return d.Interval != nil && d.Plain }) {
		interval = "its simultaneous " + c.LevelWords() + " interval, or Student's t interval where too few seeds or " +
			"diverged runs allow none"
	}
	if c.Options.Unadjusted {
		interval = "the " + c.LevelWords() + " interval of its row alone, unadjusted for the others: of several such " +
			"intervals some exclude 0 by chance; verdicts are of the adjusted p"
	}
	how := "exact"
	if c.anyDelta(func(d *Delta) bool { return d.K > stats.ExactPairs }) {
		how = "sampled"
	}
	notes = append(notes, fmt.Sprintf("Δ: %s minus %s%s, over paired seeds, with %s; "+
		"p: %s sign-flip test, adjusted over %s by step-down max-T", c.Metric.valueWord(), c.rivalWords(), c.Metric.In(),
		interval, how, c.familyWords()))
	notes = append(notes, c.unequalSeeds()...)
	notes = append(notes, c.bayesianNotes()...)
	notes = append(notes, c.imageNotes()...)
	if c.anyDelta(func(d *Delta) bool { return d.Ranked }) {
		notes = append(notes, "a seed under which one side alone diverged is in p as the worst outcome, and not in Δ")
	}
	return notes
}

// columnNotes explains the columns that were asked for.
func (c *Comparison) columnNotes() (notes []string) {
	if slices.Contains(c.Options.Columns, "wins") {
		notes = append(notes, "P(better): the probability that the variant has the "+c.Metric.Better()+
			" figure under a new seed, with its Clopper–Pearson interval; a tie is half a win; "+
			"meaningful: the interval lies above 0.5 and reaches beyond 0.75")
	}
	if slices.Contains(c.Options.Columns, "seeds") {
		notes = append(notes,
			"seeds to show Δ: how many would show it in 4 of 5 such studies, if it is as large and spreads as much as here")
	}
	return notes
}

// verdictNotes explains the verdicts that claim no difference.
func (c *Comparison) verdictNotes() (notes []string) {
	if c.anyDelta(func(d *Delta) bool { return d.Verdict.Beyond > stats.SameDifference }) {
		notes = append(notes, "no difference beyond ±x: no claim either way, but the data rule out a larger difference"+
			" (two one-sided tests at 5 %, over the family)")
	}
	if c.anyDelta(func(d *Delta) bool { return d.Verdict.Word == stats.Same }) {
		notes = append(notes, "same within ±m: the margin that the study declares holds the difference, "+
			"by two one-sided tests at 5 %, over the family")
	}
	if c.anyDelta(func(d *Delta) bool { return d.Verdict.Needs > 0 }) {
		notes = append(notes, "too few seeds: no result of fewer paired seeds can reach p ≤ 0.05")
	}
	return notes
}

// shapeNotes explains what the rows are, and what is missing to compare them.
func (c *Comparison) shapeNotes() (notes []string) {
	if c.Shape == Matrix {
		notes = append(notes, "✓: the ablation is applied; ·: it is not")
	}
	if c.Shape == Cumulative && !c.nested() {
		notes = append(notes, "the rows are no path: not every row applies all that the row above it does")
	}
	switch {
	case c.Against != "":
	case c.Baseline == "":
		notes = append(notes, "no variant is the baseline: nothing is compared")
	case len(c.Rows[0].Runs) == 0 && c.Shape != Cumulative:
		notes = append(notes, "the baseline has no finished run: nothing is compared")
	}
	return notes
}

// testSetNotes states how precisely the test images measure one net's error.
func (c *Comparison) testSetNotes(records []outcome) []string {
	n := testExamples(records)
	if !c.Metric.onTest() || len(n) != 1 || n[0] <= 0 || len(c.Rows[0].Runs) == 0 {
		return nil
	}
	e := c.Rows[0].Error.Mean
	return []string{fmt.Sprintf("%s test images: one net's error rate has a standard error of %s points by that alone",
		Thousands(n[0]), Percent(math.Sqrt(e*(1-e)/float64(n[0]))))}
}

// bayesianNotes states what two to five seeds make likely. It is not a test, and the note says so.
func (c *Comparison) bayesianNotes() []string {
	var rows []string
	for _, r := range c.Rows {
		if r.Delta == nil || r.Delta.Prior == nil {
			continue
		}
		p := *r.Delta.Prior
		if c.Metric.More {
			p.Lower = 1 - p.Lower
		}
		text := Sanitize(r.Variant) + " better " + probability(p.Lower)
		if c.margin > 0 {
			text += fmt.Sprintf(", within ±%s %s", c.Metric.Figure(c.margin), probability(p.Within))
		}
		rows = append(rows, text)
	}
	if len(rows) == 0 {
		return nil
	}
	return []string{"Bayesian, no test: with normal differences and a flat prior the probabilities are " +
		strings.Join(rows, "; ")}
}

// probability writes two decimals, and never shows certainty.
func probability(p float64) string {
	switch {
	case p < 0.005:
		return "< 0.01"
	case p > 0.995:
		return "> 0.99"
	}
	return fmt.Sprintf("%.2f", p)
}

// LevelWords returns the level of the intervals of differences: "95 %".
func (c *Comparison) LevelWords() string {
	if c.Look.Alpha <= 0 {
		return "95 %" // nothing is claimed, and Student's intervals are shown
	}
	return strconv.FormatFloat(RoundTo(100*(1-c.Look.Alpha), 4), 'f', -1, 64) + " %"
}

// DeltaHead returns the head of the column of differences: "Δ [95 %]".
func (c *Comparison) DeltaHead() string {
	if c.Options.Unadjusted {
		return "Δ [" + c.LevelWords() + " unadjusted]"
	}
	return "Δ [" + c.LevelWords() + "]"
}

// familyWords describes the family over which p is adjusted.
func (c *Comparison) familyWords() string {
	text := Count(c.Family, "comparison")
	if p := c.Options.Primary; p != nil && !c.Exploratory && len(p.Also) > 0 {
		text += fmt.Sprintf(" of %d metrics", len(p.metrics()))
	}
	return text
}

// rivalWords describes what Δ is a difference to.
func (c *Comparison) rivalWords() string {
	switch {
	case c.Against != "":
		return "that of the same variant in " + Sanitize(c.Against)
	case c.Shape == Cumulative:
		return "that of the row above"
	}
	return "the baseline's"
}

// nested reports whether each row applies what the row above it does.
func (c *Comparison) nested() bool {
	for i := 1; i < len(c.Rows); i++ {
		for _, a := range c.Rows[i-1].Ablations {
			if !slices.Contains(c.Rows[i].Ablations, a) {
				return false
			}
		}
	}
	return true
}

// seedList writes seeds in few words: "seeds 1–4, 7".
func seedList(seeds []uint64) string {
	var parts []string
	for i := 0; i < len(seeds); {
		j := i
		for j+1 < len(seeds) && seeds[j+1] == seeds[j]+1 {
			j++
		}
		switch {
		case j > i+1:
			parts = append(parts, fmt.Sprintf("%d–%d", seeds[i], seeds[j]))
			i = j + 1
		default:
			parts = append(parts, strconv.FormatUint(seeds[i], 10))
			i++
		}
	}
	word := "seeds "
	if len(seeds) == 1 {
		word = "seed "
	}
	return word + strings.Join(parts, ", ")
}

// numberList writes "2,000", "2,000 or 10,000".
func numberList(numbers []int) string {
	var parts []string
	for _, n := range numbers {
		parts = append(parts, Thousands(n))
	}
	return strings.Join(parts, " or ")
}

// Count writes "1 seed", "2 seeds".
func Count(n int, thing string) string {
	if n != 1 {
		thing += "s"
	}
	return fmt.Sprintf("%d %s", n, thing)
}
