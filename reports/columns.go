package reports

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"ablate/experiments"
	"ablate/reports/stats"
)

// A field is a column that a comparison can show.
type field struct {
	name   string // for Options.Columns
	column column
	text   func(Row) string
	claim  bool // printed bold where the verdict is a claim

	heads []string           // of its columns in CSV
	full  func(Row) []string // what stands in them, in full precision; "" where there is nothing
}

// usual are the columns shown unless others are asked for. What was published follows the
// verdict where there is such a thing, and speed the rest where it was measured.
var usual = []string{"changed", "k", "error", "delta", "p", "verdict", "params", "macs"}

// Columns gives the names of the columns a table can have besides the variant's name.
func Columns() []string {
	var names []string
	for _, f := range (&Comparison{Metric: metrics[0]}).fields() {
		names = append(names, f.name)
	}
	return names
}

// fields are all columns there are but the variant's name.
func (c *Comparison) fields() []field {
	return []field{
		{"changed", column{head: c.changedHead(), wrap: cellWidth}, changed, false,
			[]string{"changed"}, func(r Row) []string { return []string{cleanList(r.Changes)} }},
		{"k", column{head: "k", right: true}, func(r Row) string { return itoa(len(r.Runs)) }, false,
			[]string{"k"}, func(r Row) []string { return []string{itoa(len(r.Runs))} }},
		{"error", column{head: c.Metric.Head, right: true}, c.errorWords, false,
			[]string{c.Metric.Name + "_mean", c.Metric.Name + "_sd"}, errorFull},
		{"interval", column{head: "95 %"}, c.intervalWords, false,
			[]string{c.Metric.Name + "_low", c.Metric.Name + "_high"}, intervalFull},
		{"delta", column{head: "Δ [95 %]"}, func(r Row) string { return c.deltaWords(r.Delta) }, true,
			[]string{"pairs", "delta", "delta_sd", "delta_low", "delta_high"}, deltaFull},
		{"raw_p", column{head: "p", right: true}, rawPWords, false,
			[]string{"p"}, func(r Row) []string { return tested(r, func(d *Delta) float64 { return d.P }) }},
		{"p", column{head: "p (Holm)", right: true}, func(r Row) string { return holmWords(r.Delta) }, false,
			[]string{"p_holm"}, func(r Row) []string { return tested(r, func(d *Delta) float64 { return d.Holm }) }},
		{"wins", column{head: "P(better) [95 %]"}, winsWords, false,
			[]string{"won", "tied", "lost", "p_better", "p_better_low", "p_better_high"}, winsFull},
		{"verdict", column{head: "verdict", wrap: cellWidth}, c.verdictWords, true,
			[]string{"verdict", "smallest_effect", "needs_seeds"}, verdictFull},
		{"published", column{head: "published Δ", right: true}, publishedWords, false,
			[]string{"published_delta", "published_bound"}, publishedFull},
		{"source", column{head: "source"}, sourceWords, false,
			[]string{"published_source", "published_where"}, sourceFull},
		{"agreement", column{head: "agreement", wrap: cellWidth}, agreementWords, false,
			[]string{"agreement", "agreement_why"}, agreementFull},
		{"seeds", column{head: "seeds to show Δ", right: true}, c.seedsWords, false,
			[]string{"seeds_to_show_delta"}, c.seedsFull},
		{"params", column{head: "params", right: true}, func(r Row) string { return metric(r.Params) }, false,
			[]string{"params"}, func(r Row) []string { return []string{positive(r.Params)} }},
		{"macs", column{head: "MACs", right: true}, func(r Row) string { return metric(r.MACs) }, false,
			[]string{"macs"}, func(r Row) []string { return []string{positive(r.MACs)} }},
		{"device", column{head: "device"}, deviceWords, false,
			[]string{"device"}, deviceFull},
		{"moved", column{head: "moved/step", right: true}, movedWords, false,
			[]string{"bytes_moved"}, movedFull},
		{"speed", column{head: "images/s", right: true}, c.speedWords, false,
			[]string{"images_per_second", "hardware"}, c.speedFull},
	}
}

