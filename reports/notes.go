package reports

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"ablate/experiments"
	"ablate/reports/stats"
)

// runNotes says which of a variant's runs are not in its mean, and why.
func runNotes(records []experiments.Record, seeds []uint64) []string {
	if len(records) == 0 {
		return []string{"no runs yet"}
	}
	var notes []string
	by := map[experiments.Status][]uint64{}
	ends := map[experiments.Status][]string{}
	var recorded, unusable []uint64
	done := 0
	for _, r := range records {
		recorded = append(recorded, r.Seed)
		switch {
		case r.Status == experiments.Diverged || r.Status == experiments.Failed:
			ends[r.Status] = append(ends[r.Status], end(r))
		case r.Status != experiments.Done:
			by[r.Status] = append(by[r.Status], r.Seed)
		case !counts(r):
			unusable = append(unusable, r.Seed)
		default:
			done++
		}
	}
	for _, status := range []experiments.Status{experiments.Diverged, experiments.Failed} {
		if e := ends[status]; len(e) > 0 {
			notes = append(notes, fmt.Sprintf("%d of %s %s, not in the mean: %s",
				len(e), count(len(records), "run"), status, strings.Join(e, "; ")))
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
	if len(unusable) > 0 {
		notes = append(notes, fmt.Sprintf("%s done, but the record holds no error rate between 0 and 1; left out",
			seedList(unusable)))
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

// end says how one run came to a bad end.
func end(r experiments.Record) string {
	text := fmt.Sprintf("seed %d", r.Seed)
	if r.Error != "" {
		text += " (" + r.Error + ")"
	}
	return text
}

// sameDifference is a spread that no two error rates can have unless they are the same: far below one test image.
const sameDifference = 1e-9

// pairNotes says what stands in the way of reading a row's Δ simply.
func pairNotes(row, base Row, records, baseRecords []experiments.Record) []string {
	d := row.Delta
	if d == nil {
		if len(row.Runs) == 0 || recipes(records) > 1 {
			return nil // said already
		}
		if recipes(baseRecords) > 1 {
			return []string{"the baseline's runs follow different recipes: no Δ"}
		}
		return []string{"no seed that the baseline has finished too: no Δ"}
	}
	var notes []string
	if d.K < len(row.Runs) || d.K < len(base.Runs) {
		notes = append(notes, fmt.Sprintf("Δ is over the %s that this variant and the baseline both finished",
			count(d.K, "seed")))
	}
	switch {
	case d.K < 2 || d.SD > sameDifference:
	case math.Abs(d.Mean) < sameDifference:
		notes = append(notes, "every seed gave the baseline's error exactly: do the two really train different nets?")
	default:
		notes = append(notes, "every seed gave the same difference: the interval has no width")
	}
	if a, b := testExamples(records), testExamples(baseRecords); !slices.Equal(a, b) {
		notes = append(notes, fmt.Sprintf("tested on %s images, the baseline on %s", numberList(a), numberList(b)))
	}
	return notes
}

// testExamples gives the sizes of the test sets that a variant's runs saw.
func testExamples(records []experiments.Record) []int {
	var sizes []int
	for _, r := range records {
		if counts(r) {
			sizes = append(sizes, r.Result.TestExamples)
		}
	}
	slices.Sort(sizes)
	return slices.Compact(sizes)
}

// describe fills in what the whole table says: the title's parts, how to read it, where it comes from.
func (c *Comparison) describe(groups [][]experiments.Record) {
	records := slices.Concat(groups...)
	for i, r := range records {
		p := readRecipe(r.Recipe)
		if i == 0 {
			c.Net, c.Data = p.net, p.Data.Name
		}
		if e := epochs(r, p); e > 0 {
			if c.Epochs[0] == 0 || e < c.Epochs[0] {
				c.Epochs[0] = e
			}
			c.Epochs[1] = max(c.Epochs[1], e)
		}
	}
	c.Notes = c.readingNotes(records)
	c.Origin = c.origin(records)
}

// epochs is how long a run trained, or was to train.
func epochs(r experiments.Record, p recipe) int {
	if r.Result != nil && r.Result.Epochs > 0 {
		return r.Result.Epochs
	}
	return p.Train.Epochs
}

// readingNotes explain the columns, as far as the table has them.
func (c *Comparison) readingNotes(records []experiments.Record) []string {
	var notes []string
	var spread, compared, effect, needs bool
	how := "exact"
	for _, r := range c.Rows {
		spread = spread || r.Error.K > 1
		if r.Delta != nil {
			compared = true
			if r.Delta.K > stats.ExactPairs {
				how = "sampled"
			}
			if r.Delta.Verdict.Effect > sameDifference {
				effect = true
			}
			if r.Delta.Verdict.Needs > 0 {
				needs = true
			}
		}
	}
	if spread {
		notes = append(notes, "error: mean ± standard deviation (k − 1) over k seeds")
	}
	if compared {
		notes = append(notes, fmt.Sprintf("Δ: error minus the baseline's in percentage points, over paired seeds, "+
			"with its 95 %% t interval; p: %s sign-flip test, Holm-adjusted over %s", how, count(c.Family, "comparison")))
	}
	if effect {
		notes = append(notes, "no evidence (≥ x): no claim either way; "+
			"a difference of x points or more would have shown in about 4 of 5 such studies")
	}
	if needs {
		notes = append(notes, fmt.Sprintf("too few seeds: with %s no result of fewer paired seeds can reach p ≤ 0.05",
			count(c.Family, "comparison")))
	}
	if c.Baseline == "" {
		notes = append(notes, "no variant is the baseline: nothing is compared")
	} else if len(c.Rows[0].Runs) == 0 {
		notes = append(notes, "the baseline has no finished run: nothing is compared")
	}
	if n := testExamples(records); len(n) == 1 && n[0] > 0 && len(c.Rows[0].Runs) > 0 {
		e := c.Rows[0].Error.Mean
		notes = append(notes, fmt.Sprintf("%s test images: one net's error rate has a standard error of %s points by that alone",
			thousands(float64(n[0])), percent(math.Sqrt(e*(1-e)/float64(n[0])))))
	}
	return notes
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
		parts = append(parts, thousands(float64(n)))
	}
	return strings.Join(parts, " or ")
}

// count writes "1 seed", "2 seeds".
func count(n int, thing string) string {
	if n != 1 {
		thing += "s"
	}
	return fmt.Sprintf("%d %s", n, thing)
}
