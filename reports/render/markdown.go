package render

import (
	"bytes"
	"fmt"
	"strings"
	"unicode"

	"ablate/reports"

	"github.com/olekukonko/tablewriter"
	"github.com/olekukonko/tablewriter/renderer"
)

// writeMarkdown prints GitHub-flavoured Markdown.
func writeMarkdown(b *bytes.Buffer, d Table) error {
	rows, all := [][]string{nil}, []int{}
	for i, c := range d.Columns {
		rows[0] = append(rows[0], escape(c.Head))
		all = append(all, i)
	}
	for _, r := range d.Rows {
		var line []string
		for _, c := range r {
			text := escape(c.Text)
			if c.Bold {
				text = "**" + text + "**"
			}
			if len(c.Marks) > 0 {
				text += " " + marks(c.Marks)
			}
			line = append(line, text)
		}
		rows = append(rows, line)
	}
	fmt.Fprintf(b, "## %s\n\n", escape(d.Title))
	if len(d.Rows) > 0 {
		if err := draw(b, d.Columns, rows, all, tablewriter.WithRenderer(renderer.NewMarkdown())); err != nil {
			return err
		}
		fmt.Fprintln(b)
	}
	for i, n := range d.Footnotes {
		fmt.Fprintf(b, "- %s %s\n", superscript(i+1), escape(reports.Sanitize(n)))
	}
	for _, n := range d.Notes {
		fmt.Fprintf(b, "- %s\n", escape(reports.Sanitize(n)))
	}
	for _, m := range d.More {
		fmt.Fprintln(b)
		if err := writeMarkdown(b, m); err != nil {
			return err
		}
	}
	return nil
}

// escape escapes words so that Markdown shows them literally (CommonMark 2.4: a backslash before ASCII punctuation). An
// underscore within a word needs no escape, and brackets form a link only with an address after them.
func escape(s string) string {
	var b strings.Builder
	runes := []rune(s)
	for i, r := range runes {
		switch r {
		case '<':
			b.WriteString("&lt;")
			continue
		case '&':
			b.WriteString("&amp;")
			continue
		case '_':
			if !within(runes, i) {
				b.WriteByte('\\')
			}
		case ']': // a link needs an address after it
			if i+1 < len(runes) && strings.ContainsRune("([:", runes[i+1]) {
				b.WriteByte('\\')
			}
		case '\\', '`', '*', '|', '~', '$', '#':
			b.WriteByte('\\')
		}
		b.WriteRune(r)
	}
	return b.String()
}

// within reports whether a letter or figure stands on both sides of runes[i].
func within(runes []rune, i int) bool {
	word := func(r rune) bool { return unicode.IsLetter(r) || unicode.IsNumber(r) }
	return i > 0 && i+1 < len(runes) && word(runes[i-1]) && word(runes[i+1])
}
