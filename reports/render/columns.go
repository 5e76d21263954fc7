package render

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"ablate/experiments"
	"ablate/reports"
	"ablate/reports/stats"
)

// A field is a column that a comparison can show.
type field struct {
	name   string // for Options.Columns
	column Column
	text   func(reports.Row) string
	claim  bool // printed bold if the verdict is a claim

	heads []string                   // heads of its columns in CSV
	full  func(reports.Row) []string // contents of these columns, in full precision; "" where there is nothing
}

// usual lists the columns shown unless others are asked for. A published difference follows the verdict, and speed
// comes last, if they are known.
var usual = []string{"changed", "k", "error", "delta", "p", "verdict", "params", "macs"}

// Columns returns the names of the columns a table can have besides the variant's name.
func Columns() []string {
	var names []string
	for _, f := range (view{&reports.Comparison{}}).fields() {
		names = append(names, f.name)
	}
	return names
}

// fields returns all columns but the variant's name.
func (c view) fields() []field {
	return slices.Concat([]field{
		{
			name: "changed", column: Column{Head: c.changedHead(), Wrap: cellWidth}, text: changed,
			heads: []string{"changed"},
			full:  func(r reports.Row) []string { return []string{cleanList(r.Changes)} },
		},
		{
			name: "k", column: Column{Head: "k", Right: true}, text: func(r reports.Row) string { return itoa(len(r.Runs)) },
			heads: []string{"k"},
			full:  func(r reports.Row) []string { return []string{itoa(len(r.Runs))} },
		},
		{
			name: "error", column: Column{Head: c.Metric.Head, Right: true}, text: c.errorWords,
			heads: []string{c.Metric.Name + "_mean", c.Metric.Name + "_sd"},
			full:  errorFull,
		},
		{
			name: "interval", column: Column{Head: "95 %"}, text: c.intervalWords,
			heads: []string{c.Metric.Name + "_low", c.Metric.Name + "_high"},
			full:  intervalFull,
		},
		{
			name: "delta", column: Column{Head: c.DeltaHead()},
			text:  func(r reports.Row) string { return c.deltaWords(r.Delta) },
			claim: true,
			heads: c.deltaHeads(), full: c.deltaFull,
		},
		{
			name: "pairs", column: Column{Head: "Δ by seed", Wrap: cellWidth}, text: c.pairsWords,
			heads: []string{"delta_by_seed"},
			full:  pairsFull,
		},
		{
			name: "raw_p", column: Column{Head: "p", Right: true}, text: rawPWords,
			heads: []string{"p"},
			full:  func(r reports.Row) []string { return tested(r, func(d *reports.Delta) float64 { return d.P }) },
		},
		{
			name: "p", column: Column{Head: "p (adjusted)", Right: true},
			text:  func(r reports.Row) string { return adjustedWords(r.Delta) },
			heads: []string{"p_adjusted"},
			full:  func(r reports.Row) []string { return tested(r, func(d *reports.Delta) float64 { return d.Adjusted }) },
		},
		{
			name: "wins", column: Column{Head: "P(better) [95 %]"}, text: winsWords,
			heads: []string{"won", "tied", "lost", "p_better", "p_better_low", "p_better_high", "p_better_word"},
			full:  winsFull,
		},
		{
			name: "verdict", column: Column{Head: "verdict", Wrap: cellWidth}, text: c.verdictWords, claim: true,
			heads: []string{"verdict", "no_difference_beyond", "same_within", "needs_seeds"},
			full:  verdictFull,
		},
		{
			name: "published", column: Column{Head: "published Δ", Right: true}, text: reports.Row.PublishedDelta,
			heads: []string{"published_delta", "published_bound"},
			full:  publishedFull,
		},
		{
			name: "source", column: Column{Head: "source"}, text: sourceWords,
			heads: []string{"published_source", "published_where", "published_from_memory"},
			full:  sourceFull,
		},
		{
			name: "agreement", column: Column{Head: "agreement", Wrap: cellWidth}, text: reports.Row.Agreement,
			heads: []string{"agreement", "agreement_why"},
			full:  agreementFull,
		},
		{
			name: "seeds", column: Column{Head: "seeds to show Δ", Right: true}, text: c.seedsWords,
			heads: []string{"seeds_to_show_delta"},
			full:  c.seedsFull,
		},
		{
			name: "params", column: Column{Head: "params", Right: true},
			text:  func(r reports.Row) string { return siCount(r.Params) },
			heads: []string{"params"},
			full:  func(r reports.Row) []string { return []string{positive(r.Params)} },
		},
		{
			name: "macs", column: Column{Head: "MACs", Right: true}, text: func(r reports.Row) string { return siCount(r.MACs) },
			heads: []string{"macs"},
			full:  func(r reports.Row) []string { return []string{positive(r.MACs)} },
		},
		{
			name: "device", column: Column{Head: "device"}, text: deviceWords,
			heads: []string{"device"},
			full:  deviceFull,
		},
		{
			name: "moved", column: Column{Head: "moved/step", Right: true}, text: movedWords,
			heads: []string{"bytes_moved"},
			full:  movedFull,
		},
		{
			name: "speed", column: Column{Head: "images/s", Right: true}, text: c.speedWords,
			heads: []string{"images_per_second", "hardware"},
			full:  c.speedFull,
		},
	}, usageFields())
}

