// Package reports reads records and makes of them the comparison of a study's
// variants, as a typed model. Package render prints it, page draws it.
//
// It takes three steps, each in its own file: group (the records of one
// variant, by seed), compare (spread, difference to the baseline, verdict:
// package stats), notes (everything a reader must know to read a row correctly).
// Warnings are part of the model, so no format can leave them out.
//
// The same records give the same bytes. Speed is the one measured figure that
// time changes, so a table has it only on request, and it has a table of its own.
package reports

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"ablate/experiments"
	"ablate/reports/ledger"
	"ablate/reports/stats"
)

// Errors of this package, for errors.Is.
var (
	// ErrNoRuns is the error for a study without records.
	ErrNoRuns = errors.New("no runs recorded")
	// ErrRecords is the error for records that do not belong in one table.
	ErrRecords = errors.New("records do not belong together")
	// ErrOption is the error for options of which no table can be made.
	ErrOption = errors.New("invalid option")
	// ErrFormat is the error for an unknown format.
	ErrFormat = errors.New("unknown format")
)

// DefaultBaseline is the name of the baseline where Options name no other.
const DefaultBaseline = "baseline"

// Options determine what a table shows.
type Options struct {
	// Variants are the study's variants in its order, runs or no runs: a declared
	// variant without runs is a row that says so, and it counts in the family
	// the p values are adjusted for. Recorded variants that are not among them
	// follow by name.
	Variants []string
	// Baseline is the variant all others are compared with; empty means DefaultBaseline.
	Baseline string
	// Metric is the figure that is compared, one of Metrics or another that runs logged; empty means the first of them.
	Metric string
	// At states which epoch's figure of each run counts.
	At At
	// Kinds describes metrics by name. The metrics of our own runs need no entry.
	Kinds map[string]experiments.MetricKind
	// Primary is what the study declared before its first run; nil where it declared nothing.
	Primary *Primary
	// Looked are the numbers of complete seeds at which tables of the study were made, rising.
	Looked []int
	// Tuning describes how variants found their own values for some keys; nil where they have none.
	Tuning *experiments.Tuning
	// Departures lists where the study's file differs today from what it declared.
	Departures []string
	// Shape states what rows are compared with and how their changes are shown; empty means DeltaShape.
	Shape Shape
	// Columns names the columns to show, each one of render.Columns; none means the usual ones.
	Columns []string
	// Against is another study whose records AgainstRecords are: each variant is
	// compared with the one of its name there instead of with the baseline.
	Against        string
	AgainstRecords []experiments.Record
	// Metrics reads a run's log if its record lacks the figure; nil if no logs are available.
	Metrics func(experiments.Record) ([]experiments.Metric, error)
	// Predictions reads a run's predictions, to compare single nets; nil if none are available.
	Predictions func(experiments.Record) ([]experiments.Prediction, error)
	// Recipes is a cache of recipes that earlier tables have read; nil if there is none.
	Recipes *Recipes
	// Speed adds the column images/s.
	Speed bool
	// Unadjusted shows each difference with the interval of its row alone.
	Unadjusted bool
	// Width is the number of terminal cells a line of text should fit; 0 means no limit.
	// A wider table continues below itself.
	Width int
}

// A Primary is the figure whose verdicts a study was made for. Of five metrics at two
// epochs each, one in six studies without any difference shows a false one somewhere.
type Primary struct {
	Metric string
	At     At
	Also   []string // further metrics, at the same epoch, whose comparisons are in the family too
	Margin float64  // variants that differ by less are called the same; as Metric is printed; 0 is none
	Family []string // variants whose comparisons share an error rate; none means all
	// Looks are the numbers of seeds at which the study is looked at, rising; none means once. Spending says how they
	// share the error rate, as stats.Spending.
	Looks    []int
	Spending string
}

// metrics returns all metrics that the study declares as primary.
func (p Primary) metrics() []string { return append([]string{p.Metric}, p.Also...) }

// A Shape states what rows are compared with and how their changes are shown.
type Shape string

