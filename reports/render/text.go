package render

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"ablate/reports"

	"github.com/olekukonko/tablewriter"
	"github.com/olekukonko/tablewriter/pkg/twwidth"
	"github.com/olekukonko/tablewriter/renderer"
	"github.com/olekukonko/tablewriter/tw"
)

const (
	gap         = 2  // cells between columns
	cellWidth   = 36 // words wrap beyond this in the columns that hold many
	noteWidth   = 80 // notes are at least this wide where nothing limits them
	noteHanging = "  "
)

// writeText prints for a terminal. Only space separates columns, without rules.
func writeText(b *bytes.Buffer, d Table) error {
	rows := [][]string{nil}
	for _, c := range d.Columns {
		rows[0] = append(rows[0], c.Head)
	}
	for _, r := range d.Rows {
		var line []string
		for i, c := range r {
			text := c.Text
			if limit := d.Columns[i].Wrap; limit > 0 {
				text = wrap(text, limit, "")
			}
			if len(c.Marks) > 0 {
				text += " " + marks(c.Marks)
			}
			line = append(line, text)
		}
		rows = append(rows, line)
	}
	widths := columnWidths(rows)
	wide := -gap
	for _, w := range widths {
		wide += gap + w
	}
	limit := d.Width
	if limit <= 0 {
		limit = max(wide, noteWidth)
	}
	fmt.Fprintln(b, wrap(d.Title, limit, noteHanging))
	if len(d.Rows) > 0 {
		for i, block := range blocks(widths, limit) {
			if i > 0 {
				fmt.Fprintln(b)
			}
			if err := drawText(b, d.Columns, rows, block); err != nil {
				return err
			}
		}
	}
	if len(d.Columns) > 0 {
		fmt.Fprintln(b)
	}
	for i, n := range d.Footnotes {
		fmt.Fprintln(b, wrap(superscript(i+1)+" "+reports.Sanitize(n), limit, noteHanging))
	}
	for _, n := range d.Notes {
		fmt.Fprintln(b, wrap(reports.Sanitize(n), limit, noteHanging))
	}
	for _, m := range d.More {
		fmt.Fprintln(b)
		if err := writeText(b, m); err != nil {
			return err
		}
	}
	return nil
}

// marks writes footnote marks: "¹ ²".
func marks(numbers []int) string {
	var all []string
	for _, n := range slices.Sorted(slices.Values(numbers)) {
		all = append(all, superscript(n))
	}
	return strings.Join(all, " ")
}

// blocks distributes columns over blocks that fit the limit. Each block begins with the first column, which names the
// rows.
func blocks(widths []int, limit int) [][]int {
	var all [][]int
	block, wide := []int{0}, widths[0]
	for i := 1; i < len(widths); i++ {
		if wide+gap+widths[i] > limit && len(block) > 1 {
			all = append(all, block)
			block, wide = []int{0}, widths[0]
		}
		block = append(block, i)
		wide += gap + widths[i]
	}
	return append(all, block)
}

// drawText draws some columns of the rows. The first row is the header.
func drawText(b *bytes.Buffer, columns []Column, rows [][]string, block []int) error {
	var drawn bytes.Buffer
	plain := renderer.NewBlueprint(tw.Rendition{
		Borders:  tw.BorderNone,
		Symbols:  tw.NewSymbols(tw.StyleNone),
		Settings: tw.Settings{Lines: tw.LinesNone, Separators: tw.SeparatorsNone},
	})
	padding := tw.Padding{Right: strings.Repeat(" ", gap), Overwrite: true}
	err := draw(&drawn, columns, rows, block, tablewriter.WithRenderer(plain), tablewriter.WithPadding(padding))
	if err != nil {
		return err
	}
	for line := range strings.Lines(drawn.String()) {
		fmt.Fprintln(b, strings.TrimRight(line, " \n"))
	}
	return nil
}

// draw lets tablewriter lay out some columns of rows, the first of which is the header. It does not change case, wrap
// or trim words. East Asian ambiguous widths are off; otherwise the language of the environment would decide how wide
// "±" is.
func draw(b *bytes.Buffer, columns []Column, rows [][]string, block []int, options ...tablewriter.Option) error {
	var sides tw.Alignment
	for _, i := range block {
		side := tw.AlignLeft
		if columns[i].Right {
			side = tw.AlignRight
		}
		sides = append(sides, side)
	}
	table := tablewriter.NewTable(b, append([]tablewriter.Option{
		tablewriter.WithEastAsian(tw.Off),
		tablewriter.WithHeaderAutoFormat(tw.Off),
		tablewriter.WithHeaderAutoWrap(tw.WrapNone),
		tablewriter.WithRowAutoWrap(tw.WrapNone),
		tablewriter.WithTrimSpace(tw.Off),
		tablewriter.WithTrimLine(tw.Off),
		tablewriter.WithAlignment(sides),
	}, options...)...)
	for n, row := range rows {
		var line []string
		for _, i := range block {
			line = append(line, row[i])
		}
		if n == 0 {
			table.Header(line)
		} else if err := table.Append(line); err != nil {
			return fmt.Errorf("table row %d: %w", n, err)
		}
	}
	if err := table.Render(); err != nil {
		return fmt.Errorf("draw table: %w", err)
	}
	return nil
}

// columnWidths returns the widest line of each column.
func columnWidths(rows [][]string) []int {
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, text := range row {
			for line := range strings.Lines(text) {
				widths[i] = max(widths[i], width(strings.TrimSuffix(line, "\n")))
			}
		}
	}
	return widths
}

// width returns the number of terminal cells that a text takes.
func width(s string) int { return twwidth.WidthWithOptions(s, twwidth.Options{}) }

// wrap breaks a text between words so that lines fit the limit if the words allow it. Lines after the first are
// indented.
func wrap(s string, limit int, indent string) string {
	var b strings.Builder
	used := 0
	for i, word := range strings.Fields(s) {
		w := width(word)
		switch {
		case i == 0:
		case used+1+w > limit:
			b.WriteString("\n" + indent)
			used = width(indent)
		default:
			b.WriteByte(' ')
			used++
		}
		b.WriteString(word)
		used += w
	}
	return b.String()
}
