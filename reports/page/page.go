// Package page writes a study as one HTML page: the comparison table, learning
// curves, the differences with their intervals, the classes, speed against error, the net and
// what each variant changes in it, the first layer's filters before and after
// training, the time of each kernel, and the provenance of it all.
//
// The page is one file that refers to nothing outside itself: it opens from disk,
// prints, and follows the reader's light or dark scheme. Its one script sorts and
// copies the table; all else works without it. The same records give the same bytes.
package page

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"ablate/experiments"
	"ablate/reports"
	"ablate/reports/render"
)

//go:embed page.html sections.html style.css table.js forest.css figure.css
var files embed.FS

var layout = template.Must(Sections().ParseFS(files, "page.html"))

// Sections returns the templates of a page's parts, for pages with another layout. The template table takes a
// render.Table; differences, speed, nets, filters, neighbours and provenance take a value with the fields that they
// show.
func Sections() *template.Template {
	return template.Must(template.New("page.html").Funcs(template.FuncMap{
		"clean": reports.Sanitize,
		"brief": func(s string) bool { return utf8.RuneCountInString(s) <= 24 },
	}).ParseFS(files, "sections.html"))
}

// Style returns the style sheet of pages and of the pictures on them.
func Style() string { return file("style.css") }

// Script returns the script that sorts and copies the tables that Sections makes.
func Script() string { return file("table.js") }

func file(name string) string {
	text, err := files.ReadFile(name)
	if err != nil {
		panic(err) // it is embedded
	}
	return string(text)
}

// A Source reads the data behind the pictures. Any of its functions may be nil; its pictures are then left out.
type Source struct {
	// Records are the study's records, from which the comparison was made.
	Records []experiments.Record
	// Metrics reads a run's log, as experiments.Series leaves it.
	Metrics func(experiments.Record) ([]experiments.Metric, error)
	// Filters reads the first layer's weights before and after training.
	Filters func(experiments.Record) (before, after experiments.Tensor, err error)
	// Features reads the last hidden layer's features of test images.
	Features func(experiments.Record) (experiments.Features, error)
	// Notes reads the tags and notes on a run.
	Notes func(experiments.Record) (experiments.Notes, error)
	// Times reads the kernels' times.
	Times func(experiments.Record) (experiments.Times, error)
	// Classes holds the figures of each class of test images; nil leaves them out.
	Classes *reports.PerClass
	// Show reports whether a variant is drawn; nil draws all. Each variant's colour is independent of the others.
	Show func(variant string) bool
}

// content is the data that the layout shows.
type content struct {
	Style      template.CSS
	Script     template.JS
	Digest     string // digest of Script: the page runs no other script
	Table      render.Table
	Toggles    template.CSS
	Curves     []curveSet
	CurveNames []curveName
	Forest     template.HTML
	Ranks      template.HTML
	Classes    []ClassTables
	Speed      template.HTML
	Figures    []Figure
	Layers     []LayerTable
	Filters    []FilterSet
	Neighbours []Neighbours
	Provenance []Fact
	Problems   []string
}

// Write makes the page of a comparison. The page names what could not be read and leaves it out.
func Write(w io.Writer, c *reports.Comparison, s Source) error {
	table, err := TableOf(c)
	if err != nil {
		return err
	}
	b := NewPictures(c, s)
	p := content{Table: table}
	p.Curves = b.curves()
	p.CurveNames = b.curveNames()
	p.Toggles = toggles(p.CurveNames)
	p.Forest = b.Forest()
	p.Classes = b.classes()
	p.Speed = b.Speed()
	p.Figures, p.Layers = b.Nets()
	p.Filters = b.Filters()
	p.Neighbours = b.Neighbours()
	p.Provenance = b.Provenance()
	p.Problems = b.problems
	return p.write(w)
}

// TableOf makes the table of a comparison as pages show it. It returns an error for unknown columns.
func TableOf(c *reports.Comparison) (render.Table, error) { return render.New(verdictFirst(c)) }

// WriteSeveral makes one page of several studies: their tables, their differences and, if they are of several data
// sets, their ranks. Each study's own page has its curves, nets and provenance.
func WriteSeveral(w io.Writer, studies []*reports.Comparison) error {
	ordered := make([]*reports.Comparison, len(studies))
	var forests strings.Builder
	for i, c := range studies {
		ordered[i] = verdictFirst(c)
		if picture := NewPictures(c, Source{}).Forest(); picture != "" {
			fmt.Fprintf(&forests, "<h3>%s</h3>%s", template.HTMLEscapeString(reports.Sanitize(c.Study)), picture)
		}
	}
	table, err := render.SeveralTable(ordered, false)
	if err != nil {
		return err
	}
	p := content{Table: table, Forest: template.HTML(forests.String())}
	if across, _ := reports.AcrossDataSets(studies); across != nil {
		p.Ranks = both(func(f frame) template.HTML { return ranks(f, across) })
	}
	return p.write(w)
}

// verdictFirst moves the difference and the verdict next to the variant's name, where a narrow screen shows them,
// unless the reader chose the columns.
func verdictFirst(c *reports.Comparison) *reports.Comparison {
	if len(c.Options.Columns) > 0 {
		return c
	}
	first := []string{"verdict", "delta"}
	rest := slices.DeleteFunc(render.UsualColumns(c), func(name string) bool { return slices.Contains(first, name) })
	ordered := *c
	ordered.Options.Columns = slices.Concat(first, rest)
	return &ordered
}

// toggles makes the style rules that hide a variant's curves while its box is not checked, without any script.
func toggles(names []curveName) template.CSS {
	var b strings.Builder
	for _, n := range names {
		fmt.Fprintf(&b, "\n#curves:has(#row-%d:not(:checked)) .r%d{display:none}", n.Row, n.Row)
	}
	return template.CSS(b.String())
}