// UsualColumns returns the names of the columns that a comparison has unless others are asked for.
func UsualColumns(c *reports.Comparison) []string {
	names := slices.Clone(usual)
	if !slices.ContainsFunc(c.Rows, func(r reports.Row) bool { return r.Params > 0 || r.MACs > 0 }) {
		names = slices.DeleteFunc(names, func(name string) bool { return name == "params" || name == "macs" })
	}
	if c.Publishes() {
		names = slices.Insert(names, slices.Index(names, "verdict")+1, "published", "source", "agreement")
	}
	if c.Options.Speed && len(c.Hardware()) > 0 {
		if c.ComparesDevices() {
			names = append(names, "device", "moved")
		}
		names = append(names, "speed")
	}
	return names
}

// chosen returns the columns that this comparison shows besides the variant's name.
func (c view) chosen() ([]field, error) {
	names := c.Options.Columns
	if len(names) == 0 {
		names = UsualColumns(c.Comparison)
	}
	known := c.fields()
	var fields []field
	for _, name := range names {
		i := slices.IndexFunc(known, func(f field) bool { return f.name == name })
		switch {
		case name == "variant": // always there, always first
		case i < 0:
			return nil, fmt.Errorf("%w: column %q; want one of %s", reports.ErrOption, name, strings.Join(Columns(), ", "))
		case name == "changed" && c.Shape == reports.Matrix:
			fields = append(fields, c.marks()...)
		default:
			fields = append(fields, known[i])
		}
	}
	return fields, nil
}

// marks returns the columns of the matrix shape: one for each ablation, marked in the rows that apply it.
func (c view) marks() []field {
	applied := make([][]string, len(c.Rows))
	var all []string
	for i, r := range c.Rows {
		if i == 0 && c.Baseline != "" {
			continue
		}
		applied[i] = slices.Clone(r.Ablations)
		same := slices.ContainsFunc(applied[:i], func(a []string) bool { return slices.Equal(a, applied[i]) })
		if len(applied[i]) == 0 || same { // its own edits distinguish it from the others
			applied[i] = append(applied[i], r.Variant)
		}
		for _, a := range applied[i] {
			if !slices.Contains(all, a) {
				all = append(all, a)
			}
		}
	}
	var fields []field
	for _, a := range all {
		has := func(r reports.Row) bool {
			i := slices.IndexFunc(c.Rows, func(o reports.Row) bool { return o.Variant == r.Variant })
			return slices.Contains(applied[i], a)
		}
		fields = append(fields, field{
			name:   "changed",
			column: Column{Head: reports.Sanitize(a)},
			text: func(r reports.Row) string {
				if has(r) {
					return "✓"
				}
				return "·"
			},
			heads: []string{reports.Sanitize(a)},
			full:  func(r reports.Row) []string { return []string{strconv.FormatBool(has(r))} },
		})
	}
	return fields
}

func itoa(n int) string { return strconv.Itoa(n) }

// exact writes a figure so that it reads back the same.
func exact(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }

// positive writes a count; it is empty if the count is not known.
func positive(n int64) string {
	if n <= 0 {
		return ""
	}
	return strconv.FormatInt(n, 10)
}

func (c view) changedHead() string {
	if c.Against != "" {
		return "changed since " + reports.Sanitize(c.Against)
	}
	return "changed"
}

func changed(r reports.Row) string {
	if len(r.Changes) == 0 {
		return reports.None
	}
	return cleanList(r.Changes)
}

func cleanList(words []string) string { return reports.Sanitize(strings.Join(words, ", ")) }

func (c view) errorWords(r reports.Row) string {
	switch e := r.Error; {
	case e.K > 1:
		return c.Metric.Figure(e.Mean) + " ± " + c.Metric.Figure(e.SD)
	case e.K == 1:
		return c.Metric.Figure(e.Mean)
	}
	for _, s := range troubles {
		if r.Status[s] > 0 {
			return string(s)
		}
	}
	return reports.None
}

