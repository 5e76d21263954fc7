// Package reports reads records and says what they show: the comparison table
// of a study, as a typed model and printed.
//
// It goes in four steps, each in its own file: group (the records of one
// variant, by seed), compare (spread, difference to the baseline, verdict:
// package stats), note (everything a reader must know to read a row rightly),
// render (the formats). Warnings are part of the model, so no format can leave
// them out.
//
// The same records give the same bytes. Speed is the one measured figure that
// time changes, so a table has it only on request, and it has a table of its own.
package reports

import (
	"errors"
	"fmt"
	"slices"

	"ablate/experiments"
	"ablate/reports/stats"
)

// Errors of this package, for errors.Is.
var (
	// ErrNoRuns says that a study has no records.
	ErrNoRuns = errors.New("no runs recorded")
	// ErrRecords says that records do not belong in one table.
	ErrRecords = errors.New("records do not belong together")
	// ErrFormat says that no format has the name asked for.
	ErrFormat = errors.New("unknown format")
)

// DefaultBaseline is the name of the baseline where Options name no other.
const DefaultBaseline = "baseline"

// Options say what a table shows.
type Options struct {
	// Variants are the study's variants in its order, runs or no runs: a declared
	// variant without runs is a row that says so, and it counts in the family
	// the p values are adjusted for. Recorded variants that are not among them
	// follow by name.
	Variants []string
	// Baseline is the variant all others are compared with; empty means DefaultBaseline.
	Baseline string
	// Speed adds the column images/s and the hardware it was measured on.
	Speed bool
	// Width is the number of terminal cells a line of text should fit; 0 means no limit.
	// A wider table continues below itself.
	Width int
}

// A Comparison is a study's table: what its records show, ready for any format.
type Comparison struct {
	Study    string
	Net      string // the baseline's, empty where the records do not say
	Data     string
	Epochs   [2]int   // fewest and most over the runs
	Seeds    []uint64 // every seed any variant has a run for
	Baseline string   // empty where no row is the baseline
	Family   int      // comparisons that p values are adjusted for
	Rows     []Row    // the baseline first
	Notes    []string // how to read the table
	Origin   []string // where the figures come from: seeds, commit, data, command, hardware

	paired bool // every variant that has runs has them for all seeds
	speed  bool
	width  int
}

// A Row is one variant.
type Row struct {
	Variant string
	Changes []string // what differs from the baseline, in words
	Runs    []Run    // that count, by seed
	Status  map[experiments.Status]int
	Error   stats.Estimate // top-1 error over Runs, a share
	Delta   *Delta         // nil for the baseline and where nothing can be compared
	Params  int64          // 0 where no record says
	MACs    int64          // forward, per image; likewise
	Speeds  []Speed        // by hardware key
	Notes   []string       // what a reader must know to read this row
}

// A Run is one finished run's outcome.
type Run struct {
	Seed  uint64
	Error float64 // top-1 test error at the last epoch, a share
}

// A Delta is a variant's difference to the baseline in top-1 error, over the seeds both have finished.
type Delta struct {
	stats.Paired
	Holm    float64 // P adjusted over the family
	Verdict stats.Verdict
}

// A Speed is the median training speed of a variant's runs on one kind of hardware.
type Speed struct {
	Hardware        string
	Runs            int
	ImagesPerSecond float64
}

// Table compares the variants of a study. It needs at least one record; every
// other lack (no baseline, one seed, diverged runs, figures that are no
// numbers) is shown in the table.
func Table(study string, records []experiments.Record, opts Options) (*Comparison, error) {
	if len(records) == 0 {
		return nil, fmt.Errorf("report %s: %w; `ablate run %s` makes some", study, ErrNoRuns, study)
	}
	if err := check(study, records); err != nil {
		return nil, err
	}
	baseline := opts.Baseline
	if baseline == "" {
		baseline = DefaultBaseline
	}
	names := order(records, opts.Variants, baseline)
	groups, err := group(records, names)
	if err != nil {
		return nil, fmt.Errorf("report %s: %w", study, err)
	}
	c := &Comparison{Study: study, Seeds: seedsOf(records), speed: opts.Speed, width: opts.Width}
	for i, name := range names {
		c.Rows = append(c.Rows, newRow(name, groups[i], c.Seeds))
	}
	c.paired = !slices.ContainsFunc(groups, func(g []experiments.Record) bool {
		return len(g) > 0 && len(g) < len(c.Seeds)
	})
	if names[0] == baseline {
		c.Baseline = baseline
	}
	c.compare(groups)
	c.describe(groups)
	return c, nil
}

// check refuses what no table could show rightly.
func check(study string, records []experiments.Record) error {
	type key struct {
		variant string
		seed    uint64
	}
	seen := map[key]bool{}
	for _, r := range records {
		if r.Study != study {
			return fmt.Errorf("report %s: %w: one is of study %q", study, ErrRecords, r.Study)
		}
		k := key{r.Variant, r.Seed}
		if seen[k] {
			return fmt.Errorf("report %s: %w: two are of variant %q, seed %d; keep one", study, ErrRecords, r.Variant, r.Seed)
		}
		seen[k] = true
	}
	return nil
}

// order gives the rows' variants: the baseline, the declared ones, then by name those that only have records.
func order(records []experiments.Record, declared []string, baseline string) []string {
	var recorded []string
	for _, r := range records {
		recorded = append(recorded, r.Variant)
	}
	slices.Sort(recorded)
	var names []string
	for _, n := range slices.Concat(declared, recorded) {
		if !slices.Contains(names, n) {
			names = append(names, n)
		}
	}
	if i := slices.Index(names, baseline); i > 0 {
		names = slices.Insert(slices.Delete(names, i, i+1), 0, baseline)
	}
	return names
}

// seedsOf gives every seed in the records, in order.
func seedsOf(records []experiments.Record) []uint64 {
	var seeds []uint64
	for _, r := range records {
		seeds = append(seeds, r.Seed)
	}
	slices.Sort(seeds)
	return slices.Compact(seeds)
}
