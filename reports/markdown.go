package reports

import (
	"bytes"
	"fmt"
	"strings"
	"unicode"

	"github.com/olekukonko/tablewriter"
	"github.com/olekukonko/tablewriter/renderer"
)

// writeMarkdown prints GitHub-flavoured Markdown.
func writeMarkdown(b *bytes.Buffer, d document) error {
	rows, all := [][]string{nil}, []int{}
	for i, c := range d.columns {
		rows[0] = append(rows[0], escape(c.head))
		all = append(all, i)
	}
	for _, r := range d.rows {
		var line []string
		for _, c := range r {
			text := escape(c.text)
			if c.bold {
				text = "**" + text + "**"
			}
			if len(c.marks) > 0 {
				text += " " + marks(c.marks)
			}
			line = append(line, text)
		}
		rows = append(rows, line)
	}
	fmt.Fprintf(b, "## %s\n\n", escape(d.title))
	if len(d.rows) > 0 {
		if err := draw(b, d.columns, rows, all, tablewriter.WithRenderer(renderer.NewMarkdown())); err != nil {
			return err
		}
		fmt.Fprintln(b)
	}
	for i, n := range d.footnotes {
		fmt.Fprintf(b, "- %s %s\n", superscript(i+1), escape(Sanitize(n)))
	}
	for _, n := range d.notes {
		fmt.Fprintf(b, "- %s\n", escape(Sanitize(n)))
	}
	for _, m := range d.more {
		fmt.Fprintln(b)
		if err := writeMarkdown(b, m); err != nil {
			return err
		}
	}
	return nil
}

// escape makes words mean themselves in Markdown (CommonMark 2.4: a backslash
// before ASCII punctuation). An underscore within a word needs none,
// and brackets are a link only with an address after them.
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
		case ']': // a link needs what follows
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