func errorFull(r reports.Row) []string {
	switch e := r.Error; e.K {
	case 0:
		return []string{"", ""}
	case 1:
		return []string{exact(e.Mean), ""}
	default:
		return []string{exact(e.Mean), exact(e.SD)}
	}
}

func (c view) intervalWords(r reports.Row) string {
	i := r.Error.Interval
	if i == nil {
		return reports.None
	}
	return "[" + c.Metric.Figure(i.Low) + ", " + c.Metric.Figure(i.High) + "]"
}

func intervalFull(r reports.Row) []string { return bounds(r.Error.Interval) }

func bounds(i *stats.Interval) []string {
	if i == nil {
		return []string{"", ""}
	}
	return []string{exact(i.Low), exact(i.High)}
}

func (c view) deltaWords(d *reports.Delta) string {
	m := c.Metric
	switch {
	case d == nil:
		return reports.None
	case d.Shown() == nil:
		return m.Signed(d.Mean)
	default:
		return fmt.Sprintf("%s [%s, %s]", m.Signed(d.Mean), m.Signed(d.Shown().Low), m.Signed(d.Shown().High))
	}
}

// pairsWords writes the difference under each seed, "1: +0.71, 2: −0.17".
func (c view) pairsWords(r reports.Row) string {
	if r.Delta == nil {
		return reports.None
	}
	var words []string
	for _, p := range r.Delta.Pairs {
		words = append(words, fmt.Sprintf("%d: %s", p.Seed, c.Metric.Signed(p.Difference)))
	}
	return strings.Join(words, ", ")
}

func pairsFull(r reports.Row) []string {
	if r.Delta == nil {
		return []string{""}
	}
	var words []string
	for _, p := range r.Delta.Pairs {
		words = append(words, fmt.Sprintf("%d:%s", p.Seed, exact(p.Difference)))
	}
	return []string{strings.Join(words, " ")}
}

func (c view) deltaHeads() []string {
	heads := []string{"pairs", "delta", "delta_sd", "delta_low", "delta_high"}
	if c.Options.Unadjusted {
		heads = append(heads, "unadjusted_low", "unadjusted_high")
	}
	return heads
}

func (c view) deltaFull(r reports.Row) []string {
	full := make([]string, 0, 7)
	switch d := r.Delta; {
	case d == nil:
		full = append(full, "", "", "", "", "")
	case d.K == 1:
		full = append(full, "1", exact(d.Mean), "", "", "")
	default:
		full = append(append(full, itoa(d.K), exact(d.Mean), exact(d.SD)), bounds(d.Interval)...)
	}
	if c.Options.Unadjusted {
		var alone *stats.Interval
		if r.Delta != nil {
			alone = r.Delta.Alone
		}
		full = append(full, bounds(alone)...)
	}
	return full
}

// adjustedWords writes the adjusted p value; one pair tests nothing.
func adjustedWords(d *reports.Delta) string {
	if d == nil || d.K < 2 {
		return reports.None
	}
	return reports.PValue(d.Adjusted)
}

func rawPWords(r reports.Row) string {
	if r.Delta == nil || r.Delta.K < 2 {
		return reports.None
	}
	return reports.PValue(r.Delta.P)
}

// tested writes a p value in full precision if there was a test.
func tested(r reports.Row, p func(*reports.Delta) float64) []string {
	if r.Delta == nil || r.Delta.K < 2 {
		return []string{""}
	}
	return []string{exact(p(r.Delta))}
}

func winsWords(r reports.Row) string {
	if r.Delta == nil {
		return reports.None
	}
	w := r.Delta.Wins
	return fmt.Sprintf("%.2f [%.2f, %.2f] %s", w.Share, w.Interval.Low, w.Interval.High, w.Word())
}

func winsFull(r reports.Row) []string {
	if r.Delta == nil {
		return make([]string, 7)
	}
	w := r.Delta.Wins
	full := append([]string{itoa(w.Won), itoa(w.Tied), itoa(w.Lost), exact(w.Share)}, bounds(&w.Interval)...)
	return append(full, w.Word())
}

// troubles lists the states of runs that are not finished, the gravest first.
var troubles = []experiments.Status{
	experiments.Diverged, experiments.Failed, experiments.Interrupted, experiments.Running,
}

// verdictWords writes the verdict and, beside it, how many runs it leaves out.
func (c view) verdictWords(r reports.Row) string {
	var parts []string
	if d := r.Delta; d != nil {
		parts = append(parts, exploratory(d)+c.verdict(d.Verdict))
	}
	for _, s := range troubles {
		if n := r.Status[s]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, s))
		}
	}
	if len(parts) == 0 {
		return reports.None
	}
	return strings.Join(parts, " · ")
}

