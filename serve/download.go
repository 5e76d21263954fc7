package serve

import (
	"bytes"
	"fmt"
	"mime"
	"path"
	"strings"

	"ablate/reports/page"
	"ablate/reports/render"
)

// mediaTypes maps the endings of downloads to their media types.
var mediaTypes = map[string]string{
	".csv": "text/csv; charset=utf-8", ".tex": "application/x-tex; charset=utf-8",
	".md": "text/markdown; charset=utf-8", ".txt": "text/plain; charset=utf-8", ".json": "application/json",
	".svg": "image/svg+xml", ".html": "text/html; charset=utf-8",
}

// formats maps the endings of tables to their formats.
var formats = map[string]string{".csv": "csv", ".tex": "tex", ".md": "md", ".txt": "text", ".json": "json"}

// download sends a file of a study: its table, a figure, or the page that needs no server.
func (s *Server) download(a *answer) error {
	of, err := a.theStudy()
	if err != nil {
		return err
	}
	file := a.request.PathValue("file")
	name, ending := strings.TrimSuffix(file, path.Ext(file)), path.Ext(file)
	c, err := s.chosenTable(a, of)
	if err != nil {
		return err
	}
	shown := shownVariants(a.query, c)
	source := s.source(of, shown)
	var b bytes.Buffer
	switch {
	case name == "table" && formats[ending] != "":
		if ending == ".json" {
			c.Options.Columns = nil // JSON has every column
		}
		err = render.Render(&b, onlyRows(c, shown), formats[ending])
	case file == "page.html":
		err = page.Write(&b, onlyRows(c, shown), s.source(of, nil))
	case file == "differences.svg":
		err = page.WriteForest(&b, onlyRows(c, shown))
	case file == "speed.svg":
		err = page.WriteFigure(&b, page.NewPictures(c, source).Speed())
	case file == "curves.svg":
		axes, wrong := s.axes(a)
		if wrong != nil {
			return wrong
		}
		curves := page.NewPictures(c, source).Curves()
		axes = of.axes(axes, chosenCurve(a.query, c.Metric.Name), curves)
		err = page.WriteFigure(&b, page.DrawCurves(curves, axes))
	default:
		return fmt.Errorf("%w: a study has table.csv, .tex, .md, .txt and .json, page.html, differences.svg, curves.svg "+
			"and speed.svg", errNotFound)
	}
	if err != nil {
		return err
	}
	return a.attach(of.name+"-"+file, ending, b.Bytes())
}

// attach sends a file for the reader to save.
func (a *answer) attach(name, ending string, text []byte) error {
	a.Header().Set("Content-Type", mediaTypes[ending])
	a.Header().Set("Content-Disposition",
		mime.FormatMediaType("attachment", map[string]string{"filename": fileName(name)}))
	return a.write(text)
}

// fileName removes from a name the characters that have a meaning in paths or shells.
func fileName(name string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', strings.ContainsRune("-_.", r):
			return r
		}
		return '_'
	}, name)
}