// chosen are the columns this comparison shows besides the variant's name.
func (c *Comparison) chosen() ([]field, error) {
	names := c.columns
	if len(names) == 0 {
		names = slices.Clone(usual)
		if c.publishes() {
			names = slices.Insert(names, slices.Index(names, "verdict")+1, "published", "source", "agreement")
		}
		if c.speed && len(c.hardware()) > 0 {
			if c.comparesDevices() {
				names = append(names, "device", "moved")
			}
			names = append(names, "speed")
		}
	}
	known := c.fields()
	var fields []field
	for _, name := range names {
		i := slices.IndexFunc(known, func(f field) bool { return f.name == name })
		switch {
		case name == "variant": // always there, always first
		case i < 0:
			return nil, fmt.Errorf("%w: column %q; there are %s", ErrOption, name, strings.Join(Columns(), ", "))
		case name == "changed" && c.Shape == Matrix:
			fields = append(fields, c.marks()...)
		default:
			fields = append(fields, known[i])
		}
	}
	return fields, nil
}

// marks are the columns of the shape matrix: one an ablation, marked where it is applied.
func (c *Comparison) marks() []field {
	applied := make([][]string, len(c.Rows))
	var all []string
	for i, r := range c.Rows {
		if i == 0 && c.Baseline != "" {
			continue
		}
		applied[i] = slices.Clone(r.Ablations)
		same := slices.ContainsFunc(applied[:i], func(a []string) bool { return slices.Equal(a, applied[i]) })
		if len(applied[i]) == 0 || same { // its own edits tell it from the others
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
		has := func(r Row) bool {
			i := slices.IndexFunc(c.Rows, func(o Row) bool { return o.Variant == r.Variant })
			return slices.Contains(applied[i], a)
		}
		fields = append(fields, field{
			"changed", column{head: Sanitize(a)},
			func(r Row) string {
				if has(r) {
					return "✓"
				}
				return "·"
			}, false,
			[]string{Sanitize(a)},
			func(r Row) []string { return []string{strconv.FormatBool(has(r))} },
		})
	}
	return fields
}

func itoa(n int) string { return strconv.Itoa(n) }

// exact writes a figure so that it reads back the same.
func exact(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }

// positive writes a count that is known.
func positive(n int64) string {
	if n <= 0 {
		return ""
	}
	return strconv.FormatInt(n, 10)
}

func (c *Comparison) changedHead() string {
	if c.Against != "" {
		return "changed since " + Sanitize(c.Against)
	}
	return "changed"
}

func changed(r Row) string {
	if len(r.Changes) == 0 {
		return none
	}
	return cleanList(r.Changes)
}

func cleanList(words []string) string { return Sanitize(strings.Join(words, ", ")) }

func (c *Comparison) errorWords(r Row) string {
	switch e := r.Error; {
	case e.K > 1:
		return c.Metric.figure(e.Mean) + " ± " + c.Metric.figure(e.SD)
	case e.K == 1:
		return c.Metric.figure(e.Mean)
	}
	for _, s := range troubles {
		if r.Status[s] > 0 {
			return string(s)
		}
	}
	return none
}

func errorFull(r Row) []string {
	switch e := r.Error; e.K {
	case 0:
		return []string{"", ""}
	case 1:
		return []string{exact(e.Mean), ""}
	default:
		return []string{exact(e.Mean), exact(e.SD)}
	}
}

func (c *Comparison) intervalWords(r Row) string {
	i := r.Error.Interval
	if i == nil {
		return none
	}
	return "[" + c.Metric.figure(i.Low) + ", " + c.Metric.figure(i.High) + "]"
}

func intervalFull(r Row) []string { return bounds(r.Error.Interval) }

func bounds(i *stats.Interval) []string {
	if i == nil {
		return []string{"", ""}
	}
	return []string{exact(i.Low), exact(i.High)}
}

func (c *Comparison) deltaWords(d *Delta) string {
	m := c.Metric
	switch {
	case d == nil:
		return none
	case d.Interval == nil:
		return m.signed(d.Mean)
	default:
		return fmt.Sprintf("%s [%s, %s]", m.signed(d.Mean), m.signed(d.Interval.Low), m.signed(d.Interval.High))
	}
}

func deltaFull(r Row) []string {
	d := r.Delta
	switch {
	case d == nil:
		return make([]string, 5)
	case d.K == 1:
		return []string{"1", exact(d.Mean), "", "", ""}
	}
	return append([]string{itoa(d.K), exact(d.Mean), exact(d.SD)}, bounds(d.Interval)...)
}

// holmWords writes the adjusted p value; one pair tests nothing.
func holmWords(d *Delta) string {
	if d == nil || d.K < 2 {
		return none
	}
	return pValue(d.Holm)
}

func rawPWords(r Row) string {
	if r.Delta == nil || r.Delta.K < 2 {
		return none
	}
	return pValue(r.Delta.P)
}

// tested writes a p value in full where there was a test.
func tested(r Row, p func(*Delta) float64) []string {
	if r.Delta == nil || r.Delta.K < 2 {
		return []string{""}
	}
	return []string{exact(p(r.Delta))}
}

func winsWords(r Row) string {
	if r.Delta == nil {
		return none
	}
	w := r.Delta.Wins
	return fmt.Sprintf("%.2f [%.2f, %.2f]", w.Share, w.Interval.Low, w.Interval.High)
}

func winsFull(r Row) []string {
	if r.Delta == nil {
		return make([]string, 6)
	}
	w := r.Delta.Wins
	return append([]string{itoa(w.Won), itoa(w.Tied), itoa(w.Lost), exact(w.Share)}, bounds(&w.Interval)...)
}

// troubles are the ways a run is not done, the gravest first.
var troubles = []experiments.Status{
	experiments.Diverged, experiments.Failed, experiments.Interrupted, experiments.Running,
}

// verdictWords writes the verdict and, beside it, how many runs it leaves out.
func (c *Comparison) verdictWords(r Row) string {
	var parts []string
	if r.Delta != nil {
		parts = append(parts, c.verdict(r.Delta.Verdict))
	}
	for _, s := range troubles {
		if n := r.Status[s]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, s))
		}
	}
	if len(parts) == 0 {
		return none
	}
	return strings.Join(parts, " · ")
}

