package render

import (
	"fmt"
	"slices"
	"strings"

	"ablate/reports"
)

// A Table is a comparison as words, the form that every format prints.
type Table struct {
	Name      string // a name to refer to it
	Title     string
	Columns   []Column
	Rows      [][]Cell
	Footnotes []string // the first has mark 1
	Notes     []string
	More      []Table // tables that follow
	Width     int     // terminal cells a line should fit, 0 for no limit
}

// A Column is the head of a column and the layout of its cells.
type Column struct {
	Head  string
	Right bool // its cells are figures
	Wrap  int  // terminal cells beyond which words wrap; 0 for never
}

// A Cell holds words, the marks of their footnotes, and whether the statistics support their claim.
type Cell struct {
	Text  string
	Marks []int
	Bold  bool
}

// New makes the table of a comparison.
func New(c *reports.Comparison) (Table, error) { return view{c}.table() }

// A view is a comparison with the words for its columns.
type view struct{ *reports.Comparison }

func (c view) table() (Table, error) {
	fields, err := c.chosen()
	if err != nil {
		return Table{}, err
	}
	d := Table{Name: c.Study, Title: c.title(), Notes: slices.Concat(c.Notes, c.Origin), Width: c.Options.Width}
	d.Columns = []Column{{Head: "variant", Wrap: cellWidth}}
	for _, f := range fields {
		d.Columns = append(d.Columns, f.column)
	}
	for _, r := range c.Rows {
		name := Cell{Text: reports.Sanitize(r.Variant)}
		for _, n := range r.Notes {
			name.Marks = append(name.Marks, d.footnote(n))
		}
		row := []Cell{name}
		for _, f := range fields {
			row = append(row, Cell{Text: f.text(r), Bold: f.claim && r.Delta.Claims()})
		}
		d.Rows = append(d.Rows, row)
	}
	if len(c.Effects) > 0 {
		d.More = append(d.More, c.effectTable())
	}
	return d, nil
}

// footnote returns the mark of a note. Equal notes share a mark.
func (d *Table) footnote(text string) int {
	i := slices.Index(d.Footnotes, text)
	if i < 0 {
		i = len(d.Footnotes)
		d.Footnotes = append(d.Footnotes, text)
	}
	return i + 1
}

// title writes "study · net on data · 40 epochs · 8 paired seeds · what the error is".
func (c view) title() string {
	parts := []string{reports.Sanitize(c.Study)}
	if c.Against != "" {
		parts[0] += " against " + reports.Sanitize(c.Against)
	}
	switch net, data := reports.Sanitize(c.Net), reports.Sanitize(c.Data); {
	case net != "" && data != "":
		parts = append(parts, net+" on "+data)
	case net+data != "":
		parts = append(parts, net+data)
	}
	if e := c.Epochs; e[1] > 0 {
		text := reports.Count(e[1], "epoch")
		if e[0] != e[1] {
			text = fmt.Sprintf("%d–%s", e[0], text)
		}
		parts = append(parts, text)
	}
	seeds := reports.Count(len(c.Seeds), "seed")
	if (c.Baseline != "" || c.Against != "") && c.Paired && len(c.Seeds) > 1 {
		seeds = reports.Count(len(c.Seeds), "paired seed")
	}
	parts = append(parts, seeds, c.Metric.Title+" "+c.At.Words())
	if c.Exploratory {
		parts = append(parts, "exploratory")
	}
	return strings.Join(parts, " · ")
}

// effectTable makes the table of the effects of a factorial design.
func (c view) effectTable() Table {
	d := Table{
		Name:  c.Study + "-effects",
		Title: "main effects and interactions",
		Columns: []Column{
			{Head: "effect", Wrap: cellWidth}, {Head: "k", Right: true}, {Head: c.DeltaHead()},
			{Head: "p (adjusted)", Right: true}, {Head: "verdict", Wrap: cellWidth},
		},
		Notes: []string{"effect: what an ablation does" + c.Metric.In() + " on average over the others; " +
			"of a × b: half of how much the effect of one changes once the other is applied too; " +
			"contrasts within each seed, adjusted together with the rows"},
		Width: c.Options.Width,
	}
	if c.Diverged {
		d.Notes = append(d.Notes, "nothing is claimed, since runs diverged and the effects leave out just their seeds")
	}
	for _, e := range c.Effects {
		delta := &reports.Delta{Paired: e.Paired, Alone: e.Alone, Adjusted: e.Adjusted, Verdict: e.Verdict}
		bold := e.Claims()
		d.Rows = append(d.Rows, []Cell{
			{Text: reports.Sanitize(e.Name())}, {Text: itoa(e.K)}, {Text: c.deltaWords(delta), Bold: bold},
			{Text: adjustedWords(delta)}, {Text: c.verdict(e.Verdict), Bold: bold},
		})
	}
	return d
}
