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

// A printer is a way to print a comparison: as words, which any table can be
// printed as, or from the whole of it, which comes first.
type printer struct {
	name   string
	words  func(*bytes.Buffer, Table) error
	whole  func(*bytes.Buffer, *reports.Comparison) error
	narrow bool // a page's few columns are the usual ones
}

// formats are all there are; a new one is a line here and a file of its own.
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

// Formats are the names that Render knows.
func Formats() []string {
	var names []string
	for _, f := range formats {
		names = append(names, f.name)
	}
	return names
}

// Render prints a comparison in a format of Formats. Nothing is written unless all of it can be made.
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