// The shapes.
const (
	DeltaShape Shape = "delta"      // each row against the baseline, what it changes in words
	Matrix     Shape = "matrix"     // each row against the baseline, what it changes as check marks
	Cumulative Shape = "cumulative" // each row against the one above it
)

// Shapes lists the values of Options.Shape.
var Shapes = []string{string(DeltaShape), string(Matrix), string(Cumulative)}

// A Comparison is a study's table: what its records show, ready for any format.
type Comparison struct {
	Study    string
	Net      string // the baseline's net; empty where the records do not name it
	Data     string
	Against  string // the study with which each row is compared; empty if rows are compared with the baseline
	Metric   Metric // the metric of Error and Delta
	At       At     // the epoch of the figures
	Shape    Shape
	Epochs   [2]int   // fewest and most over the runs
	Seeds    []uint64 // every seed any variant has a run for
	Baseline string   // empty where no row is the baseline
	Family   int      // comparisons that p values are adjusted for
	Rows     []Row    // the baseline first
	Effects  []Effect // of a factorial design, smaller sets of factors first; nil for other studies
	Notes    []string // how to read the table
	Origin   []string // where the figures come from: seeds, commit, data, command, hardware

	Paired   bool // every variant that has runs has them for all seeds
	Diverged bool // some run diverged
	// Exploratory reports whether the study declared another primary figure than Metric at At.
	Exploratory bool
	Look        Look    // how many seeds have ended, and the level of the verdicts
	Options     Options // what was asked for

	tested [][]float64 // the differences of the family, by row and seed
	margin float64     // within which two variants are the same; 0 is none

	base    []outcome    // the baseline's runs
	recipes *Recipes     // of the records
	answers *answerCache // to the test images; nil where no predictions are at hand
}

// A Row is one variant.
type Row struct {
	Variant   string
	Changes   []string // what differs from the baseline, in words
	Ablations []string // ablations of the catalogue that made the variant
	Runs      []Run    // the runs that count, by seed
	Status    map[experiments.Status]int
	Error     stats.Estimate    // the metric over Runs: a share, or a loss
	Delta     *Delta            // nil for the baseline and where nothing can be compared
	Params    int64             // 0 where no record says
	MACs      int64             // forward, per image; likewise
	Speeds    []Speed           // by hardware key
	Usage     *Usage            // use of the machine; nil where no run recorded it
	Again     bool              // the baseline itself under other seeds: an A/A comparison
	Published *ledger.Judgement // what was published of Delta to the baseline; nil where nothing was
	Notes     []string          // what a reader must know to read this row
}

// A Run is one finished run's outcome.
type Run struct {
	Seed  uint64
	Error float64 // the metric: a share, or a loss
	Epoch int     // the epoch of Error
}

// A Delta is a variant's difference to its rival, usually the baseline, over the seeds both have finished.
type Delta struct {
	stats.Paired
	Pairs    []Pair           // the differences, by seed
	Wins     stats.Wins       // seeds under which the variant's figure is the lower
	Nets     *stats.McNemar   // of one pair: the two nets on the test images; nil otherwise
	Adjusted float64          // P adjusted over the family (stats.MaxT)
	Plain    bool             // Interval is Student's of this row alone, where there is no simultaneous one
	Alone    *stats.Interval  // of this row by itself, over seeds; nil unless Options.Unadjusted asks for it
	Outside  bool             // outside the family that the study declared: exploratory
	Images   *stats.Crossed   // what seeds and images add to the uncertainty of Δ; nil if not known
	Widened  bool             // Interval is over seeds and images, since the images add more
	Prior    *stats.Posterior // for two or more pairs, too few for a claim; nil otherwise
	Ranked   bool             // diverged runs are in P as the worst outcomes
	Verdict  stats.Verdict
}

// Shown returns the interval printed beside a difference: the simultaneous one, or that of the row alone if it was
// asked for.
func (d *Delta) Shown() *stats.Interval {
	if d.Alone != nil {
		return d.Alone
	}
	return d.Interval
}