func (c view) verdict(v stats.Verdict) string {
	switch {
	case v.Word == stats.NoEvidence && v.Beyond > stats.SameDifference:
		return fmt.Sprintf("%s (no difference beyond ±%s)", v.Word, c.Metric.Figure(v.Beyond))
	case v.Word == stats.Same:
		return fmt.Sprintf("%s within ±%s", v.Word, c.Metric.Figure(v.Margin))
	case v.Word == stats.TooFew:
		return fmt.Sprintf("%s (needs %d)", v.Word, v.Needs)
	}
	return string(v.Word)
}

// exploratory returns the word that precedes a finding outside the declared family.
func exploratory(d *reports.Delta) string {
	if w := d.Verdict.Word; d.Outside && (w.Claims() || w == stats.Same) {
		return "exploratory: "
	}
	return ""
}

func verdictFull(r reports.Row) []string {
	if r.Delta == nil {
		return make([]string, 4)
	}
	v := r.Delta.Verdict
	full := []string{exploratory(r.Delta) + string(v.Word), "", "", ""}
	if v.Beyond > stats.SameDifference {
		full[1] = exact(v.Beyond)
	}
	if v.Margin > 0 {
		full[2] = exact(v.Margin)
	}
	if v.Needs > 0 {
		full[3] = itoa(v.Needs)
	}
	return full
}

// seedsToShow returns how many seeds would show a row's Δ if it is as large as it looks. It returns 0 if that is not
// known or if no number of seeds would suffice.
func (c view) seedsToShow(r reports.Row) int {
	if r.Delta == nil || r.Delta.K < 2 || r.Delta.SD < stats.SameDifference {
		return 0
	}
	return stats.PairsFor(r.Delta.Mean, r.Delta.SD, c.Family)
}

func (c view) seedsWords(r reports.Row) string {
	if n := c.seedsToShow(r); n > 0 {
		return itoa(n)
	}
	return reports.None
}

func (c view) seedsFull(r reports.Row) []string { return []string{positive(int64(c.seedsToShow(r)))} }

func deviceWords(r reports.Row) string { return cmp.Or(deviceFull(r)[0], reports.None) }

func deviceFull(r reports.Row) []string {
	if len(r.Speeds) != 1 {
		return []string{""}
	}
	return []string{reports.Sanitize(r.Speeds[0].Device)}
}

// movedWords writes the bytes that a row's devices send each other in a training step.
func movedWords(r reports.Row) string {
	if len(r.Speeds) != 1 || r.Speeds[0].BytesMoved == 0 {
		return reports.None
	}
	return fmt.Sprintf("%.2f MB", float64(r.Speeds[0].BytesMoved)/1e6)
}

func movedFull(r reports.Row) []string {
	if len(r.Speeds) != 1 {
		return []string{""}
	}
	return []string{positive(r.Speeds[0].BytesMoved)}
}

// speedWords writes a row's speed if the whole table was measured on one kind of hardware, or compares devices.
func (c view) speedWords(r reports.Row) string {
	if len(r.Speeds) != 1 || len(c.Hardware()) != 1 && !c.ComparesDevices() {
		return reports.None
	}
	return reports.Thousands(r.Speeds[0].ImagesPerSecond)
}

// speedFull writes a row's speed and the hardware on which it was measured, if that is of one kind.
func (c view) speedFull(r reports.Row) []string {
	if len(r.Speeds) != 1 {
		return []string{"", ""}
	}
	return []string{exact(r.Speeds[0].ImagesPerSecond), reports.Sanitize(r.Speeds[0].Hardware)}
}

func sourceWords(r reports.Row) string {
	if r.Published == nil {
		return reports.None
	}
	if r.Published.Claim.Memory {
		return r.Published.Claim.Key + " (from memory)"
	}
	return r.Published.Claim.Key
}

func publishedFull(r reports.Row) []string {
	j := r.Published
	if j == nil {
		return []string{"", ""}
	}
	return []string{exact(j.Delta / 100), j.Figure.Bound}
}

func sourceFull(r reports.Row) []string {
	if r.Published == nil {
		return []string{"", "", ""}
	}
	c := r.Published.Claim
	return []string{reports.Sanitize(c.Source), reports.Sanitize(c.Where), strconv.FormatBool(c.Memory)}
}

func agreementFull(r reports.Row) []string {
	if r.Published == nil {
		return []string{"", ""}
	}
	return []string{string(r.Published.Agreement), r.Published.Why}
}

// effectFields lists the columns that apply to effects too.
var effectFields = []string{"delta", "raw_p", "p", "verdict"}
