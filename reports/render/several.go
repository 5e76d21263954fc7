package render

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"

	"ablate/reports"
	"ablate/reports/stats"
)

// Several prints the comparisons of several studies, one after the other. If they are of several data sets, their joint
// results follow. Words form one document, CSV has a column for the study, and JSON is an array.
func Several(w io.Writer, studies []*reports.Comparison, format string) error {
	var b bytes.Buffer
	var err error
	switch format {
	case "csv":
		err = severalCSV(&b, studies)
	case "json":
		err = severalJSON(&b, studies)
	case "metafile":
		for i, c := range studies {
			if i > 0 {
				b.WriteString("---\n")
			}
			if err == nil {
				err = writeMetafile(&b, c)
			}
		}
	default:
		i := slices.IndexFunc(formats, func(f printer) bool { return f.name == format })
		if i < 0 {
			return fmt.Errorf("%w %q; want one of %s", reports.ErrFormat, format, strings.Join(Formats(), ", "))
		}
		var d Table
		if d, err = SeveralTable(studies, formats[i].narrow); err == nil {
			err = formats[i].words(&b, d)
		}
	}
	if err != nil {
		return fmt.Errorf("print %d studies as %s: %w", len(studies), format, err)
	}
	_, err = w.Write(b.Bytes())
	return err
}

// SeveralTable makes a table of tables: one for each study, and one over all data sets. narrow limits each to the
// columns that fit a page.
func SeveralTable(studies []*reports.Comparison, narrow bool) (Table, error) {
	var names []string
	d := Table{Name: "studies", Width: studies[0].Options.Width}
	for _, c := range studies {
		names = append(names, reports.Sanitize(c.Study))
		one, err := New(c)
		if narrow {
			one, err = latexTable(c)
		}
		if err != nil {
			return d, err
		}
		d.More = append(d.More, one)
	}
	d.Title = strings.Join(names, ", ")
	across, why := reports.AcrossDataSets(studies)
	if across != nil {
		d.More = append(d.More, acrossTable(across, d.Width))
	}
	if why != "" {
		d.Notes = []string{why}
	}
	return d, nil
}

// acrossTable makes the table of the studies' joint results.
func acrossTable(a *reports.Across, wide int) Table {
	d := Table{
		Name: "data-sets", Title: fmt.Sprintf("%d data sets together · %s %s", len(a.DataSets), a.Metric.Title, a.At.Words()),
		Columns: []Column{{Head: "variant", Wrap: cellWidth}, {Head: "rank", Right: true}, {Head: "IQM [95 %]"},
			{Head: "p (Wilcoxon)", Right: true}, {Head: "verdict", Wrap: cellWidth}},
		Notes: a.Notes, Width: wide,
	}
	for _, name := range a.DataSets {
		d.Columns = append(d.Columns, Column{Head: reports.Sanitize(name), Right: true})
	}
	for _, r := range a.Rows {
		p, verdict := reports.None, reports.None
		if !math.IsNaN(r.P) {
			p = reports.PValue(r.P)
			verdict = string(r.Verdict)
			if r.Verdict == stats.TooFew {
				verdict = fmt.Sprintf("too few data sets (needs %d)", stats.NeededPairs)
			}
		}
		row := []Cell{{Text: reports.Sanitize(r.Variant)}, {Text: fmt.Sprintf("%.2f", r.Rank)},
			{Text: fmt.Sprintf("%s [%s, %s]", a.Metric.Figure(r.IQM), a.Metric.Figure(r.Interval.Low),
				a.Metric.Figure(r.Interval.High))},
			{Text: p}, {Text: verdict, Bold: r.Verdict.Claims()}}
		for _, m := range r.Means {
			row = append(row, Cell{Text: a.Metric.Figure(m)})
		}
		d.Rows = append(d.Rows, row)
	}
	return d
}

// severalCSV prints all studies' lines below one head, which has every column of any of them.
func severalCSV(b *bytes.Buffer, studies []*reports.Comparison) error {
	var head []string
	var lines []map[string]string
	for _, c := range studies {
		table, err := csvLines(c)
		if err != nil {
			return err
		}
		for _, name := range table[0] {
			if !slices.Contains(head, name) {
				head = append(head, name)
			}
		}
		for _, line := range table[1:] {
			cells := map[string]string{"study": reports.Sanitize(c.Study), "data": reports.Sanitize(c.Data)}
			for i, cell := range line {
				cells[table[0][i]] = cell
			}
			lines = append(lines, cells)
		}
	}
	head = append([]string{"study", "data"}, slices.DeleteFunc(head, func(name string) bool { return name == "notes" })...)
	head = append(head, "notes")
	cells := [][]string{head}
	for _, l := range lines {
		row := make([]string, len(head))
		for i, name := range head {
			row[i] = l[name]
		}
		cells = append(cells, row)
	}
	return writeCells(b, cells)
}

// The types below are the array's last element, if the studies are of several data sets.
type (
	jsonAcross struct {
		Format   string          `json:"format"`
		Version  int             `json:"version"`
		Metric   jsonMetric      `json:"metric"`
		At       string          `json:"at"`
		DataSets []string        `json:"data_sets"`
		Friedman jsonFriedman    `json:"friedman"`
		Critical *float64        `json:"critical_difference"`
		Rows     []jsonAcrossRow `json:"rows"`
		Notes    []string        `json:"notes"`
	}
	jsonFriedman struct {
		Chi2 *float64 `json:"chi2"`
		P    *float64 `json:"p"`
	}
	jsonAcrossRow struct {
		Variant  string     `json:"variant"`
		Rank     *float64   `json:"rank"`
		Means    []*float64 `json:"means"`
		IQM      *float64   `json:"iqm"`
		Interval []*float64 `json:"interval"`
		P        *float64   `json:"p_adjusted"`
		Verdict  stats.Word `json:"verdict,omitempty"`
	}
)

func severalJSON(b *bytes.Buffer, studies []*reports.Comparison) error {
	var all []any
	for _, c := range studies {
		all = append(all, view{c}.jsonReport())
	}
	if a, _ := reports.AcrossDataSets(studies); a != nil {
		j := jsonAcross{
			Format: "ablate-data-sets", Version: jsonVersion, Metric: jsonMetricOf(a.Metric), At: a.At.String(),
			DataSets: a.DataSets, Friedman: jsonFriedman{finite(a.Friedman.Chi2), finite(a.Friedman.P)},
			Critical: finite(a.Critical), Notes: a.Notes,
		}
		for _, r := range a.Rows {
			row := jsonAcrossRow{Variant: r.Variant, Rank: finite(r.Rank), IQM: finite(r.IQM),
				Interval: interval(&r.Interval), P: finite(r.P), Verdict: r.Verdict}
			for _, m := range r.Means {
				row.Means = append(row.Means, finite(m))
			}
			j.Rows = append(j.Rows, row)
		}
		all = append(all, j)
	}
	return printJSON(b, all)
}

// printJSON writes a value indented, and escaped so that a terminal shows it unchanged.
func printJSON(b *bytes.Buffer, v any) error {
	var plain bytes.Buffer
	encoder := json.NewEncoder(&plain)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(v); err != nil {
		return err
	}
	escapeUnprintable(b, plain.String())
	return nil
}
