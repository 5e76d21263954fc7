package render

import (
	"bytes"
	"encoding/csv"
	"slices"
	"strconv"
	"strings"

	"ablate/reports"
)

// writeCSV prints one line for each variant, with figures in full precision. Shares are 0..1, and empty cells have no
// value. It prints every column unless some were asked for. The effects of a factorial design follow as lines of their
// own.
func writeCSV(b *bytes.Buffer, of *reports.Comparison) error {
	lines, err := csvLines(of)
	if err != nil {
		return err
	}
	return writeCells(b, lines)
}

func csvLines(of *reports.Comparison) ([][]string, error) {
	c := view{of}
	fields := c.fields()
	if len(c.Options.Columns) > 0 || c.Shape == reports.Matrix {
		var err error
		if fields, err = c.chosen(); err != nil {
			return nil, err
		}
	}
	head := []string{"variant"}
	for _, f := range fields {
		if c.csvHas(f) {
			head = append(head, f.heads...)
		}
	}
	lines := [][]string{append(head, "notes")}
	for _, r := range c.Rows {
		line := []string{reports.Sanitize(r.Variant)}
		for _, f := range fields {
			if c.csvHas(f) {
				line = append(line, f.full(r)...)
			}
		}
		lines = append(lines, append(line, reports.Sanitize(strings.Join(r.Notes, "; "))))
	}
	for _, e := range c.Effects {
		line := []string{reports.Sanitize("effect: " + e.Name())}
		for _, f := range fields {
			switch {
			case !c.csvHas(f):
			case slices.Contains(effectFields, f.name):
				line = append(line, f.full(reports.Row{Delta: &reports.Delta{Paired: e.Paired, Alone: e.Alone,
					Adjusted: e.Adjusted, Verdict: e.Verdict}})...)
			default:
				line = append(line, make([]string, len(f.heads))...)
			}
		}
		lines = append(lines, append(line, ""))
	}
	return lines, nil
}

// writeCells writes lines of cells. A cell that is not a number but that a spreadsheet would take for a formula gets an
// apostrophe before it, which makes it text there (owasp.org/www-community/attacks/CSV_Injection).
func writeCells(b *bytes.Buffer, lines [][]string) error {
	for _, line := range lines {
		for i, cell := range line {
			if _, err := strconv.ParseFloat(cell, 64); err != nil && cell != "" && strings.ContainsRune("=+-@", rune(cell[0])) {
				line[i] = "'" + cell
			}
		}
	}
	return csv.NewWriter(b).WriteAll(lines)
}

// csvHas leaves out speed and devices unless they were asked for: only they differ between equal studies.
func (c view) csvHas(f field) bool {
	if len(c.Options.Columns) > 0 {
		return true
	}
	return !slices.Contains(usageNames, f.name) &&
		(c.Options.Speed || !slices.Contains([]string{"device", "moved", "speed"}, f.name))
}
