package reports

import (
	"fmt"
	"slices"
	"strings"

	"ablate/experiments"
	"ablate/reports/stats"
)

// A document is a table as words: what every format prints.
type document struct {
	title     string
	columns   []column
	rows      [][]cell
	footnotes []string // the first has mark 1
	notes     []string
	width     int // terminal cells a line should fit, 0 for no limit
}

// A column is the head of a column and how its cells stand.
type column struct {
	head  string
	right bool
	wrap  int // terminal cells beyond which words go on below; 0 for never
}

// A cell is words and the marks of the footnotes that belong to them.
type cell struct {
	text  string
	marks []int
}

// table is the comparison as a document.
func (c *Comparison) table() document {
	d := document{title: c.title(), notes: slices.Concat(c.Notes, c.Origin), width: c.width}
	d.columns = []column{
		{head: "variant", wrap: cellWidth}, {head: "changed", wrap: cellWidth}, {head: "k", right: true},
		{head: "top-1 error %", right: true}, {head: "Δ [95 %]"}, {head: "p (Holm)", right: true},
		{head: "verdict", wrap: cellWidth}, {head: "params", right: true}, {head: "MACs", right: true},
	}
	speed := c.speed && len(c.hardware()) > 0
	if speed {
		d.columns = append(d.columns, column{head: "images/s", right: true})
	}
	for _, r := range c.Rows {
		name := cell{text: clean(r.Variant)}
		for _, n := range r.Notes {
			name.marks = append(name.marks, d.footnote(n))
		}
		words := []string{
			changed(r), fmt.Sprint(len(r.Runs)), errorCell(r), deltaCell(r), holmCell(r), verdictCell(r),
			metric(r.Params), metric(r.MACs),
		}
		if speed {
			words = append(words, c.speedCell(r))
		}
		row := []cell{name}
		for _, w := range words {
			row = append(row, cell{text: w})
		}
		d.rows = append(d.rows, row)
	}
	return d
}

// footnote gives the mark of a note, the same for the same words.
func (d *document) footnote(text string) int {
	i := slices.Index(d.footnotes, text)
	if i < 0 {
		i = len(d.footnotes)
		d.footnotes = append(d.footnotes, text)
	}
	return i + 1
}

// title writes "study · net on data · 40 epochs · 8 paired seeds · what the error is".
func (c *Comparison) title() string {
	parts := []string{clean(c.Study)}
	switch net, data := clean(c.Net), clean(c.Data); {
	case net != "" && data != "":
		parts = append(parts, net+" on "+data)
	case net+data != "":
		parts = append(parts, net+data)
	}
	if e := c.Epochs; e[1] > 0 {
		text := count(e[1], "epoch")
		if e[0] != e[1] {
			text = fmt.Sprintf("%d–%s", e[0], text)
		}
		parts = append(parts, text)
	}
	seeds := count(len(c.Seeds), "seed")
	if c.Baseline != "" && c.paired && len(c.Seeds) > 1 {
		seeds = count(len(c.Seeds), "paired seed")
	}
	return strings.Join(append(parts, seeds, "top-1 test error at the last epoch"), " · ")
}

func changed(r Row) string {
	if len(r.Changes) == 0 {
		return none
	}
	return clean(strings.Join(r.Changes, ", "))
}

func errorCell(r Row) string {
	switch e := r.Error; {
	case e.K > 1:
		return percent(e.Mean) + " ± " + percent(e.SD)
	case e.K == 1:
		return percent(e.Mean)
	}
	for _, s := range troubles {
		if r.Status[s] > 0 {
			return string(s)
		}
	}
	return none
}

func deltaCell(r Row) string {
	switch d := r.Delta; {
	case d == nil:
		return none
	case d.Interval == nil:
		return signed(d.Mean)
	default:
		return fmt.Sprintf("%s [%s, %s]", signed(d.Mean), signed(d.Interval.Low), signed(d.Interval.High))
	}
}

func holmCell(r Row) string {
	if r.Delta == nil || r.Delta.K < 2 {
		return none // one pair tests nothing
	}
	return pValue(r.Delta.Holm)
}

// troubles are the ways a run is not done, the gravest first.
var troubles = []experiments.Status{
	experiments.Diverged, experiments.Failed, experiments.Interrupted, experiments.Running,
}

// verdictCell writes the verdict and, beside it, how many runs it leaves out.
func verdictCell(r Row) string {
	var parts []string
	if r.Delta != nil {
		parts = append(parts, verdict(r.Delta.Verdict))
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

func verdict(v stats.Verdict) string {
	switch {
	case v.Word == stats.NoEvidence && v.Effect > sameDifference:
		return fmt.Sprintf("%s (≥ %s)", v.Word, percent(v.Effect))
	case v.Word == stats.TooFew:
		return fmt.Sprintf("%s (needs %d)", v.Word, v.Needs)
	}
	return string(v.Word)
}

// speedCell gives a row's speed where the whole table was measured on one kind of hardware.
func (c *Comparison) speedCell(r Row) string {
	if len(r.Speeds) != 1 || len(c.hardware()) != 1 {
		return none
	}
	return thousands(r.Speeds[0].ImagesPerSecond)
}

// speedTable is every speed that was measured as a document.
func (c *Comparison) speedTable() document {
	d := document{
		title: clean(c.Study) + " · training speed",
		columns: []column{
			{head: "variant", wrap: cellWidth}, {head: "runs", right: true},
			{head: "images/s", right: true}, {head: "hardware"},
		},
		notes: []string{"images/s: training, warm-up left out, median over runs; comparable only on the same hardware"},
		width: c.width,
	}
	for _, r := range c.Rows {
		for _, s := range r.Speeds {
			d.rows = append(d.rows, []cell{
				{text: clean(r.Variant)}, {text: fmt.Sprint(s.Runs)},
				{text: thousands(s.ImagesPerSecond)}, {text: clean(s.Hardware)},
			})
		}
	}
	if len(d.rows) == 0 {
		d.notes = []string{"no finished run has a speed"}
	}
	return d
}
