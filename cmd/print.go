package cmd

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/olekukonko/tablewriter"
	"github.com/olekukonko/tablewriter/renderer"
	"github.com/olekukonko/tablewriter/tw"

	"ablate/reports"
)

// blank formats a count, with an empty string for 0.
func blank(n int64) string {
	if n == 0 {
		return ""
	}
	return reports.Thousands(n)
}

// printJSON writes JSON as every command prints it with --json: indented, with < and & unescaped.
func printJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

// printTable prints rows without rules. align has l or r for each column. The first row is the
// header.
func printTable(w io.Writer, rows [][]string, align string) error {
	var columns tw.Alignment
	for _, a := range align {
		if a == 'r' {
			columns = append(columns, tw.AlignRight)
		} else {
			columns = append(columns, tw.AlignLeft)
		}
	}
	var b strings.Builder
	t := tablewriter.NewTable(&b,
		tablewriter.WithHeaderAutoFormat(tw.Off),
		tablewriter.WithAlignment(columns),
		tablewriter.WithHeaderAlignmentConfig(tw.CellAlignment{PerColumn: columns}),
		tablewriter.WithRowAutoWrap(tw.WrapNone),
		tablewriter.WithRenderer(renderer.NewBlueprint(tw.Rendition{
			Borders:  tw.BorderNone,
			Settings: tw.Settings{Lines: tw.LinesNone, Separators: tw.SeparatorsNone},
		})))
	for i, row := range rows {
		rows[i] = slices.Clone(row)
		for j, cell := range row {
			rows[i][j] = plain(cell, longestCell)
		}
	}
	t.Header(rows[0])
	if err := t.Bulk(rows[1:]); err != nil {
		return err
	}
	if err := t.Render(); err != nil {
		return err
	}
	for line := range strings.Lines(b.String()) {
		if _, err := fmt.Fprintln(w, strings.TrimRight(strings.TrimPrefix(line, " "), " \n")); err != nil {
			return err
		}
	}
	return nil
}
