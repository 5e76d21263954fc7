// Package render prints comparisons: as text for a terminal, Markdown, LaTeX, CSV,
// JSON and a model index. Every format prints the same Table, or the whole of the
// model where it has room for it.
package render

import (
	"bytes"
	"fmt"
	"io"
	"strings"

	"ablate/reports"
)

// A printer prints a comparison in one format: either as words, which works for any table, or from the whole model,
// which takes precedence.
type printer struct {
	name   string
	words  func(*bytes.Buffer, Table) error
	whole  func(*bytes.Buffer, *reports.Comparison) error
	narrow bool // the usual columns are the few that fit a page
}

// formats lists all formats. A new one is a line here and a file of its own.
var formats = []printer{
	{name: "text", words: writeText},
	{name: "md", words: writeMarkdown},
	{name: "tex", words: printLatex, whole: writeLatex, narrow: true},
	{name: "csv", whole: writeCSV},
	{name: "json", whole: writeJSON},
	{name: "metafile", whole: writeMetafile},
}

func (f printer) write(b *bytes.Buffer, c *reports.Comparison) error {
	if f.whole != nil {
		return f.whole(b, c)
	}
	d, err := New(c)
	if err != nil {
		return err
	}
	return f.words(b, d)
}

// Formats returns the names of the formats that Render knows.
func Formats() []string {
	var names []string
	for _, f := range formats {
		names = append(names, f.name)
	}
	return names
}

// Render prints a comparison in one of Formats. It writes nothing unless it can make the whole text.
func Render(w io.Writer, c *reports.Comparison, format string) error {
	for _, f := range formats {
		if f.name != format {
			continue
		}
		var b bytes.Buffer
		if err := f.write(&b, c); err != nil {
			return fmt.Errorf("print %s as %s: %w", c.Study, format, err)
		}
		if _, err := w.Write(b.Bytes()); err != nil {
			return fmt.Errorf("write report: %w", err)
		}
		return nil
	}
	return fmt.Errorf("%w %q; want one of %s", reports.ErrFormat, format, strings.Join(Formats(), ", "))
}
