package reports

import (
	"fmt"
	"slices"
	"strings"
)

// A document is a table as words: what every format prints.
type document struct {
	name      string // to refer to it by
	title     string
	columns   []column
	rows      [][]cell
	footnotes []string // the first has mark 1
	notes     []string
	more      []document // tables that follow
	width     int        // terminal cells a line should fit, 0 for no limit
}

// A column is the head of a column and how its cells stand.
type column struct {
	head  string
	right bool
	wrap  int // terminal cells beyond which words go on below; 0 for never
}

// A cell is words, the marks of the footnotes that belong to them, and whether the statistics carry what they claim.
type cell struct {
	text  string
	marks []int
	bold  bool
}

// table is the comparison as a document.
func (c *Comparison) table() (document, error) {
	fields, err := c.chosen()
	if err != nil {
		return document{}, err
	}
	d := document{name: c.Study, title: c.title(), notes: slices.Concat(c.Notes, c.Origin), width: c.width}
	d.columns = []column{{head: "variant", wrap: cellWidth}}
	for _, f := range fields {
		d.columns = append(d.columns, f.column)
	}
	for _, r := range c.Rows {
		name := cell{text: Sanitize(r.Variant)}
		for _, n := range r.Notes {
			name.marks = append(name.marks, d.footnote(n))
		}
		row := []cell{name}
		for _, f := range fields {
			row = append(row, cell{text: f.text(r), bold: f.claim && r.Delta.claims()})
		}
		d.rows = append(d.rows, row)
	}
	if len(c.Effects) > 0 {
		d.more = append(d.more, c.effectTable())
	}
	return d, nil
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
	parts := []string{Sanitize(c.Study)}
	if c.Against != "" {
		parts[0] += " against " + Sanitize(c.Against)
	}
	switch net, data := Sanitize(c.Net), Sanitize(c.Data); {
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
	if (c.Baseline != "" || c.Against != "") && c.paired && len(c.Seeds) > 1 {
		seeds = count(len(c.Seeds), "paired seed")
	}
	return strings.Join(append(parts, seeds, c.Metric.Title+" "+c.At.words()), " · ")
}