func (c *Comparison) verdict(v stats.Verdict) string {
	switch {
	case v.Word == stats.NoEvidence && v.Effect > sameDifference:
		return fmt.Sprintf("%s (≥ %s)", v.Word, c.Metric.figure(v.Effect))
	case v.Word == stats.TooFew:
		return fmt.Sprintf("%s (needs %d)", v.Word, v.Needs)
	}
	return string(v.Word)
}

func verdictFull(r Row) []string {
	if r.Delta == nil {
		return make([]string, 3)
	}
	v := r.Delta.Verdict
	full := []string{string(v.Word), "", ""}
	if v.Effect > sameDifference {
		full[1] = exact(v.Effect)
	}
	if v.Needs > 0 {
		full[2] = itoa(v.Needs)
	}
	return full
}

// seedsToShow is how many seeds would show a row's Δ if it is as large as it
// looks; 0 where that cannot be told, or no number of seeds would do.
func (c *Comparison) seedsToShow(r Row) int {
	if r.Delta == nil || r.Delta.K < 2 || r.Delta.SD < sameDifference {
		return 0
	}
	return stats.PairsFor(r.Delta.Mean, r.Delta.SD, c.Family)
}

func (c *Comparison) seedsWords(r Row) string {
	if n := c.seedsToShow(r); n > 0 {
		return itoa(n)
	}
	return none
}

func (c *Comparison) seedsFull(r Row) []string { return []string{positive(int64(c.seedsToShow(r)))} }

// comparesDevices says that the rows trained on different devices, each row on
// its own: the devices are what is compared, and stand beside the speeds.
func (c *Comparison) comparesDevices() bool {
	var devices []string
	for _, r := range c.Rows {
		if len(r.Speeds) > 1 {
			return false
		}
		if len(r.Speeds) == 1 {
			devices = append(devices, r.Speeds[0].Device)
		}
	}
	return len(slices.Compact(slices.Sorted(slices.Values(devices)))) > 1
}

func deviceWords(r Row) string { return cmp.Or(deviceFull(r)[0], none) }

func deviceFull(r Row) []string {
	if len(r.Speeds) != 1 {
		return []string{""}
	}
	return []string{Sanitize(r.Speeds[0].Device)}
}

// movedWords gives the bytes that a row's devices send each other in a training step.
func movedWords(r Row) string {
	if len(r.Speeds) != 1 || r.Speeds[0].BytesMoved == 0 {
		return none
	}
	return fmt.Sprintf("%.2f MB", float64(r.Speeds[0].BytesMoved)/1e6)
}

func movedFull(r Row) []string {
	if len(r.Speeds) != 1 {
		return []string{""}
	}
	return []string{positive(r.Speeds[0].BytesMoved)}
}

// speedWords gives a row's speed where the whole table was measured on one kind
// of hardware, or compares devices.
func (c *Comparison) speedWords(r Row) string {
	if len(r.Speeds) != 1 || len(c.hardware()) != 1 && !c.comparesDevices() {
		return none
	}
	return thousands(r.Speeds[0].ImagesPerSecond)
}

// speedFull gives a row's speed and the hardware it was measured on, where that is one kind.
func (c *Comparison) speedFull(r Row) []string {
	if len(r.Speeds) != 1 {
		return []string{"", ""}
	}
	return []string{exact(r.Speeds[0].ImagesPerSecond), Sanitize(r.Speeds[0].Hardware)}
}
