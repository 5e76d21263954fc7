package reports

import (
	"bytes"
	"fmt"
	"io"
	"strings"
)

// A format is a way to print a document.
type format struct {
	name  string
	write func(*bytes.Buffer, document) error
}

// formats are all there are; a new one is a line here and a file of its own.
var formats = []format{
	{"text", writeText},
	{"md", writeMarkdown},
}

// Formats gives the names Render knows.
func Formats() []string {
	var names []string
	for _, f := range formats {
		names = append(names, f.name)
	}
	return names
}

// Render prints a comparison in a format of Formats. Nothing is written unless all of it can be made.
func Render(w io.Writer, c *Comparison, format string) error {
	return render(w, c.table(), format)
}

// RenderSpeed prints the training speeds alone, one line per variant and kind
// of hardware: the part of a report that differs from one day to the next.
func RenderSpeed(w io.Writer, c *Comparison, format string) error {
	return render(w, c.speedTable(), format)
}

func render(w io.Writer, d document, name string) error {
	for _, f := range formats {
		if f.name != name {
			continue
		}
		var b bytes.Buffer
		if err := f.write(&b, d); err != nil {
			return fmt.Errorf("print %s as %s: %w", d.title, name, err)
		}
		if _, err := w.Write(b.Bytes()); err != nil {
			return fmt.Errorf("write report: %w", err)
		}
		return nil
	}
	return fmt.Errorf("%w %q; there are %s", ErrFormat, name, strings.Join(Formats(), ", "))
}