// WriteSelfCheck makes the page of a self-check: its table and its provenance.
func WriteSelfCheck(w io.Writer, check *reports.SelfCheck, s Source) error {
	b := &Pictures{c: &reports.Comparison{Rows: []reports.Row{{Variant: cmp.Or(check.Options.Baseline,
		reports.DefaultBaseline)}}}, s: s}
	return content{Table: render.SelfCheckTable(check), Provenance: b.Provenance()}.write(w)
}

func (p content) write(w io.Writer) error {
	digest := sha256.Sum256([]byte(Script()))
	p.Style, p.Script = template.CSS(Style()), template.JS(Script())
	p.Digest = "sha256-" + base64.StdEncoding.EncodeToString(digest[:])
	var out bytes.Buffer
	if err := layout.Execute(&out, p); err != nil {
		return fmt.Errorf("page of %s: %w", p.Table.Title, err)
	}
	if _, err := w.Write(out.Bytes()); err != nil {
		return fmt.Errorf("write the page: %w", err)
	}
	return nil
}

// WriteForest makes a separate picture of the differences with their intervals: an SVG file, for a README or a paper's
// draft. It has its own background, since the page around it may be light where the reader's system is dark. Its style
// affects nothing else on a page that holds it inline.
func WriteForest(w io.Writer, c *reports.Comparison) error {
	picture := string((&Pictures{c: c}).forest(wide))
	if picture == "" {
		return fmt.Errorf("%s has nothing to compare: %w", c.Study, reports.ErrOption)
	}
	_, err := io.WriteString(w, alone(picture, "ablate-forest", file("forest.css")))
	return err
}

// WriteFigure makes a separate picture, with a background and a style, from one that Pictures or DrawCurves drew.
func WriteFigure(w io.Writer, drawn template.HTML) error {
	_, picture, found := strings.Cut(string(drawn), `<div class="wide">`)
	picture, _, _ = strings.Cut(picture, "</svg>")
	if !found {
		return fmt.Errorf("there is nothing to draw: %w", reports.ErrOption)
	}
	_, err := io.WriteString(w, alone(picture+"</svg>", "ablate-figure", file("figure.css")))
	return err
}

// alone makes a picture that needs no page around it.
func alone(picture, class, style string) string {
	picture = strings.Replace(picture, "<svg ", `<svg class="`+class+`" `, 1)
	return strings.Replace(picture, "</desc>", "</desc><style><![CDATA["+style+"]]></style>"+
		`<rect class="paper" width="100%" height="100%"/>`, 1) + "\n"
}

// Pictures draws the parts of a comparison's page and collects the errors of reading.
type Pictures struct {
	c        *reports.Comparison
	s        Source
	problems []string
}

// NewPictures returns the pictures of a comparison, whose data s reads.
func NewPictures(c *reports.Comparison, s Source) *Pictures {
	s.Records = slices.SortedFunc(slices.Values(s.Records), func(a, b experiments.Record) int {
		return cmp.Or(cmp.Compare(a.Variant, b.Variant), cmp.Compare(a.Seed, b.Seed))
	})
	return &Pictures{c: c, s: s}
}

// Forest draws each difference with its interval. It returns nothing if nothing can be compared.
func (b *Pictures) Forest() template.HTML { return both(b.forest) }

// Speed draws training speed against the error. It returns nothing if no speed is known.
func (b *Pictures) Speed() template.HTML { return both(b.speed) }

// Problems lists what could not be read so far.
func (b *Pictures) Problems() []string { return b.problems }

func (b *Pictures) problem(what string, err error) {
	b.problems = append(b.problems, fmt.Sprintf("%s: %v", what, err))
}

// shows reports whether a variant is drawn.
func (b *Pictures) shows(variant string) bool { return b.s.Show == nil || b.s.Show(variant) }

// of returns a variant's records by seed, if the variant is drawn.
func (b *Pictures) of(variant string) []experiments.Record {
	if !b.shows(variant) {
		return nil
	}
	byVariant := func(r experiments.Record, name string) int { return strings.Compare(r.Variant, name) }
	first, _ := slices.BinarySearchFunc(b.s.Records, variant, byVariant)
	end := first
	for end < len(b.s.Records) && b.s.Records[end].Variant == variant {
		end++
	}
	return b.s.Records[first:end:end]
}

// A Fact is a line of the provenance.
type Fact struct{ Name, Value string }

// Provenance returns the facts in the record of the first row's first run. The table's notes state where runs differ.
func (b *Pictures) Provenance() []Fact {
	var records []experiments.Record
	for _, row := range b.c.Rows {
		records = append(records, b.of(row.Variant)...)
	}
	for _, r := range records {
		p := r.Provenance
		if p == nil || len(r.Attempts) == 0 {
			continue
		}
		a := r.Attempts[len(r.Attempts)-1]
		var facts []Fact
		add := func(name, value string) {
			if value != "" {
				facts = append(facts, Fact{name, value})
			}
		}
		commit := p.Commit
		if p.Dirty {
			commit += " with changes that were not committed"
		}
		add("commit", commit)
		add("build", p.Go+" "+p.OS+"/"+p.Arch)
		add("hardware", a.Hardware)
		add("CPU features", p.Features)
		add("GPU driver", p.GPUDriver)
		for _, split := range sorted(p.Data) {
			add("data "+split, p.Data[split])
		}
		add("command", reports.CommandLine(p.Command))
		add("recipe", r.Identity)
		return append(facts, b.said()...)
	}
	return b.said()
}