// A Pair is the difference under one seed.
type Pair struct {
	Seed       uint64
	Difference float64
}

// Claims reports whether the statistics support the difference.
func (d *Delta) Claims() bool {
	return d != nil && d.Verdict.Word.Claims() && !d.Outside
}

// A Speed is the median training speed of a variant's runs on the same devices of one kind of hardware.
type Speed struct {
	Hardware        string
	Device          string // cpu, cpu:0,cpu:1 …
	BytesMoved      int64  // between its devices in a training step
	Runs            int
	ImagesPerSecond float64
}

// Table compares the variants of a study. It returns an error without any record. Everything else that is missing or
// wrong (no baseline, one seed, diverged runs, figures that are NaN) is shown in the table.
func Table(study string, records []experiments.Record, opts Options) (*Comparison, error) {
	if len(records) == 0 {
		return nil, fmt.Errorf("report %s: %w; `ablate run %s` makes some", study, ErrNoRuns, study)
	}
	if err := check(study, records); err != nil {
		return nil, err
	}
	if err := check(opts.Against, opts.AgainstRecords); err != nil {
		return nil, err
	}
	c := &Comparison{
		Study: study, Against: opts.Against, At: opts.At, Shape: cmp.Or(opts.Shape, DeltaShape),
		Seeds: seedsOf(records), Options: opts, recipes: cmp.Or(opts.Recipes, &Recipes{}),
	}
	var err error
	if c.Metric, err = findMetric(opts.Metric, records, opts); err != nil {
		return nil, err
	}
	if p := opts.Primary; p != nil {
		c.Exploratory = !slices.Contains(p.metrics(), c.Metric.Name) || p.At != c.At
		if p.Metric == c.Metric.Name {
			c.margin = c.Metric.printed(p.Margin)
		}
	}
	if !slices.Contains(Shapes, string(c.Shape)) {
		return nil, fmt.Errorf("%w: shape %q; want one of %s", ErrOption, c.Shape, strings.Join(Shapes, ", "))
	}
	baseline := cmp.Or(opts.Baseline, DefaultBaseline)
	names := order(records, opts.Variants, baseline)
	pick := picker{c.Metric, c.At, opts.Metrics}
	groups, err := group(pick.outcomes(records), c.Seeds, names)
	if err != nil {
		return nil, fmt.Errorf("report %s: %w", study, err)
	}
	for i, name := range names {
		c.Rows = append(c.Rows, newRow(name, groups[i], c.Seeds))
		c.Metric.bound(c.Rows[i].Error.Interval, 0)
	}
	c.Paired = !slices.ContainsFunc(groups, func(g []outcome) bool {
		return len(g) > 0 && len(g) < len(c.Seeds)
	})
	if names[0] == baseline {
		c.Baseline = baseline
	}
	var against map[string][]outcome
	if opts.Against != "" {
		against = byVariantName(pick.outcomes(opts.AgainstRecords))
		c.describeAgainst(groups, against)
	}
	others, err := c.others(names, records)
	if err != nil {
		return nil, fmt.Errorf("report %s: %w", study, err)
	}
	if c.Look, err = c.look(groups); err != nil {
		return nil, fmt.Errorf("report %s: %w", study, err)
	}
	if opts.Predictions != nil {
		c.answers = &answerCache{read: opts.Predictions, of: map[string]*answers{}}
	}
	if c.Baseline != "" {
		c.base = groups[0]
	}
	c.compare(groups, c.rivals(groups, against), others)
	if opts.Against == "" {
		c.Diverged = slices.ContainsFunc(groups, diverged)
	}
	c.describe(groups)
	c.publish(groups)
	return c, nil
}

// check refuses records that no table could show correctly.
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

// order returns the rows' variants: the baseline, the declared ones, then by name those that only have records.
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

// seedsOf returns every seed in the records, in order.
func seedsOf(records []experiments.Record) []uint64 {
	var seeds []uint64
	for _, r := range records {
		seeds = append(seeds, r.Seed)
	}
	slices.Sort(seeds)
	return slices.Compact(seeds)
}
