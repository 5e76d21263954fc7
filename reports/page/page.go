// Package page writes a study as one HTML page: the comparison table, learning
// curves, the differences with their intervals, speed against error, the net and
// what each variant changes in it, the first layer's filters before and after
// training, the time of each kernel, and where it all comes from.
//
// The page is one file that refers to nothing outside itself and runs no script:
// it opens from disk, prints, and follows the reader's light or dark scheme. The
// same records give the same bytes.
package page

import (
	"bytes"
	"cmp"
	"embed"
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

//go:embed page.html style.css forest.css
var files embed.FS

var layout = template.Must(template.New("page.html").Funcs(template.FuncMap{
	"clean": reports.Sanitize,
	"brief": func(s string) bool { return utf8.RuneCountInString(s) <= 24 },
}).ParseFS(files, "page.html"))

// A Source reads what the pictures are made of. Any of its functions may be nil; its pictures are left out then.
type Source struct {
	// Records are the study's, as the comparison was made of.
	Records []experiments.Record
	// Metrics reads a run's log, as experiments.Series leaves it.
	Metrics func(experiments.Record) ([]experiments.Metric, error)
	// Filters reads the first layer's weights before and after training.
	Filters func(experiments.Record) (before, after experiments.Tensor, err error)
	// Times reads the kernels' times.
	Times func(experiments.Record) (experiments.Times, error)
}

// content is what the layout shows.
type content struct {
	Style      template.CSS
	Table      render.Table
	Toggles    template.CSS
	Curves     []curveSet
	CurveNames []curveName
	Forest     template.HTML
	Speed      template.HTML
	Figures    []figure
	Layers     []layerTable
	Filters    []filterSet
	Provenance []fact
	Problems   []string
}

// Write makes the page of a comparison. What cannot be read is named on the page and left out.
func Write(w io.Writer, c *reports.Comparison, s Source) error {
	table, err := render.New(verdictFirst(c))
	if err != nil {
		return err
	}
	style, err := files.ReadFile("style.css")
	if err != nil {
		return err
	}
	s.Records = slices.SortedFunc(slices.Values(s.Records), func(a, b experiments.Record) int {
		return cmp.Or(cmp.Compare(a.Variant, b.Variant), cmp.Compare(a.Seed, b.Seed))
	})
	b := &builder{c: c, s: s}
	p := content{Style: template.CSS(style), Table: table}
	p.Curves = b.curves()
	p.CurveNames = b.curveNames()
	p.Toggles = toggles(p.CurveNames)
	p.Forest = both(b.forest)
	p.Speed = both(b.speed)
	p.Figures, p.Layers = b.nets()
	p.Filters = b.filters()
	p.Provenance = b.provenance()
	p.Problems = b.problems
	return p.write(w)
}

// verdictFirst has the difference and the verdict follow the variant's name, where a
// narrow screen shows them, unless a reader chose the columns.
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

// toggles hide the curves of a variant whose box is not checked; no script runs on the page.
func toggles(names []curveName) template.CSS {
	var b strings.Builder
	for _, n := range names {
		fmt.Fprintf(&b, "\n#curves:has(#row-%d:not(:checked)) .r%d{display:none}", n.Row, n.Row)
	}
	return template.CSS(b.String())
}

// WriteSelfCheck makes the page of a self-check: its table, and where it comes from.
func WriteSelfCheck(w io.Writer, check *reports.SelfCheck, s Source) error {
	style, err := files.ReadFile("style.css")
	if err != nil {
		return err
	}
	b := &builder{c: &reports.Comparison{Rows: []reports.Row{{Variant: cmp.Or(check.Options.Baseline,
		reports.DefaultBaseline)}}}, s: s}
	return content{Style: template.CSS(style), Table: render.SelfCheckTable(check), Provenance: b.provenance()}.write(w)
}

func (p content) write(w io.Writer) error {
	var out bytes.Buffer
	if err := layout.Execute(&out, p); err != nil {
		return fmt.Errorf("page of %s: %w", p.Table.Title, err)
	}
	if _, err := w.Write(out.Bytes()); err != nil {
		return fmt.Errorf("write the page: %w", err)
	}
	return nil
}

// WriteForest makes a picture of its own of the differences with their
// intervals: an SVG file, for a README or a paper's draft. It has a ground of its
// own, since the page around it may be light where the reader's system is dark,
// and its style reaches nothing else of a page that holds it inline.
func WriteForest(w io.Writer, c *reports.Comparison) error {
	picture := string((&builder{c: c}).forest(wide))
	if picture == "" {
		return fmt.Errorf("%s has nothing to compare: %w", c.Study, reports.ErrOption)
	}
	style, err := files.ReadFile("forest.css")
	if err != nil {
		return err
	}
	picture = strings.Replace(picture, "<svg ", `<svg class="ablate-forest" `, 1)
	picture = strings.Replace(picture, "</desc>", "</desc><style><![CDATA["+string(style)+"]]></style>"+
		`<rect class="paper" width="100%" height="100%"/>`, 1)
	_, err = io.WriteString(w, picture+"\n")
	return err
}

// A builder makes the page's parts and collects what could not be read.
type builder struct {
	c        *reports.Comparison
	s        Source
	problems []string
}

func (b *builder) problem(what string, err error) {
	b.problems = append(b.problems, fmt.Sprintf("%s: %v", what, err))
}

// of returns a variant's records, by seed.
func (b *builder) of(variant string) []experiments.Record {
	var rs []experiments.Record
	for _, r := range b.s.Records {
		if r.Variant == variant {
			rs = append(rs, r)
		}
	}
	return rs
}

// A fact is a line of the provenance.
type fact struct{ Name, Value string }

// provenance is what the record of the first row's first run says; the table's notes say where runs differ.
func (b *builder) provenance() []fact {
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
		var facts []fact
		add := func(name, value string) {
			if value != "" {
				facts = append(facts, fact{name, value})
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
		return facts
	}
	return nil
}
